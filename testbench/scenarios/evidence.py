"""Turns an evidence folder into a scenario (DESIGN section 1, step 3).

The folder came from a store over the network: every file in it is hostile input. What cannot be used is
listed in the scenario's notes; only a folder that is no evidence at all is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from testbench.oracles import documents as exchange
from testbench.scenarios import catalog, journal, moments
from testbench.scenarios.errors import EvidenceError
from testbench.scenarios.events import EVENT_TYPES, PAYLOADS
from testbench.scenarios.journal import Entry
from testbench.scenarios.schema import (
    Clock,
    Event,
    Scenario,
    Snapshot,
    digest_of_documents,
    digests,
    numbered,
)

MAX_FILE_BYTES = 32 * 1024**2
MAX_HOSTS = 200
#: What the product journals by itself -> the event that makes it happen again.
_BY_ITSELF = {"transport.applied": "sync", "receipts.sent": "sync"}
#: Exchange folder -> the event that brings its documents by SOAP.
_BY_SOAP = {"products": "erp.goods", "discounts": "erp.actions"}
#: The state before the window is set up this long before the first event.
_BEFORE = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class _Host:
    name: str
    register: int | None
    folder: Path


@dataclass
class _Draft:
    """What is being put together."""

    zone: ZoneInfo
    events: list[Event] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    #: Register -> shift in the journal, and the receipt that is open.
    shifts: dict[int, int] = field(default_factory=dict)
    receipts: dict[int, str] = field(default_factory=dict)
    #: The group in which the entry that is being taken met others.
    together: int | None = None

    def add(
        self,
        at: datetime,
        register: int | None,
        unit: str,
        kind: str,
        payload: dict[str, Any],
        together: int | None = None,
    ) -> None:
        self.events.append(
            Event.model_validate(
                {
                    "seq": len(self.events) + 1,
                    "at": at,
                    "register": register,
                    "unit": unit,
                    "type": kind,
                    "payload": payload,
                    "together": together,
                }
            )
        )

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def from_evidence(evidence_dir: Path) -> Scenario:
    """The scenario that repeats what was done in the store in the window of the evidence.

    Raises:
        EvidenceError: evidence.json is missing or not usable, or no journal has one usable entry.
    """
    record = _evidence(evidence_dir)
    try:
        draft = _Draft(zone=ZoneInfo(str(record["zone"])))
        shop = int(record["shop"])
    except (KeyError, ValueError, TypeError, OSError) as problem:
        raise EvidenceError(f"{evidence_dir}: evidence.json: shop or zone is not usable: {problem}") from None
    hosts = list(_hosts(evidence_dir, record, draft))
    journals = []
    for host in hosts:
        entries, problems = journal.read(host.folder / "journal.jsonl", host.name, host.register)
        journals.append(entries)
        draft.notes += problems
    folders = {host.name: host.folder for host in hosts}
    for entry, draft.together in moments.met(journal.interleaved(journals)):
        _take(draft, entry, folders[entry.host])
    if not draft.events:
        raise EvidenceError(f"{evidence_dir}: no journal has a usable entry; collect a longer window again")
    registers = sorted({host.register for host in hosts if host.register is not None})
    _catalogue_before(draft, hosts, registers)
    return _scenario(record, draft, shop, registers)


def _scenario(record: dict[str, Any], draft: _Draft, shop: int, registers: list[int]) -> Scenario:
    events = numbered(moments.unbroken(_without_repeated_syncs(draft.events)))
    masking = record.get("masking")
    sums = digests(draft.contents)
    return Scenario(
        title=f"{str(record.get('store', 'store'))[:80]} {str(record.get('version', ''))[:40]}".strip(),
        snapshot=Snapshot(sha256=digest_of_documents(sums)),
        masking=masking if isinstance(masking, dict) else None,
        clock=Clock(start=events[0].at),
        zone=draft.zone.key,
        shop=shop,
        registers=tuple(registers),
        documents=sums,
        contents=draft.contents,
        events=tuple(events),
        notes=tuple(note[:500] for note in draft.notes[:200]),
    )


def _evidence(folder: Path) -> dict[str, Any]:
    data = _bytes(folder, "evidence.json")
    if data is None:
        raise EvidenceError(f"{folder}: evidence.json is missing or too large; run the diagnosis again")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise EvidenceError(f"{folder}: evidence.json is not JSON; run the diagnosis again") from None
    if not isinstance(record, dict) or record.get("schema") != 1 or record.get("product") != "set10":
        raise EvidenceError(f"{folder}: evidence.json must have schema 1 and product set10")
    return record


def _hosts(folder: Path, record: dict[str, Any], draft: _Draft) -> Iterator[_Host]:
    """Server first: at equal times the server's part is played before the registers'."""
    listed = record.get("hosts")
    known = [host for host in listed if isinstance(host, dict)] if isinstance(listed, list) else []
    known.sort(key=lambda host: (host.get("role") != "server", str(host.get("name"))))
    taken: set[int | None] = set()
    for host in known[:MAX_HOSTS]:
        name, register = str(host.get("name", "")), host.get("register")
        own = folder / "files" / name
        if not name or name != Path(name).name or own.is_symlink() or not own.is_dir():
            draft.note(f"host {name[:80]!r} skipped: it has no folder in files/")
            continue
        is_register = isinstance(register, int) and not isinstance(register, bool) and register > 0
        if host.get("role") != "server" and not is_register:
            draft.note(f"host {name[:80]!r} skipped: its register number is not usable")
            continue
        number = register if is_register else None
        if number in taken:
            draft.note(f"host {name[:80]!r} skipped: it is listed twice")
            continue
        taken.add(number)
        for missing in host.get("missing") or []:
            if isinstance(missing, dict):
                draft.note(f"{name}: {str(missing.get('what'))[:80]} was not collected")
        yield _Host(name=name, register=number, folder=own)


def _take(draft: _Draft, entry: Entry, folder: Path) -> None:
    if entry.register is None:
        if entry.type == "import.done":
            _import(draft, entry, folder)
        elif entry.type in ("export", "restart"):
            draft.add(entry.at, None, f"{entry.type}:{entry.seq}", entry.type, {})
        elif entry.type == "bonus.charge":
            _charge(draft, entry)
        return
    kind = _BY_ITSELF.get(entry.type, entry.type)
    if kind == "sync":
        draft.add(entry.at, entry.register, f"sync:{entry.register}/{entry.seq}", "sync", {})
    elif kind in EVENT_TYPES:
        _register_event(draft, entry, kind)
    else:
        draft.note(f"{entry.host}: journal type {kind!r} is not known here and was left out")


def _charge(draft: _Draft, entry: Entry) -> None:
    """Bonuses that the processing service put on an account."""
    payload = {"card": str(entry.payload.get("card_number") or ""), "amount": entry.payload.get("amount")}
    try:
        PAYLOADS["bonus.charge"].model_validate(payload)
    except ValidationError:
        draft.note(f"{entry.host}: entry {entry.seq} (bonus.charge) left out: its payload is not usable")
        return
    draft.add(entry.at, None, f"bonus:{entry.seq}", "bonus.charge", payload)


def _register_event(draft: _Draft, entry: Entry, kind: str) -> None:
    known = PAYLOADS[kind].model_fields
    payload = {name: value for name, value in entry.payload.items() if name in known and value is not None}
    assert entry.register is not None
    try:
        PAYLOADS[kind].model_validate(payload)
    except ValidationError as problem:
        where = ".".join(str(part) for part in problem.errors()[0]["loc"])
        draft.note(f"{entry.host}: entry {entry.seq} ({kind}) left out: payload field {where} is not usable")
        return
    _state_before(draft, entry, kind)
    unit = _unit(draft, entry, kind)
    draft.add(entry.at, entry.register, unit, kind, payload, draft.together)


def _state_before(draft: _Draft, entry: Entry, kind: str) -> None:
    """A register whose window starts inside a shift gets that shift opened, inside a receipt the receipt."""
    register = entry.register
    assert register is not None
    if entry.result.get("ok") is False or not kind.startswith(("receipt.", "cash.", "shift.")):
        return
    if kind == "shift.open":
        draft.shifts[register] = _shift(draft, entry)
        return
    if register not in draft.shifts:
        shift = draft.shifts[register] = _shift(draft, entry)
        login = {"tab_number": "1"}
        draft.add(entry.at - _BEFORE, register, f"shift:{register}/{shift}", "shift.open", login)
        draft.note(f"{entry.host}: shift {shift} was open before the window; it is opened at its start")
    if kind == "receipt.open":
        draft.receipts[register] = entry.unit
    elif entry.unit.startswith("receipt:") and register not in draft.receipts:
        draft.receipts[register] = entry.unit
        draft.add(entry.at - _BEFORE, register, _unit(draft, entry, kind), "receipt.open", {"kind": "sale"})
        draft.note(f"{entry.host}: {entry.unit} was open before the window; its first lines are not known")


def _shift(draft: _Draft, entry: Entry) -> int:
    assert entry.register is not None
    if entry.shift is not None:
        return entry.shift
    number = entry.unit.rpartition(":")[2]
    if entry.unit.startswith("shift:") and number.isdigit():
        return int(number)
    return draft.shifts.get(entry.register, 0)


def _unit(draft: _Draft, entry: Entry, kind: str) -> str:
    """A unit that is unique in the scenario: receipts are numbered anew in each shift of each register."""
    register = entry.register
    assert register is not None
    shift = _shift(draft, entry)
    number = entry.unit.rpartition(":")[2]
    if kind in ("receipt.close", "receipt.cancel") and entry.result.get("ok") is not False:
        draft.receipts.pop(register, None)
    if kind in ("restart", "network.cut", "network.restore", "network.lose_reply"):
        return f"{kind}:{register}/{entry.seq}"
    if entry.unit.startswith("receipt:") and number.isdigit():
        return f"receipt:{register}/{shift}/{number}"
    return f"shift:{register}/{shift}"


def _import(draft: _Draft, entry: Entry, folder: Path) -> None:
    """A package with a TI came by SOAP; all else is played by file exchange, which does the same."""
    ti, name = entry.payload.get("ti"), str(entry.payload.get("document") or "")
    found = _document(folder, name)
    if found is None:
        draft.note(f"{entry.host}: package {str(ti)[:40]} left out: its document was not collected")
        return
    kind, data = found
    kept = f"package-{len(draft.contents) + 1}.xml"
    draft.contents[kept] = data
    if kind == "products":
        try:
            exchange.goods_catalog(data, draft.zone)
        except exchange.DocumentError as problem:
            draft.note(f"{entry.host}: {kept} is played as it was, though it cannot be read: {problem}")
    if ti and kind in _BY_SOAP:
        payload = {"document": kept, "ti": str(ti)[:255]}
        draft.add(entry.at, None, f"packet:{str(ti)[:60]}", _BY_SOAP[kind], payload)
    else:
        payload = {"folder": kind, "name": name[:200], "document": kept}
        draft.add(entry.at, None, f"packet:{str(ti or name)[:60]}", "erp.file", payload)


def _document(folder: Path, name: str) -> tuple[str, bytes] | None:
    """The exchange folder and the content of a processed document, imported or refused."""
    if not name or name != Path(name).name:
        return None
    for kind in ("products", "cards", "discounts"):
        for state in ("success", "error"):
            data = _bytes(folder, f"exchange/{kind}/{state}/{name}")
            if data is not None:
                return kind, data
    return None


def _catalogue_before(draft: _Draft, hosts: list[_Host], registers: list[int]) -> None:
    """Goods that were sold but came before the window: one package made from the server's catalogue."""
    arrived: set[str] = set()
    needed: set[str] = set()
    for event in draft.events:
        if event.type in ("erp.goods", "erp.file"):
            arrived |= _barcodes(draft, event.payload["document"])
        elif event.type in ("receipt.add", "price.check"):
            code = event.payload["barcode"]
            if not {code, _good_of(code)} & arrived:
                needed |= {code, _good_of(code)}
    if not needed:
        return
    goods = _shown_goods(draft, hosts)
    missing = [good for good in goods if not _keys(good) & arrived or _keys(good) & needed]
    if not missing:
        draft.note("goods were sold that neither a package nor a catalogue in the evidence brings")
        return
    at = draft.events[0].at - _BEFORE
    name = "catalogue-before.xml"
    draft.contents[name] = catalog.document(missing)
    before: list[tuple[str, int | None, str, dict[str, Any]]] = [
        ("erp.goods", None, "packet:before", {"document": name, "ti": "1"})
    ]
    before += [("sync", register, f"sync:{register}/before", {}) for register in registers]
    own = draft.events
    draft.events = []
    for kind, register, unit, payload in before:
        draft.add(at, register, unit, kind, payload)
    draft.events += own
    draft.note(
        f"the catalogue of before the window is made from catalog.json ({len(missing)} goods): "
        "prices that changed inside the window are there from the start"
    )


def _good_of(code: str) -> str:
    """What names the good in a scanned code: of a scales' label (21, PLU, grams, check digit) the beginning.

    Source: SET-INTERFACES section 5.
    """
    return code[:7] if len(code) == 13 and code.isdigit() and code.startswith("21") else code


def _keys(good: catalog.ShownGood) -> frozenset[str]:
    """The codes that sell the good, the beginning of its labels among them."""
    return good.codes if good.plu is None else good.codes | {f"21{good.plu:05d}"}


def _shown_goods(draft: _Draft, hosts: list[_Host]) -> list[catalog.ShownGood]:
    """The server's catalogue; a register's when the server's cannot be used."""
    for host in hosts:
        data = _bytes(host.folder, "catalog.json")
        if data is None:
            continue
        try:
            return catalog.parse(data)
        except EvidenceError as problem:
            draft.note(f"{host.name}: {problem}")
    return []


def _barcodes(draft: _Draft, name: str) -> set[str]:
    try:
        goods = exchange.goods_catalog(draft.contents[name], draft.zone).goods
    except exchange.DocumentError:
        return set()
    return {code for good in goods for code in good.barcodes}


def _without_repeated_syncs(events: list[Event]) -> list[Event]:
    """Goods taken and receipts sent in one exchange are two journal entries but one ``sync``."""
    kept: list[Event] = []
    for event in events:
        last = kept[-1] if kept else None
        if last and event.type == last.type == "sync" and event.register_ == last.register_:
            continue
        kept.append(event)
    return kept


def _bytes(folder: Path, name: str) -> bytes | None:
    """A file of the evidence, or None when it is missing, too large or not inside the folder."""
    file = folder / name
    try:
        if not file.resolve().is_relative_to(folder.resolve()) or file.stat().st_size > MAX_FILE_BYTES:
            return None
        return file.read_bytes()
    except (OSError, ValueError):
        return None
