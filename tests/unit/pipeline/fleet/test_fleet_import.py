"""Fleet files: what they bring, what is refused and by which line, that nothing is half imported."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import func, select

from pipeline.application import Garant
from pipeline.database.base import EventRow
from pipeline.errors import NotFoundError, RefusedError
from pipeline.fleet import service
from pipeline.fleet.document import json_schema
from pipeline.fleet.errors import FleetFileError
from pipeline.fleet.export import exported
from pipeline.fleet.importer import ImportResult, import_fleet
from pipeline.fleet.keys import fingerprint, normalised
from pipeline.fleet.reading import CSV_COLUMNS, read_fleet
from pipeline.fleet.rules import eligibility, weekly_text, weekly_times
from pipeline.fleet.tables import ClientRow, HostRow, StoreRow

ROOT = Path(__file__).parents[4]
EXAMPLE = ROOT / "inventory" / "example-fleet.yaml"


def key(number: int) -> str:
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([number]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


SMALL = f"""clients:
  - id: kupets
    name: Купец
    stores:
      - id: kupets-1
        name: Первый
        windows: ["mon-fri 23:00-05:00"]
        hosts:
          - name: kupets-1-server
            role: server
            address: 10.0.0.1
            host_key: {key(1)} root@kupets-1
          - name: kupets-1-r1
            role: register
            register: 1
            address: 10.0.0.2
            host_key: {key(2)}
"""


def write(folder: Path, text: str, name: str = "fleet.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def load(app: Garant, file: Path, **options: Any) -> ImportResult:
    read = read_fleet(file)
    with app.unit("person:anna") as unit:
        return import_fleet(unit, read, **options)


def counts(app: Garant) -> tuple[int, ...]:
    with app.database.reading() as session:
        return tuple(
            session.scalar(select(func.count()).select_from(row)) or 0
            for row in (ClientRow, StoreRow, HostRow, EventRow)
        )


def test_example_comes_in_once(app: Garant) -> None:
    """The example fleet imports; a second time nothing changes, not even an event."""
    first = load(app, EXAMPLE)
    before = counts(app)
    second = load(app, EXAMPLE)

    assert len(first.created) == 17
    assert (second.created, second.changed, second.unchanged) == ([], {}, 17)
    assert counts(app) == before


def test_change_is_named_by_field(app: Garant, tmp_path: Path) -> None:
    """Only what differs is written, and the event says which field."""
    load(app, write(tmp_path, SMALL))
    result = load(app, write(tmp_path, SMALL.replace("10.0.0.2", "10.0.0.9")))

    assert result.changed == {"host kupets-1-r1": ["address"]}
    assert result.unchanged == 3


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("address: 10.0.0.2", "address: 10.0.0.1", 13, "is in line 9 already"),
        ("address: 10.0.0.2", "address: 10.0.0.300!", 16, "neither an IP address nor a host name"),
        ("name: Первый", "name: Первый\n        zone: Mars/Base", 7, "no time zone"),
        ("name: Первый", "nmae: Первый", 6, "no such field"),
        ("register: 1", "register: one", 15, "valid integer"),
        ("role: register", "role: server", 5, "has 2 servers"),
        ("            register: 1\n", "", 13, "needs its number"),
        ("mon-fri 23:00-05:00", "nights", 7, "is not a weekly time"),
        (key(2), "ssh-rsa AAAA", 17, "ssh_host_ed25519_key.pub"),
        (key(2), key(2)[:-8], 17, "cut off or damaged"),
        ("name: kupets-1-r1", "name: kupets-1-server", 13, "is in line 9 already"),
        ("id: kupets-1\n", "id: Kupets_1\n", 5, "pattern"),
        ("address: 10.0.0.2", "address: 10.0.0.2\n            address: 10.0.0.3", 17, "is given twice"),
        ("address: 10.0.0.2", "address: 10.0.0.2\n            jump: nowhere", 13, "no host 'nowhere'"),
        ("    name: Купец", "   name: Купец", 3, "no YAML"),
    ],
)
def test_bad_file_is_named_by_line(
    app: Garant, tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    """The fault's line and reason are told, and nothing was imported."""
    assert old in SMALL
    with pytest.raises(FleetFileError, match="nothing was imported") as error:
        load(app, write(tmp_path, SMALL.replace(old, new, 1)))

    assert [fault.line for fault in error.value.faults if says in fault.reason] == [line]
    assert counts(app) == (0, 0, 0, 0)


def test_all_faults_at_once(tmp_path: Path) -> None:
    """Two faults are told together, in the order of lines."""
    text = SMALL.replace("10.0.0.1\n", "a b\n").replace("register: 1", "register: 0")
    with pytest.raises(FleetFileError) as error:
        read_fleet(write(tmp_path, text))

    assert [fault.line for fault in error.value.faults] == [11, 15]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("fleet.txt", "x", "neither .yaml nor .csv"),
        ("fleet.yaml", "", "is empty"),
        ("fleet.yaml", "clients: []", "at least 1"),
        ("fleet.yaml", "a: &a [*a]", "aliases"),
        ("fleet.csv", "client,store\n", "column is missing"),
        ("fleet.csv", "client,kolor\n", "no such column"),
    ],
)
def test_file_that_is_none(tmp_path: Path, name: str, text: str, says: str) -> None:
    """Another kind of file is refused with what is expected."""
    with pytest.raises(FleetFileError) as error:
        read_fleet(write(tmp_path, text, name))

    assert says in str(error.value)


def test_alias_bomb_is_refused(tmp_path: Path) -> None:
    """A few lines of aliases that stand for billions of values end in a fault, not in memory."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(FleetFileError, match="aliases"):
        read_fleet(write(tmp_path, "\n".join(lines)))


def test_changed_key_needs_to_be_named(app: Garant, tmp_path: Path) -> None:
    """Another key of a known host is refused with both fingerprints; named, it is taken and recorded."""
    load(app, write(tmp_path, SMALL))
    file = write(tmp_path, SMALL.replace(key(2), key(3)).replace("10.0.0.1\n", "10.0.0.7\n"))
    with pytest.raises(FleetFileError) as error:
        load(app, file)
    assert fingerprint(key(2)) in str(error.value)
    assert fingerprint(key(3)) in str(error.value)
    with app.database.reading() as session:
        assert service.host(session, "kupets-1-server").address == "10.0.0.1"

    with pytest.raises(FleetFileError, match="did you mean kupets-1-r1"):
        load(app, file, accept_new_keys=["kupets-1-r2"])
    load(app, file, accept_new_keys=["kupets-1-r1"])

    with app.database.reading() as session:
        assert service.host(session, "kupets-1-r1").host_key == key(3)
        event = session.scalars(select(EventRow).where(EventRow.type == "host_key_replaced")).one()
    assert (event.thing_id, event.payload["after"]) == ("kupets-1-r1", fingerprint(key(3)))


def test_store_of_another_client_is_refused(app: Garant, tmp_path: Path) -> None:
    """A file cannot take a store, or a host, away from another client."""
    load(app, write(tmp_path, SMALL))
    with pytest.raises(FleetFileError, match="belongs to client kupets"):
        load(app, write(tmp_path, SMALL.replace("- id: kupets\n", "- id: rival\n")))
    stolen = SMALL.replace("- id: kupets\n", "- id: rival\n").replace("- id: kupets-1\n", "- id: rival-1\n")
    with pytest.raises(FleetFileError, match="another client's"):
        load(app, write(tmp_path, stolen))


def test_host_that_the_file_lacks_stays_until_retired(app: Garant, tmp_path: Path) -> None:
    """It is told, kept, and retired only on request; the same register under another name is refused."""
    load(app, write(tmp_path, SMALL))
    renamed = (
        SMALL.replace("kupets-1-r1", "kupets-1-kassa1").replace(key(2), key(4)).replace("0.0.2", "0.0.4")
    )
    with pytest.raises(FleetFileError, match="would both be register 1"):
        load(app, write(tmp_path, renamed))
    result = load(app, write(tmp_path, renamed), retire_missing=True)

    assert result.retired == ["kupets-1-r1"]
    with app.database.reading() as session:
        assert [h.id for h in service.hosts_of_store(session, "kupets-1")] == [
            "kupets-1-server",
            "kupets-1-kassa1",
        ]


def test_csv_is_the_same_fleet(app: Garant, tmp_path: Path) -> None:
    """The exported fleet as CSV rows changes nothing when it is imported."""
    load(app, EXAMPLE)
    with app.database.reading() as session:
        document = exported(session)
    file = tmp_path / "fleet.csv"
    with file.open("w", newline="", encoding="utf-8") as handle:
        rows = csv.DictWriter(handle, list(CSV_COLUMNS), delimiter=";")
        rows.writeheader()
        for client in document["clients"]:
            # The role of a contact has no column.
            client["contacts"][0]["role"] = "support"
            for store in client["stores"]:
                for host in store["hosts"]:
                    rows.writerow(_row(client, store, host))
    result = load(app, file)

    assert result.created == []
    assert result.changed == {"client baltmart": ["contacts"], "client kupets": ["contacts"]}


def _row(client: dict[str, Any], store: dict[str, Any], host: dict[str, Any]) -> dict[str, Any]:
    return {
        "client": client["id"],
        "client_name": client["name"],
        "language": client["language"],
        "client_zone": client["zone"],
        "tariff": client["tariff"],
        "contract": client.get("contract", ""),
        "service_manager": client["service_manager"],
        "contact_name": client["contacts"][0]["name"],
        "contact_address": client["contacts"][0]["address"],
        "store": store["id"],
        "store_name": store["name"],
        "store_zone": store["zone"],
        "windows": "; ".join(store["windows"]),
        "trading_hours": "; ".join(store["trading_hours"]),
        "tags": ";".join(store.get("tags", [])),
        "host": host["name"],
        **{name: host.get(name, "") for name in ("role", "register", "address", "port", "user")},
        **{name: host.get(name, "") for name in ("host_key", "lan_address", "jump")},
    }


def test_csv_faults_by_row(tmp_path: Path) -> None:
    """Missing cells, contradictions and wrong values are named by their row."""
    text = (
        "client,store,store_zone,host,role,register,address,host_key\n"
        f"k,k-1,Asia/Omsk,k-1-server,server,,10.0.0.1,{key(1)}\n"
        f"k,k-1,Asia/Chita,k-1-r1,register,1,10.0.0.2,{key(2)}\n"
        f"k,k-1,,k-1-r2,register,2,,{key(3)}\n"
        "k,k-1\n"
    )
    with pytest.raises(FleetFileError) as error:
        read_fleet(write(tmp_path, text, "fleet.csv"))
    assert [(f.line, f.field) for f in error.value.faults] == [(3, "zone"), (4, "address"), (5, "")]

    wrong = text.replace("Asia/Chita", "").replace("2,,ssh", "x,10.0.0.3,ssh").replace("k,k-1\n", "")
    with pytest.raises(FleetFileError) as error:
        read_fleet(write(tmp_path, wrong, "fleet.csv"))
    assert [fault.line for fault in error.value.faults] == [4]


def test_export_is_an_import(app: Garant, tmp_path: Path) -> None:
    """What is exported imports without a change."""
    load(app, EXAMPLE)
    with app.database.reading() as session:
        document = exported(session)
    result = load(app, write(tmp_path, yaml.safe_dump(document, allow_unicode=True)))

    assert (result.created, result.changed) == ([], {})


def test_schema_file_is_the_models() -> None:
    """inventory/fleet.schema.json says what the model says."""
    kept = json.loads((ROOT / "inventory" / "fleet.schema.json").read_text(encoding="utf-8"))

    assert kept == json_schema()


@pytest.mark.parametrize(
    ("tariff", "registers", "eligible"),
    [("standard", 99, False), ("standard", 100, True), ("contract", 1, True), ("standard", 0, False)],
)
def test_eligibility(tariff: str, registers: int, eligible: bool) -> None:
    """From 100 registers, or by contract."""
    assert eligibility(tariff, registers).eligible is eligible


@pytest.mark.parametrize("text", ["daily 23:00-05:00", "mon-fri 22:30-24:00", "mon,wed-thu,sun 00:00-04:00"])
def test_weekly_times_come_back(text: str) -> None:
    """A weekly time written and read again is the same."""
    assert weekly_text(weekly_times(text)) == text


def test_week_goes_round() -> None:
    """Saturday to Monday is three days."""
    assert weekly_times("sat-mon 01:00-02:00")["days"] == ["mon", "sat", "sun"]


@pytest.mark.parametrize("text", ["", "mon 25:00-26:00", "mon-fri", "Mon 01:00-02:00", "daily 01:00-02:00\n"])
def test_weekly_times_refused(text: str) -> None:
    """Another form is refused with the right one."""
    with pytest.raises(ValueError, match="daily 23:00-05:00"):
        weekly_times(text)


def test_key_of_another_place_in_the_line() -> None:
    """A line from known_hosts or with a comment gives the bare key."""
    assert normalised(f"[10.0.0.1]:2222 {key(5)} comment") == key(5)


def test_known_hosts_text(app: Garant, tmp_path: Path) -> None:
    """Port 22 is bare, others bracketed, and the jump host's key is there too."""
    text = SMALL.replace(
        "address: 10.0.0.2", "address: 10.0.0.2\n            port: 2222\n            jump: kupets-1-server"
    )
    load(app, write(tmp_path, text))

    with app.database.reading() as session:
        told = service.ssh_known_hosts(session, [service.host(session, "kupets-1-r1")])
    assert told == f"10.0.0.1 {key(1)}\n[10.0.0.2]:2222 {key(2)}\n"


def test_version_and_health(app: Garant, clock: Any, tmp_path: Path) -> None:
    """A change is an event, a repetition is none, an older sight is not taken."""
    load(app, write(tmp_path, SMALL))
    seen = clock.now
    with app.unit("worker:x") as unit:
        service.record_version(unit, "kupets-1-r1", "1.2.0", seen)
        service.record_version(unit, "kupets-1-r1", "1.2.0", seen)
        service.record_version(unit, "kupets-1-r1", "1.1.0", seen.replace(year=2020))
        service.record_health(unit, "kupets-1-r1", "down")
        service.record_health(unit, "kupets-1-r1", "down")
        with pytest.raises(RefusedError, match="no state 'ill'"):
            service.record_health(unit, "kupets-1-r1", "ill")
        with pytest.raises(NotFoundError):
            service.record_health(unit, "kupets-1-r9", "down")

    with app.database.reading() as session:
        assert service.host(session, "kupets-1-r1").version == "1.2.0"
        events = select(EventRow.type).where(EventRow.thing_id == "kupets-1-r1").order_by(EventRow.id)
        assert session.scalars(events).all() == ["imported", "version_verified", "health_changed"]


def test_near_names(app: Garant, tmp_path: Path) -> None:
    """An unknown name is answered with the near one and the command that lists."""
    load(app, write(tmp_path, SMALL))
    with app.database.reading() as session:
        with pytest.raises(NotFoundError, match="Did you mean kupets-1"):
            service.hosts_of_store(session, "kupets-2")
        with pytest.raises(NotFoundError, match="garant fleet list"):
            service.client(session, "nobody")
