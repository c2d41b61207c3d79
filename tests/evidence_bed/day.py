"""A day of a store of normal size, as diagnosis brings it: every journal and the server's documents.

python -m tests.evidence_bed.day FOLDER [--goods N --registers N --receipts N --seed S]
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from testbench.reference import trading

OPENING = datetime(2025, 11, 23, 5, tzinfo=UTC)
PACKAGE = 1000


def write(folder: Path, *, goods: int, registers: int, receipts: int, seed: int = 1, uneven: int = 1) -> Path:
    """Write the evidence into ``folder``; ``uneven`` receipts of the middle register show defect R05."""
    assortment = trading.goods(goods, seed)
    hosts = [_server(folder, assortment)]
    each = receipts // registers
    for register in range(1, registers + 1):
        shift = trading.shift(
            assortment,
            each,
            seed=seed,
            cash=register,
            number=1,
            uneven_discounts=uneven if register == (registers + 1) // 2 else 0,
        )
        entries = _journal(shift, register, each)
        hosts.append(_host(folder, f"register-{register}", "register", register, entries))
    record = {
        "schema": 1,
        "store": "big-1",
        "product": "set10",
        "version": "10.4.6.0",
        "zone": "Europe/Moscow",
        "shop": 1,
        "hosts": hosts,
    }
    (folder / "evidence.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def _server(folder: Path, assortment: list[trading.Good]) -> dict[str, Any]:
    entries = []
    success = folder / "files" / "server" / "exchange" / "products" / "success"
    success.mkdir(parents=True)
    for number, first in enumerate(range(0, len(assortment), PACKAGE), 1):
        name = f"catalog-goods_{number}.xml"
        part = assortment[first : first + PACKAGE]
        (success / name).write_bytes(trading.goods_document(part, 1, date(2025, 1, 1)))
        at = OPENING - timedelta(minutes=30) + timedelta(seconds=number)
        entries.append(
            {
                "seq": number,
                "at": at.isoformat(),
                "unit": f"packet:{number}",
                "type": "import.done",
                "payload": {"ti": str(number), "document": name},
                "result": {"status": 3},
            }
        )
    return _host(folder, "server", "server", None, entries)


def _journal(actions: list[trading.Action], register: int, receipts: int) -> list[dict[str, Any]]:
    """The actions as the register journals them, spread over 14 hours."""
    step = timedelta(hours=14) / max(1, len(actions))
    document, entries = 0, []
    taken = OPENING - timedelta(minutes=10) + timedelta(seconds=register)
    entries.append(_entry(1, taken, register, "", "transport.applied", {}))
    for index, action in enumerate(actions):
        kind = action["type"]
        at = OPENING + step * index + timedelta(milliseconds=register)
        document += kind == "receipt.open"
        unit = f"receipt:{document}" if kind.startswith("receipt.") else "shift:1"
        written = "receipts.sent" if kind == "sync" else kind
        entries.append(_entry(len(entries) + 1, at, register, unit, written, action["payload"]))
    return entries


def _entry(
    seq: int, at: datetime, register: int, unit: str, kind: str, payload: dict[str, Any]
) -> dict[str, Any]:
    return {
        "seq": seq,
        "at": at.isoformat(),
        "cash": register,
        "shift": 1,
        "unit": unit,
        "type": kind,
        "payload": payload,
        "result": {"ok": True},
    }


def _host(
    folder: Path, name: str, role: str, register: int | None, entries: list[dict[str, Any]]
) -> dict[str, Any]:
    own = folder / "files" / name
    own.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    (own / "journal.jsonl").write_text(lines, encoding="utf-8")
    return {"name": name, "role": role, "register": register, "files": [], "missing": []}


def main() -> None:
    """Write the evidence that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--goods", type=int, default=5000)
    parser.add_argument("--registers", type=int, default=10)
    parser.add_argument("--receipts", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    write(
        given.folder,
        goods=given.goods,
        registers=given.registers,
        receipts=given.receipts,
        seed=given.seed,
    )


if __name__ == "__main__":
    main()
