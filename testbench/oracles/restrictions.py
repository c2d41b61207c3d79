"""Oracle restrictions: minimum price, greatest discount and denied sale are kept to (SET-INTERFACES 2.4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from testbench.oracles.findings import Finding, roubles
from testbench.oracles.knowledge import Knowledge, applied, sold_lines
from testbench.oracles.observations import Observations, Position, Restriction
from testbench.oracles.receipts import half_up

NAME = "restrictions"


def check(seen: Observations) -> Iterator[Finding]:
    """Every line of every sale against the restrictions that its register had for certain."""
    if not any(package.document and package.document.restrictions for package in seen.imports):
        return
    knowledge = Knowledge(seen)
    for receipt, position, at in sold_lines(seen):
        state = knowledge.state(receipt.cash, at)
        restrictions, groups = knowledge.restrictions(state)
        codes = {
            "GOOD": frozenset({position.goods_code}),
            "GROUP": groups.get(position.goods_code, frozenset()),
        }
        local, where = (
            at.astimezone(seen.zone),
            f"{receipt.where}, line {position.order} ({position.goods_code})",
        )
        promotions = [knowledge.promotions(state).get(guid) for guid in applied(seen, receipt, position)]
        # A promotion may ignore restrictions; so may one of which nothing is known.
        is_exempt = any(promotion is None or promotion.ignores_restrictions for promotion in promotions)
        for restriction in restrictions:
            if restriction.code not in codes.get(restriction.subject, frozenset()) or not _holds(
                restriction, local
            ):
                continue
            if restriction.kind == "sale-denied":
                yield Finding(NAME, "sale-denied", where, "not sold", "sold")
            elif not is_exempt:
                yield from _amount(restriction, position, where)


def _holds(restriction: Restriction, local: datetime) -> bool:
    day, now = local.strftime("%Y-%m-%d"), local.strftime("%H:%M:%S")
    if not restriction.since <= day <= restriction.till or local.weekday() not in restriction.weekdays:
        return False
    begin, end = restriction.since_time, restriction.till_time
    return begin <= now <= end if begin <= end else now >= begin or now <= end


def _amount(restriction: Restriction, position: Position, where: str) -> Iterator[Finding]:
    gross = half_up(position.count * position.cost)
    if restriction.kind == "min-price":
        least = min(gross, half_up(position.count * restriction.value))
        if position.amount < least:
            yield Finding(NAME, "min-price", where, f"at least {roubles(least)}", roubles(position.amount))
    else:
        most = gross * restriction.value / Decimal(100)
        if position.discount > most:
            yield Finding(NAME, "max-discount", where, f"at most {most}", roubles(position.discount))
