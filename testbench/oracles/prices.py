"""Oracle price-agreement: a register sells at the server's price, and that is what the ERP sent last.

A register without a department sells at the lowest department's price. Only what has one meaning is judged:
an article with a withdrawal that names no begin-date of the price that it withdraws is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
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
        own, place = register.get(article), f"{where}, article {article}"
        if own is None:
            yield Finding(NAME, "register-missing", place, roubles(good.price), "none")
        elif own.prices != good.prices:
            yield Finding(NAME, "register-price", place, _all(good.prices), _all(own.prices))
        elif own.sold_at is not None and own.sold_at != good.price:
            yield Finding(NAME, "register-sells", place, roubles(good.price), roubles(own.sold_at))
        elif own.barcodes != good.barcodes:
            codes = [" ".join(sorted(one.barcodes)) for one in (good, own)]
            yield Finding(NAME, "register-barcodes", place, *codes)
    for article, own in register.items():
        if article not in server and own.price is not None:
            yield Finding(NAME, "register-stale", f"{where}, article {article}", "none", roubles(own.price))


def _server(point: PricesSeen, seen: Observations) -> Iterator[Finding]:
    """Whether a good is there at all is import-honest's question."""
    for (article, number), expected in expected_prices(seen, point.at).items():
        good = point.server.get(article)
        shown = None if good is None else good.prices.get(number)
        if good is not None and shown != expected:
            rule = "server-price" if number == 1 else "server-second-price"
            yield Finding(NAME, rule, f"server, article {article}", _shown(expected), _shown(shown))


def accepted(seen: Observations, at: datetime) -> list[GoodsDocument]:
    """The goods documents that the server said it has imported until then, in that order."""
    return [
        package.document
        for package in seen.imports
        if package.status == IMPORTED and package.at <= at and package.document is not None
    ]


def expected_prices(seen: Observations, at: datetime) -> dict[tuple[str, int], Decimal | None]:
    """(Article, price number) -> kopecks that hold in this shop at ``at`` (None: withdrawn, or not begun)."""
    known: dict[tuple[str, int], list[PriceEntry]] = {}
    unclear: set[tuple[str, int]] = set()
    for document in accepted(seen, at):
        for entry in document.prices:
            if not (entry.shops is None or seen.shop in entry.shops):
                continue
            key = entry.article, entry.number
            entries = known.setdefault(key, [])
            same_department = [old for old in entries if old.department == entry.department]
            replaced = [old for old in same_department if old.begin == entry.begin]
            if entry.deleted and same_department and not replaced:
                unclear.add(key)
            known[key] = [old for old in entries if old not in replaced]
            if not entry.deleted:
                known[key].append(entry)
    return {key: _effective(entries, at) for key, entries in known.items() if key not in unclear}


def _effective(entries: list[PriceEntry], at: datetime) -> Decimal | None:
    """Per department the latest begun entry that has not ended; of several departments the lowest counts."""
    current: dict[str, PriceEntry] = {}
    for entry in entries:
        if (entry.begin and entry.begin > at) or (entry.end and entry.end < at):
            continue
        other = current.get(entry.department)
        if other is None or _begun(entry) >= _begun(other):
            current[entry.department] = entry
    lowest = min(current.values(), key=lambda entry: (len(entry.department), entry.department), default=None)
    return None if lowest is None else lowest.price


def _begun(entry: PriceEntry) -> datetime:
    return entry.begin or datetime.min.replace(tzinfo=UTC)


def _shown(price: Decimal | None) -> str:
    return "none" if price is None else roubles(price)


def _all(prices: Mapping[int, Decimal]) -> str:
    return ", ".join(f"{number}: {roubles(price)}" for number, price in sorted(prices.items())) or "none"
