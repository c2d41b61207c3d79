"""A goods catalogue shown by a host (GET /catalog) turned into a goods-catalog document for the bench.

Needed when evidence starts in the middle: the package that brought a good is older than the window.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from testbench.scenarios.errors import EvidenceError

MAX_GOODS = 50_000


@dataclass(frozen=True, kw_only=True)
class ShownPrice:
    """One price of a shown good, in kopecks."""

    kopecks: int
    number: int = 1
    department: int = 1
    begin: str | None = None
    end: str | None = None


@dataclass(frozen=True, kw_only=True)
class ShownGood:
    """One good as a host shows it."""

    article: str
    name: str
    #: (code, how many pieces it stands for)
    barcodes: tuple[tuple[str, int], ...]
    prices: tuple[ShownPrice, ...]
    vat: int = 20
    type: str = "ProductPieceEntity"
    plu: int | None = None

    @property
    def codes(self) -> frozenset[str]:
        """Its barcodes without their counts."""
        return frozenset(code for code, _ in self.barcodes)


def parse(data: bytes) -> list[ShownGood]:
    """The goods of a catalog.json; goods that make no sense are left out.

    Raises:
        EvidenceError: it is not JSON, or holds no list of goods.
    """
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise EvidenceError("catalog.json is not JSON; collect the evidence again") from None
    goods = record.get("goods") if isinstance(record, dict) else record
    if not isinstance(goods, list):
        raise EvidenceError("catalog.json has no list of goods; collect the evidence again")
    return [good for good in map(_good, goods[:MAX_GOODS]) if good is not None]


def document(goods: Iterable[ShownGood]) -> bytes:
    """A goods-catalog document (SET-INTERFACES 2.4) with these goods, in article order."""
    parts = ['<?xml version="1.0" encoding="UTF-8"?>', "<goods-catalog>"]
    for good in sorted(goods, key=lambda good: good.article):
        parts.append(_good_element(good))
    parts.append("</goods-catalog>\n")
    return "\n".join(parts).encode()


def _good(record: Any) -> ShownGood | None:
    if not isinstance(record, Mapping) or record.get("deleted") is True:
        return None
    article = str(record.get("marking") or record.get("article") or "")
    if not article:
        return None
    vat, plu = record.get("vat"), record.get("plu")
    return ShownGood(
        article=article[:30],
        name=str(record.get("name") or article)[:255],
        barcodes=tuple(code for code in map(_barcode, _listed(record, "barcodes")) if code[0]),
        prices=tuple(price for price in map(_price, _listed(record, "prices")) if price is not None),
        vat=vat if isinstance(vat, int) else 20,
        type=str(record.get("type") or "ProductPieceEntity")[:60],
        plu=plu if isinstance(plu, int) else None,
    )


def _listed(record: Mapping[str, Any], name: str) -> list[Any]:
    value = record.get(name)
    return value if isinstance(value, list) else []


def _barcode(record: Any) -> tuple[str, int]:
    if not isinstance(record, Mapping):
        return str(record or ""), 1
    count = record.get("count", 1)
    return str(record.get("code") or ""), count if isinstance(count, int) else 1


def _price(record: Any) -> ShownPrice | None:
    if not isinstance(record, Mapping) or not isinstance(record.get("price"), int):
        return None
    number, department = record.get("number", 1), record.get("department", 1)
    return ShownPrice(
        kopecks=record["price"],
        number=number if isinstance(number, int) else 1,
        department=department if isinstance(department, int) else 1,
        begin=_text(record.get("begin")),
        end=_text(record.get("end")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _good_element(good: ShownGood) -> str:
    lines = [
        f"  <good marking-of-the-good={quoteattr(good.article)}>",
        f"    <name>{escape(good.name)}</name>",
    ]
    for place, (code, count) in enumerate(good.barcodes):
        default = "true" if place == 0 else "false"
        lines.append(
            f"    <bar-code code={quoteattr(code)}><count>{count}</count>"
            f"<default-code>{default}</default-code></bar-code>"
        )
    lines.append(f"    <product-type>{escape(good.type)}</product-type>")
    lines += [_price_element(price) for price in good.prices]
    lines.append(f"    <vat>{good.vat}</vat>")
    precision = "0.001" if good.type == "ProductWeightEntity" else "1.0"
    lines.append(f'    <plugin-property key="precision" value="{precision}"/>')
    if good.plu is not None:
        lines.append(f'    <plugin-property key="plu-number" value="{good.plu}"/>')
    lines.append("  </good>")
    return "\n".join(lines)


def _price_element(price: ShownPrice) -> str:
    begin = f"<begin-date>{escape(price.begin)}</begin-date>" if price.begin else ""
    end = f"<end-date>{escape(price.end)}</end-date>" if price.end else ""
    amount = f"{price.kopecks // 100}.{price.kopecks % 100:02d}"
    return (
        f'    <price-entry price="{amount}" deleted="false">{begin}{end}<number>{price.number}</number>'
        f'<department number="{price.department}"/></price-entry>'
    )
