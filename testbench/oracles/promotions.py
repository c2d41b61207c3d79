"""Oracle promotions: of the promotions that hold, a line gets the one with the highest priority."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from testbench.oracles.findings import Finding
from testbench.oracles.knowledge import Knowledge, applied, sold_lines
from testbench.oracles.observations import Observations, Position, Promotion, Receipt
from testbench.oracles.receipts import half_up

NAME = "promotions"


def check(seen: Observations) -> Iterator[Finding]:
    """Every line of every sale against the promotions that its register had for certain."""
    if not seen.is_complete or not any(package.promotions for package in seen.imports):
        return
    knowledge = Knowledge(seen)
    for receipt, position, at in sold_lines(seen):
        state = knowledge.state(receipt.cash, at)
        promotions = knowledge.promotions(state)
        if promotions:
            # A restriction may have left no room for a promotion.
            is_restricted = bool(knowledge.restrictions(state)[0])
            given = applied(seen, receipt, position)
            yield from _line(receipt, position, at, promotions, given, is_restricted)


def _line(
    receipt: Receipt,
    position: Position,
    at: datetime,
    promotions: dict[str, Promotion],
    given: list[str],
    is_restricted: bool,
) -> Iterator[Finding]:
    fitting = {guid: one for guid, one in promotions.items() if _fits(one, receipt, position, at)}
    where = f"{receipt.where}, line {position.order} ({position.goods_code})"
    for guid in given:
        if guid in promotions and guid not in fitting:
            yield Finding(NAME, "not-in-force", where, "no promotion that does not hold", guid)
    best = max(fitting.values(), key=lambda one: one.priority, default=None)
    if best is None:
        return
    if not given and not is_restricted and _takes_something(best, position):
        yield Finding(NAME, "missing", where, f"promotion {best.guid}", "none")
    for guid in given:
        if guid in fitting and fitting[guid].priority < best.priority:
            expected = f"promotion {best.guid} (priority {best.priority})"
            yield Finding(NAME, "priority", where, expected, f"{guid} ({fitting[guid].priority})")


def _fits(promotion: Promotion, receipt: Receipt, position: Position, at: datetime) -> bool:
    if not promotion.is_active or (promotion.coupon and promotion.coupon not in receipt.coupons):
        return False
    if (promotion.begin and promotion.begin > at) or (promotion.end and promotion.end < at):
        return False
    return promotion.goods is None or position.goods_code in promotion.goods


def _takes_something(promotion: Promotion, position: Position) -> bool:
    gross = half_up(position.count * position.cost)
    return half_up(gross * promotion.percent / Decimal(100)) > 0
