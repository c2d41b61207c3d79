"""Canaries: personal data planted everywhere a store can hold it is in nothing that comes of the evidence."""

from __future__ import annotations

import base64
import binascii
import gzip
import html
import io
import json
import logging
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote_to_bytes

import pytest
from sqlalchemy import select

from pipeline.application import Garant
from pipeline.database import Base
from pipeline.defects import queries
from pipeline.defects import service as defects
from pipeline.diagnosis import folder
from pipeline.diagnosis import service as diagnosis
from pipeline.diagnosis.collector import Collected
from pipeline.diagnosis.tables import EvidenceRow
from pipeline.engine.memory import MemoryEngine
from pipeline.fleet.tables import ClientRow, HostRow, StoreRow
from pipeline.intake import service as intake
from pipeline.reproduction import service as reproduction
from pipeline.settings import Settings
from pipeline.trackers import archives
from testbench.drivers.port import Build, Limits
from testbench.drivers.set10.player import Player
from testbench.drivers.set10.provision import Store
from testbench.masking import rules
from testbench.reference.product import write_product
from testbench.scenarios import Scenario, from_evidence, write
from testbench.scenarios.composing import Composer, good

RELEASE, BARCODE, PRICE = "v10.4.6.0", "4600000005001", "23.27"
START = datetime(2025, 11, 23, 5, tzinfo=UTC)
SIGNATURE = "receipt-arithmetic/lines-sum"


def _checked(body: str) -> str:
    return body + rules.luhn(body)


LAST, FIRST, MIDDLE = "Зимородкова", "Евпраксия", "Кондратьевна"
CASHIER = ("Подорожников", "Аристарх", "Вениаминович")
LATIN = ("Zvezdochkina", "Glafirana")
UNNAMED = "Перепелицын Мстислав Ксенофонтович"
CARD, TAB = "2013800000017", "58317204"
PAN, SPACED = _checked("427638001234567"), _checked("546938009876543")
PHONE, OTHER, LOOSE = "79161234567", "79267654321", "79859473615"
MAIL, LOOSE_MAIL = "zimorodkova.e@mail.example", "aristarkh77@box.example"
INN = "500100" + "7322" + rules.inn_checks("5001007322")
SNILS = "112-233-445 " + rules.snils_control("112233445")
FN, FD, FP = "9999078900001234", "48213977", "3344556677"
SERIAL, KEY91, TAIL = "5sGh7KqWzXcVb", "EE11", "dGVzdHRhaWxvZmNyeXB0b2NvZGUxMjM0NTY3ODkwMTI="
MARK = f"010460000000500121{SERIAL}\x1d91{KEY91}\x1d92{TAIL}"
STAMP = "22N00001CUS7K1M0QV0A8V63021712345678"
QR = f"t=20251123T2153&s=69.81&fn={FN}&i={FD}&fp={FP}&n=1"
BIRTH = "1987-03-31"

#: What is looked for: without case, so cut that it stays when the word is declined or grown together.
CANARIES = {
    "name": ("зимородков", "евпракси", "кондратьевн", "подорожников", "аристарх", "вениаминович"),
    "latin name": ("zvezdochkin", "glafiran"),
    "name without a field": ("перепелицын", "мстислав", "ксенофонтович"),
    "phone": (PHONE[1:], OTHER[1:], LOOSE[1:]),
    "mail": (MAIL, LOOSE_MAIL),
    "card": (CARD, PAN, SPACED, PAN[6:]),
    "tab number": (TAB,),
    "inn": (INN,),
    "snils": (re.sub(r"\D", "", SNILS), SNILS[:11]),
    "fiscal": (FN, FD, FP),
    "marking": (SERIAL.lower(), TAIL.lower(), STAMP[3:].lower()),
    "birthday": (BIRTH,),
}

FULL = " ".join((LAST, FIRST, MIDDLE))
SPOKEN = (
    f"cashier={' '.join(CASHIER)} tabNumber={TAB}; customer {LATIN[0]} {LATIN[1]}\n"
    f"ФИО: {FULL}, тел +7 (916) 123-45-67, 8 926 765-43-21, {MAIL}; снилс {SNILS}; ИНН {INN}\n"
    f"карта {CARD}, pan {PAN[:4]} {PAN[4:8]} {PAN[8:12]} {PAN[12:]}, {SPACED}, {QR}, mark {MARK}\n"
    f"выдано Зимородковой Евпраксии, вместе с Подорожниковым; ПОДОРОЖНИКОВУ; {UNNAMED} звонил с {LOOSE}\n"
    f"joined: {LATIN[0]}{LATIN[1]} user{LATIN[0]}1 {LAST.upper()}_КАРТА ПодорожниковАВ; mail {LOOSE_MAIL}\n"
)
PERSON = {
    "lastName": LAST, "firstName": FIRST, "middleName": MIDDLE, "phone": PHONE, "email": MAIL, "inn": INN,
    "snils": SNILS, "birthDate": BIRTH, "cardNumber": CARD, "pan": PAN, "qr": QR, "mark": MARK,
    "stamp": STAMP,
}  # fmt: skip
#: Fields that are kept because they say nothing of a person, until somebody puts a person into them.
KEPT = {
    "document": LOOSE, "code": LOOSE_MAIL, "item": SPACED, "packet": UNNAMED, "order": SNILS, "id": PHONE,
    "number": f"+7 ({LOOSE[1:4]}) {LOOSE[4:7]}-{LOOSE[7:9]}-{LOOSE[9:]}", "unit": QR, "type": LAST, "ti": PAN,
}  # fmt: skip
CARDS = f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- asked for by {FULL}, {MAIL}, {PHONE} -->
<cards-catalog>
  <internal-card-type guid="5" name="Five" percentage-discount="5.00" deleted="false">
    <card-range guid="900001" startField="2013800000000" countField="1000" deleted="false"/>
  </internal-card-type>
  <internal-card number="{CARD}" status="ACTIVE" deleted="false" card-type-guid="5">
    <client guid="{CARD}" last-name="{LAST}" first-name="{FIRST}" middle-name="{MIDDLE}"
      mobile-phone="{PHONE}" email="{MAIL}" birth-date="{BIRTH}" inn="{INN}" snils="{SNILS}"/>
  </internal-card>
  <internal-card number="2013800000024" status="ACTIVE" deleted="false" card-type-guid="5">
    <client guid="2013800000024" last-name="{LATIN[0]}" first-name="{LATIN[1]}" mobile-phone="{OTHER}"/>
  </internal-card>
</cards-catalog>
"""
PURCHASES = f"""<?xml version="1.0" encoding="UTF-8"?>
<purchases count="1"><purchase tabNumber="{TAB}" userName="{" ".join(CASHIER)}" shop="1" cash="1" shift="1"
 number="1" amount="69.81" inn="{INN}" fiscalnum="{FN}" fiscalDocNum="{FD}" qrcode="{html.escape(QR)}">
 <plugin-property key="FISCAL_DOC_ID" value="{FD}"/>
 <plugin-property key="CASHIER_NAME" value="{CASHIER[0]} А.В."/>
 <positions><position goodsCode="500001" barCode="{BARCODE}" amount="{PRICE}">
  <plugin-property key="excise-token" value="{MARK.replace(chr(29), "")}"/></position></positions>
 <payments><payment typeClass="BankCardPaymentEntity" amount="69.81" description="{PAN}">
  <plugin-property key="card.number" value="{SPACED}"/></payment></payments>
 <discountCards><discountCard>{CARD}</discountCard></discountCards>
 <exciseBottles><bottle barcode="4600000000770" exciseBarcode="{STAMP}"/></exciseBottles>
 <note><![CDATA[{SPOKEN.replace(chr(29), "")}]]></note><!-- {SPOKEN.replace(chr(29), "")} -->
</purchase></purchases>"""


def _b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def log() -> str:
    """What logs hold: plain, and in every encoding that programs put inside a line."""
    person = json.dumps(PERSON)
    inside = json.dumps({"body": person, "xml": CARDS})
    wrapped = base64.encodebytes(PURCHASES.encode()).decode()
    return "".join(
        f"{text}\n"
        for text in (
            SPOKEN,
            f"DEBUG sent <return>{_b64(PURCHASES)}</return>",
            f"DEBUG sent wrapped\n{wrapped}",
            f"DEBUG again {_b64(PURCHASES.encode('utf-16'))} {_b64(SPOKEN)} {_b64(SPOKEN.encode('cp1251'))}",
            f"DEBUG web-safe {base64.urlsafe_b64encode(SPOKEN.encode()).decode()}",
            f"DEBUG zipped {_b64(gzip.compress(SPOKEN.encode()))}",
            f"DEBUG quoted {html.escape(PURCHASES)}",
            f"DEBUG json {person}",
            f"DEBUG json in json {inside}",
            f"DEBUG GET /find?fio={quote(FULL)}&phone={quote_plus('+' + PHONE)}&qr={quote(QR)}",
            f"DEBUG GET /find?mail={quote(MAIL)}",
            f"DEBUG GET /old?fio={quote(FULL.encode('cp1251'))}&card={CARD}",
            f"DEBUG entities {''.join(f'&#{ord(char)};' for char in FULL)}",
            f"DEBUG entities {''.join(f'&#x{ord(char):x};' for char in MAIL)}",
            *(f"DEBUG {name}={value} {{'{name}': '{value}'}}" for name, value in {**KEPT, **PERSON}.items()),
        )
    )


def traded() -> Scenario:
    """A day of a store whose release splits a discount on a receipt wrongly (a planted defect)."""
    composer = Composer(START)
    composer.package("1", [good("500001", BARCODE, 2327)])
    composer.cards(CARDS.encode())
    composer.open_shift(1, TAB)
    composer.receipt([(BARCODE, 1000)], 5000, card=CARD)
    composer.receipt([(BARCODE, 1000)] * 3, 10_000, amount=100)
    composer.close_shift()
    composer.do(1, "sync:1", "sync")
    return composer.scenario()


def store(build: Build, workspace: Path) -> list[Collected]:
    """A store that traded, as the collector hands it over, with canaries in every file."""
    workspace.mkdir()
    scenario = traded()
    hosts = {
        None: Collected(host="s-server", role="server", register=None),
        1: Collected(host="s-r1", role="register", register=1),
    }
    with Store(build, scenario, workspace, Limits()) as playing:
        player = Player(playing, scenario)
        for event in scenario.events:
            player.play(event)
        for register, host in hosts.items():
            data = playing.data(register)
            host.files["catalog.json"] = json.dumps(player.get(register, "/catalog")).encode()
            host.files["journal.jsonl"] = (data / "journal.jsonl").read_bytes() + _journal()
            for kind in ("products", "cards"):
                for file in sorted((data / kind / "success").glob("*.xml")):
                    host.files[f"exchange/{kind}/success/{file.name}"] = file.read_bytes()
    for host in hosts.values():
        host.files |= _planted((workspace / "server.log").read_bytes())
        host.missing.append({"what": f"cards-{LAST}_{CARD}.xml", "reason": f"no {LOOSE_MAIL}: {SPOKEN}"})
    return list(hosts.values())


def _journal() -> bytes:
    entry = {"seq": 9000, "at": "2025-11-23T09:00:00+03:00", "type": "service.note", "cash": 1, "shift": 1}
    lines = [
        {**entry, "unit": f"receipt:{LOOSE}", "payload": {**PERSON, "text": SPOKEN, "xml": CARDS}},
        {**entry, "payload": KEPT, "result": {"ok": False, "text": log()}},
        {**entry, "type": FULL, "payload": {"list": [SPOKEN, {"deep": [PERSON, KEPT]}]}},
        {**entry, "type": "receipt.add", "payload": {"barcode": MARK}, "result": {"ok": False}},
    ]
    return (
        "".join(json.dumps(line) + "\n" for line in lines).encode() + b'{"seq": 9, "half": "' + FULL.encode()
    )


def _planted(own_log: bytes) -> dict[str, bytes]:
    text = log()
    plain = SPOKEN.replace("\x1d", "")
    return {
        "VERSION": b"10.4.6.0\n",
        "etc/set/set.json": json.dumps(
            {"shop": 1, "owner": FULL, "support": {"phone": OTHER, "text": SPOKEN}, "people": [PERSON, KEPT]}
        ).encode(),
        "status.json": json.dumps({"cashier": " ".join(CASHIER), "said": SPOKEN, **KEPT}, indent=1).encode(),
        "set.log": own_log + text.encode(),
        "logs/set.log.1.gz": gzip.compress(text.encode()),
        "logs/set.log.2": text.encode("cp1251"),
        "logs/set.log.3": text.encode("utf-16"),
        "logs/set.log.4.gz": gzip.compress(text.encode("cp1251")),
        "logs/set.log.5.zst": b"\x28\xb5\x2f\xfd\x00" + text.encode(),
        "logs/set.log.6": gzip.compress(text.encode()),
        f"logs/set.log.{LAST}-{CARD}-{LOOSE}": text.encode(),
        f"exchange/cards/error/cards-{LATIN[0]}_{OTHER}.xml": CARDS[:-30].encode(),
        "exchange/cards/error/old.xml": CARDS.replace("UTF-8", "windows-1251").encode("cp1251"),
        "exchange/cards/error/wide.xml": CARDS.replace("UTF-8", "UTF-16").encode("utf-16"),
        "exchange/reports/purchases.xml": PURCHASES.encode(),
        "exchange/reports/soap.xml": f"<Envelope><return>{_b64(PURCHASES)}</return></Envelope>".encode(),
        "exchange/reports/quoted.xml": f"<Envelope><arg0>{html.escape(PURCHASES)}</arg0></Envelope>".encode(),
        "exchange/products/error/goods.xml": (
            f'<goods-catalog><!-- {plain.replace("--", "")} --><good marking-of-the-good="1">'
            f"<name>{plain.split(chr(10))[0]}</name><code>{LOOSE_MAIL}</code><item>{PAN}</item></good></goods-catalog>"
        ).encode(),
        "database/clients.jsonl": "".join(json.dumps(row) + "\n" for row in (PERSON, KEPT)).encode(),
        "database/shifts.jsonl": json.dumps({"number": 1, "tab_number": TAB, "user_name": FULL}).encode(),
    }  # fmt: skip


_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}(?:\s?\n[A-Za-z0-9+/_-]{2,})*={0,2}")
_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")


def views(data: bytes, depth: int = 4) -> Iterator[str]:
    """Everything that somebody can read in it: each encoding by itself, and what is inside of those."""
    if not depth:
        return
    for text in {
        data.decode(encoding, "replace") for encoding in ("utf-8", "cp1251", "utf-16-le", "utf-16-be")
    }:
        yield text
        plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), html.unescape(text))
        if plain != text:
            yield plain
    if b"%" in data:
        unquoted = unquote_to_bytes(data)
        if unquoted != data:
            yield from views(unquoted, depth - 1)
    for place in (found.start() for found in re.finditer(rb"\x1f\x8b\x08", data)):
        try:
            yield from views(zlib.decompressobj(31).decompress(data[place:]), depth - 1)
        except zlib.error:
            continue
    for found in {match[0] for match in _BASE64.finditer(data)}:
        solid = re.sub(rb"\s", b"", found).rstrip(b"=")
        for altchars in (b"+/", b"-_"):
            try:
                inner = base64.b64decode(solid + b"=" * (-len(solid) % 4), altchars, validate=True)
            except (binascii.Error, ValueError):
                continue
            yield from views(inner, depth - 1)
            break


def found_in(data: bytes) -> set[str]:
    """The canaries that can be read in it, also with other separators."""
    seen: set[str] = set()
    for text in views(data):
        low = text.lower()
        solid = re.sub(r"[\s()+-]", "", low)
        for kind, canaries in CANARIES.items():
            seen |= {f"{kind}: {one}" for one in canaries if one.lower() in low or one.lower() in solid}
    return seen


def _leaks(place: Path) -> list[str]:
    """Where canaries are below a folder, in contents and in names."""
    leaks = []
    for file in sorted(place.rglob("*")):
        name = file.relative_to(place).as_posix()
        if name.startswith(("bench/builds/", "bench/repositories/")):
            continue  # the product's own programs
        content = file.read_bytes() if file.is_file() and not file.is_symlink() else b""
        leaks += [f"{name}: {one}" for one in sorted(found_in(content + b"\n" + name.encode()))]
    return leaks


@pytest.fixture(scope="module")
def gave(build: Callable[[str], Build], tmp_path_factory: pytest.TempPathFactory) -> list[Collected]:
    """What the collector got from the store, not masked."""
    return store(build(RELEASE), tmp_path_factory.mktemp("canaries") / "store")


@pytest.fixture
def case(app: Garant, repository: Path, gave: list[Collected], monkeypatch: pytest.MonkeyPatch) -> str:
    """A case whose evidence was collected from that store."""
    home = app.settings.home
    monkeypatch.setenv("TESTBENCH_HOME", str(home / "bench"))
    app.settings = Settings(home=home, product=write_product(repository))
    stamp: dict[str, Any] = {"state": "active", "created_at": app.clock(), "updated_at": app.clock()}
    with app.unit("person:test") as unit:
        unit.session.add(
            ClientRow(
                id="c", name="C", language="ru", zone="Europe/Moscow", tariff="contract", contract="test",
                contacts=[], service_manager="manager@support.invalid", **stamp,
            )
        )  # fmt: skip
        unit.session.flush()
        unit.session.add(
            StoreRow(
                id="s", client_id="c", name="S", zone="Europe/Moscow", windows=[], trading_hours=[], tags=[],
                **stamp,
            )
        )  # fmt: skip
        unit.session.flush()
        for host in gave:
            unit.session.add(
                HostRow(
                    id=host.host, store_id="s", role=host.role, register=host.register, address="127.0.0.1",
                    port=22, user="root", host_key="ssh-ed25519 AAAA", lan_address=None, jump=None,
                    version="10.4.6.0", verified_at=app.clock(), **{**stamp, "state": "in-service"},
                )
            )  # fmt: skip
        case = intake.open_case(
            unit, client_id="c", store_id="s", channel="web", received_at=app.clock(), subject="Чек",
            text="Чек не сходится",
        ).id  # fmt: skip
        row = diagnosis.request(unit, case)
        target = app.settings.folder("evidence") / row.id
        about = folder.About(
            store="s", zone="Europe/Moscow", product="set10", window_from=row.window_from,
            window_to=row.window_to, collected_at=app.clock(), collected_by="person:test",
        )  # fmt: skip
        written = folder.write(target, about, gave, b"a key of the tests, 32 bytes long")
        figures = {"hosts": len(gave), "files": written.files, "bytes": written.bytes}
        outcome = {
            "folder": str(target), "digest": written.digest, "version": written.version,
            "missing": written.missing, "figures": figures,
        }  # fmt: skip
        diagnosis.settle(unit, unit.get(EvidenceRow, row.id), outcome, None)
    return case


def test_every_canary_can_be_read_before_masking(gave: list[Collected]) -> None:
    """Each is planted on each host, and the search of this test sees it there, whatever hides it."""
    for host in gave:
        seen = set().union(*(found_in(content) for content in host.files.values()))

        assert seen == {f"{kind}: {one}" for kind, canaries in CANARIES.items() for one in canaries}
    for name, content in gave[0].files.items():
        if name.startswith(("logs/", "exchange/reports/", "exchange/cards/")) and "zst" not in name:
            assert found_in(content), name


def test_no_canary_is_in_the_stored_evidence(app: Garant, case: str) -> None:
    """Nor in evidence.json, nor in a file's name; goods, prices and the damaged file's mention are there."""
    evidence = app.settings.home / "evidence"

    assert _leaks(evidence) == []
    own = evidence / "E-000001"
    listed = {host["name"]: host for host in json.loads((own / "evidence.json").read_bytes())["hosts"]}
    left_out = [entry["what"] for host in listed.values() for entry in host["missing"]]
    assert left_out.count("logs/set.log.5.zst") == left_out.count("logs/set.log.6") == len(listed)
    purchases = (own / "files/s-server/exchange/reports/purchases.xml").read_text()
    assert f'goodsCode="500001" barCode="{BARCODE}" amount="{PRICE}"' in purchases


def test_no_canary_comes_out_of_the_whole_chain(
    app: Garant, case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Masked, the store's defect still reproduces; its bundle, issue, archive and rows hold none of them."""
    caplog.set_level(logging.INFO)
    with app.unit("person:test") as unit:
        reproduction.request(unit, case, runs=3)
    assert isinstance(app.engine, MemoryEngine)
    app.engine.run_due(app.dispatcher("test"))
    with app.unit("person:test") as unit:
        defects.file(unit, "D-000001")
    app.engine.run_due(app.dispatcher("test"))
    with app.database.reading() as session:
        defect = queries.defect(session, "D-000001")
        rows = [
            repr(tuple(row))
            for table in Base.metadata.sorted_tables
            for row in session.execute(select(table))
        ]
    assert defect.bundle is not None
    archive = tmp_path / "archive.tar.gz"
    archives.pack(Path(defect.bundle), archive, name="D-000001")
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as packed:
        members = set(packed.getnames())
    scenario = from_evidence(app.settings.home / "evidence/E-000001")
    write(scenario, tmp_path / "home/scenario")

    assert (defect.signature, defect.tracker_key is not None) == (SIGNATURE, True)
    assert {"D-000001/case.json", "D-000001/matrix.json", "D-000001/logs/runs-0.jsonl"} <= members
    assert len(scenario.events) > (defect.events_after or 0) > 0
    assert found_in("\n".join([*rows, caplog.text]).encode()) == set()
    assert found_in(archive.read_bytes()) == set()
    assert _leaks(app.settings.home) == []
