"""Evidence folders as diagnosis writes them, and a small composed scenario."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from testbench.scenarios import Scenario
from testbench.scenarios.catalog import document
from testbench.scenarios.composing import Composer, good

START = datetime(2025, 11, 23, 5, 0, tzinfo=UTC)
MILK = good("100501", "4600000000015", 8990, vat=10, name="Milk")
CATALOG = {
    "revision": 1,
    "goods": [
        {
            "marking": "100501",
            "name": "Milk",
            "type": "ProductPieceEntity",
            "vat": 10,
            "plu": None,
            "deleted": False,
            "barcodes": [{"code": "4600000000015", "count": 1}],
            "prices": [
                {"number": 1, "department": 1, "price": 8990, "begin": "2025-01-01T00:00:00", "end": None}
            ],
        }
    ],
}


@pytest.fixture
def scenario() -> Scenario:
    """One package, one shift, one receipt."""
    composer = Composer(START)
    composer.package("1", [MILK])
    composer.open_shift()
    composer.receipt([("4600000000015", 2000)], 20000, percent=1000)
    composer.close_shift()
    return composer.scenario()


def entry(seq: int, type_: str, unit: str = "", shift: int | None = 248, **payload: Any) -> dict[str, Any]:
    """A journal line; its second is its seq."""
    at = f"2025-11-23T10:00:{seq:02d}.000+03:00"
    return {
        "seq": seq,
        "at": at,
        "shop": 101,
        "shift": shift,
        "unit": unit,
        "type": type_,
        "payload": payload,
    }


SALE = [
    entry(1, "shift.open", "shift:248", tab_number="17"),
    entry(5, "receipt.open", "receipt:69", kind="sale"),
    entry(6, "receipt.add", "receipt:69", barcode="4600000000015", quantity=2000),
    entry(7, "receipt.pay", "receipt:69", type="cash", amount=20000),
    entry(8, "receipt.close", "receipt:69"),
    entry(9, "receipts.sent", count=1),
]
IMPORT = entry(2, "import.done", "packet:77", None, ti="77", status=3, document="products-77-1.xml")
APPLIED = entry(3, "transport.applied", packet=1, goods=1)


@pytest.fixture
def evidence(tmp_path: Path) -> Callable[..., Path]:
    """Writes an evidence folder of one server and one register."""

    def write(
        server: list[Any] | None = None,
        register: list[Any] | None = None,
        catalog: bytes | None = None,
        documents: dict[str, bytes] | None = None,
        **fields: Any,
    ) -> Path:
        folder = tmp_path / "evidence"
        hosts = [
            {"name": "s1-server", "role": "server", "register": None},
            {"name": "s1-r1", "role": "register", "register": 1},
        ]
        record = {
            "schema": 1,
            "store": "s1",
            "product": "set10",
            "version": "10.4.1.0",
            "zone": "Europe/Moscow",
            "shop": 101,
            "masking": {"schema": 1},
            "hosts": hosts,
        } | fields
        for name, entries in (("s1-server", server), ("s1-r1", register)):
            own = folder / "files" / name
            own.mkdir(parents=True, exist_ok=True)
            lines = [line if isinstance(line, str) else json.dumps(line) for line in entries or []]
            (own / "journal.jsonl").write_text("\n".join(lines) + "\n")
        if catalog is not None:
            (folder / "files/s1-server/catalog.json").write_bytes(catalog)
        source = folder / "files/s1-server/exchange/products/success"
        source.mkdir(parents=True, exist_ok=True)
        for name, data in (documents or {}).items():
            (source / name).write_bytes(data)
        (folder / "evidence.json").write_text(json.dumps(record))
        return folder

    return write


@pytest.fixture
def package() -> dict[str, bytes]:
    """The document of ``IMPORT``."""
    return {"products-77-1.xml": document([MILK])}
