"""Oracle price-agreement: a register sells at the server's price, and that is what the ERP sent last.

Only what has one meaning is judged: an article whose documents can be read in two ways (prices that differ
by department, a withdrawal that names no begin-date of the price that it withdraws) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from testbench.oracles.findings import Finding, roubles
from testbench.oracles.observations import (
    CatalogSeen,
    GoodsDocument,
    Observations,
    PriceEntry,
    PricesSeen,
)

NAME = "price-agreement"
IMPORTED = 3
_BASE_PRICE = 1


def check(seen: Observations) -> Iterator[Finding]:
    """At every observation point: register against server, then server against ERP."""
    for point in seen.prices:
        for register, catalog in sorted(point.registers.items()):
            yield from _register(f"register {register}", catalog, point.server)
        yield from _server(point, seen)


def _register(where: str, register: CatalogSeen, server: CatalogSeen) -> Iterator[Finding]:
    for article, good in server.items():
        if good.price is None:
            continue
        own = register.get(article)
        if own is None:
            yield Finding(
                NAME, "register-missing", f"{where}, article {article}", roubles(good.price), "none"
            )
        elif own.price != good.price:
            yield Finding(
                NAME, "register-price", f"{where}, article {article}", roubles(good.price), _shown(own.price)
            )
        elif own.barcodes != good.barcodes:
            yield Finding(
                NAME,
                "register-barcodes",
                f"{where}, article {article}",
                " ".join(sorted(good.barcodes)),
                " ".join(sorted(own.barcodes)),
            )
    for article, own in register.items():
        if article not in server and own.price is not None:
            yield Finding(NAME, "register-stale", f"{where}, article {article}", "none", _shown(own.price))


def _server(point: PricesSeen, seen: Observations) -> Iterator[Finding]:
    for article, expected in expected_prices(seen, point.at).items():
        good = point.server.get(article)
        if good is None:
            continue  # whether it should be there is import-honest's question
        if good.price != expected:
            yield Finding(
                NAME, "server-price", f"server, article {article}", _shown(expected), _shown(good.price)
            )


def accepted(seen: Observations, at: datetime) -> list[GoodsDocument]:
    """The goods documents that the server said it has imported until then, in that order."""
    return [
        package.document
        for package in seen.imports
        if package.status == IMPORTED and package.at <= at and package.document is not None
    ]


def expected_prices(seen: Observations, at: datetime) -> dict[str, Decimal | None]:
    """Article -> base price in kopecks that holds in this shop at ``at`` (None: withdrawn)."""
    known: dict[str, list[PriceEntry]] = {}
    unclear: set[str] = set()
    for document in accepted(seen, at):
        for entry in document.prices:
            if entry.number != _BASE_PRICE or not _here(entry.shops, seen.shop):
                continue
            entries = known.setdefault(entry.article, [])
            same_key = [old for old in entries if old.department == entry.department]
            replaced = [old for old in same_key if old.begin == entry.begin]
            if entry.deleted and same_key and not replaced:
                unclear.add(entry.article)
            known[entry.article] = [old for old in entries if old not in replaced]
            if not entry.deleted:
                known[entry.article].append(entry)
    prices = {
        article: _effective(entries, at) for article, entries in known.items() if article not in unclear
    }
    return {article: price for article, (clear, price) in prices.items() if clear}


def _effective(entries: list[PriceEntry], at: datetime) -> tuple[bool, Decimal | None]:
    """(has one meaning, price): per department the latest begun entry that has not ended."""
    current: dict[str, PriceEntry] = {}
    for entry in entries:
        if (entry.begin and entry.begin > at) or (entry.end and entry.end < at):
            continue
        other = current.get(entry.department)
        if other is None or (entry.begin or at) >= (other.begin or at):
            current[entry.department] = entry
    values = {entry.price for entry in current.values()}
    return len(values) <= 1, next(iter(values), None)


def _here(shops: frozenset[int] | None, shop: int) -> bool:
    return shops is None or shop in shops


def _shown(price: Decimal | None) -> str:
    return "none" if price is None else roubles(price)
