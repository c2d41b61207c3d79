"""The evidence folder: nothing personal in it, whole or not there, and never changed unseen."""

from __future__ import annotations

import base64
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.diagnosis import folder
from pipeline.diagnosis.collector import Collected
from pipeline.diagnosis.errors import EvidenceChangedError

KEY = b"k" * 32
NOW = datetime(2026, 3, 12, 9, tzinfo=UTC)
ABOUT = folder.About(
    store="k-1",
    zone="Europe/Moscow",
    product="set10",
    window_from=NOW,
    window_to=NOW,
    collected_at=NOW,
    collected_by="person:test",
    recipe="set10",
)

#: Personal data as stores have it, each with a form that nothing else in the files has.
NAME, CARD, PHONE = "Зимородкова", "2013800055501", "79161234567"
EMAIL, PAN, INN = "olga.zim@mail.example", "4276380012345679", "500100732259"
CANARIES = (NAME, CARD, PHONE, EMAIL, PAN, INN)

CARDS = f"""<?xml version="1.0" encoding="UTF-8"?>
<cards-catalog><internal-card number="{CARD}" status="ACTIVE"><client guid="1" last-name="{NAME}"
 first-name="Ольга" mobile-phone="{PHONE}" email="{EMAIL}" inn="{INN}"/></internal-card></cards-catalog>"""
JOURNAL = [
    {"seq": 1, "at": "2026-03-12T09:00:00+03:00", "type": "receipt.card", "payload": {"number": CARD}},
    {
        "seq": 2,
        "at": "2026-03-12T09:00:01+03:00",
        "type": "receipt.pay",
        "payload": {"comment": f"pan {PAN}"},
    },
]
LOG = f"""12.03 09:00 INFO card {CARD} of {NAME} Ольга read, tel {PHONE}, {EMAIL}
12.03 09:01 INFO inn={INN} cardNumber={CARD} pan {PAN}
12.03 09:02 DEBUG sent {base64.b64encode(CARDS.encode()).decode()}
"""


def gave(host: str = "k-1-server", register: int | None = None, **files: bytes) -> Collected:
    named = {name.replace("__", "/").replace("_", "."): content for name, content in files.items()}
    role = "server" if register is None else "register"
    return Collected(host=host, role=role, register=register, files=named)


def everything() -> list[Collected]:
    """Personal data in every kind of file, and in what a host says of what it could not give."""
    server = gave(
        VERSION=b"10.4.7.0\n",
        etc__set__set_json=json.dumps({"shop": 7, "cashier": f"{NAME} Ольга"}).encode(),
        exchange__cards__success__cards_xml=CARDS.encode(),
        exchange__cards__error__cards_xml=CARDS[:-30].encode(),
        catalog_json=json.dumps({"goods": [], "owner": NAME}).encode(),
        set_log=LOG.encode(),
    )
    register = gave("k-1-r1", 1, journal_jsonl="".join(json.dumps(e) + "\n" for e in JOURNAL).encode())
    register.files["set.log"] = LOG.encode("utf-8") + b"\xff\xfe"
    register.files["status.json"] = f"not JSON: {NAME} {CARD} {PHONE}".encode()
    register.missing.append({"what": f"documents: cards-{NAME}.xml", "reason": f"no {EMAIL} {PHONE}: {PAN}"})
    return [server, register]


def test_no_personal_data_is_in_any_file(tmp_path: Path) -> None:
    """Documents (whole, broken, in base64), journals, settings, logs, and the list of what is missing."""
    written = folder.write(tmp_path / "E-1", ABOUT, everything(), KEY)
    files = [path for path in (tmp_path / "E-1").rglob("*") if path.is_file()]

    assert len(files) == written.files + 1 == 10
    for file in files:
        content = file.read_bytes()
        text = content.decode("utf-8", "ignore")
        for word in text.split():
            if len(word) > 100:
                text += base64.b64decode(word).decode("utf-8", "replace")
        found = [canary for canary in CANARIES if canary in text or canary in file.name]
        assert found == [], file


def test_one_person_has_one_pseudonym_in_all_files(tmp_path: Path) -> None:
    """Masked evidence still tells who did what: the journal's card is the document's card."""
    folder.write(tmp_path / "E-1", ABOUT, everything(), KEY)
    files = tmp_path / "E-1" / "files"
    card = json.loads((files / "k-1-r1/journal.jsonl").read_text().splitlines()[0])["payload"]["number"]

    assert f'number="{card}"' in (files / "k-1-server/exchange/cards/success/cards.xml").read_text()
    assert card in (files / "k-1-server/set.log").read_text()


def test_the_list_says_what_is_there(tmp_path: Path) -> None:
    """Versions, shop, digests, what is missing: as read back."""
    written = folder.write(tmp_path / "E-1", ABOUT, everything(), KEY)
    document = json.loads((tmp_path / "E-1/evidence.json").read_text())

    assert (document["version"], document["shop"], document["store"]) == ("10.4.7.0", 7, "k-1")
    assert [host["name"] for host in document["hosts"]] == ["k-1-server", "k-1-r1"]
    assert written.missing[0]["host"] == "k-1-r1"
    assert folder.read(tmp_path / "E-1", written.digest) == written


@pytest.mark.parametrize(
    "content",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    ],
)
def test_a_document_that_cannot_be_masked_is_left_out(tmp_path: Path, content: bytes) -> None:
    """It is listed, and the rest is stored."""
    host = gave(exchange__reports__a_xml=content, VERSION=b"1")
    written = folder.write(tmp_path / "E-1", ABOUT, [host], KEY)

    assert written.files == 1
    assert [entry["what"] for entry in written.missing] == ["exchange/reports/a.xml"]


@pytest.mark.parametrize(
    "text", ['{"a": "\\ud800"}', '{"a":' * 3000 + "1" + "}" * 3000, "\0" * 10, "9" * 5000]
)
def test_hostile_json_never_fails_the_collection(tmp_path: Path, text: str) -> None:
    """Text that no encoding can write, nesting without end: stored masked or left out, but never raised."""
    host = gave(journal_jsonl=text.encode() + b"\n", status_json=text.encode(), VERSION=b"1")
    written = folder.write(tmp_path / "E-1", ABOUT, [host], KEY)

    assert written.files + len(written.missing) == 3


def test_the_folder_is_read_only(tmp_path: Path) -> None:
    """Nobody changes evidence by mistake."""
    folder.write(tmp_path / "E-1", ABOUT, everything(), KEY)

    assert [path for path in (tmp_path / "E-1").rglob("*") if path.stat().st_mode & 0o222] == []
    assert (tmp_path / "E-1").stat().st_mode & 0o777 == 0o550
    assert sorted(path.name for path in tmp_path.iterdir()) == [".objects", "E-1"]


def test_a_folder_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    """A later attempt, or one that was overtaken, takes what is there: one evidence, one digest."""
    first = folder.write(tmp_path / "E-1", ABOUT, [gave(VERSION=b"1")], KEY)
    second = folder.write(tmp_path / "E-1", ABOUT, everything(), KEY)

    assert second == first


def test_what_a_killed_attempt_left_is_removed(tmp_path: Path) -> None:
    """Half-written evidence is not evidence."""
    (tmp_path / ".E-1.abc" / "files").mkdir(parents=True)
    folder.write(tmp_path / "E-1", ABOUT, everything(), KEY)

    assert sorted(path.name for path in tmp_path.iterdir()) == [".objects", "E-1"]


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    """A file, the list, an added file, a removed one, a link: each is refused by its name."""
    whole = tmp_path / "E-1"
    digest = folder.write(whole, ABOUT, everything(), KEY).digest
    changes = {
        "files/k-1-r1/journal.jsonl was changed": lambda at: (at / "files/k-1-r1/journal.jsonl").write_text(
            "{}"
        ),
        "evidence.json was changed": lambda at: (at / "evidence.json").write_text(
            (at / "evidence.json").read_text().replace("k-1-r1", "k-1-r1", 1) + " "
        ),
        "evidence.json cannot be read": lambda at: (at / "evidence.json").write_text("{"),
        "files/k-1-server/VERSION is missing": lambda at: (at / "files/k-1-server/VERSION").unlink(),
        "files/k-1-r1/new was added": lambda at: (at / "files/k-1-r1/new").write_text(""),
        "files/k-1-r1/link was added": lambda at: (at / "files/k-1-r1/link").symlink_to("/etc/passwd"),
    }
    for number, (told, change) in enumerate(changes.items()):
        copy = tmp_path / str(number)
        shutil.copytree(whole, copy, copy_function=shutil.copyfile)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        change(copy)

        with pytest.raises(EvidenceChangedError, match=told) as refused:
            folder.read(copy, digest)
        assert "garant diagnose" in str(refused.value)
