"""Oracle receipt-arithmetic: every exported receipt adds up (DESIGN section 7, SET-INTERFACES 3.5)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

from testbench.oracles.findings import Finding, roubles
from testbench.oracles.observations import Observations, Position, Receipt

NAME = "receipt-arithmetic"
_KOPECK = Decimal(1)


def half_up(kopecks: Decimal) -> Decimal:
    """Rounded to whole kopecks, half away from zero."""
    return kopecks.quantize(_KOPECK, ROUND_HALF_UP)


def check(seen: Observations) -> Iterator[Finding]:
    """Lines, then totals, then payments, then VAT, over all receipts that were not cancelled."""
    receipts = [receipt for receipt in seen.receipts if not receipt.is_cancelled]
    for rule in (_lines, _line_sum, _discount_sum, _payments, _vat):
        for receipt in receipts:
            yield from rule(receipt)


def _lines(receipt: Receipt) -> Iterator[Finding]:
    for position in receipt.positions:
        expected = half_up(position.count * position.cost) - position.discount
        if position.amount != expected:
            rule = _size("line", expected, position.amount, "line-amount")
            yield _finding(rule, receipt, expected, position.amount, position)


def _line_sum(receipt: Receipt) -> Iterator[Finding]:
    total = sum((position.amount for position in receipt.positions), Decimal(0))
    if receipt.positions and total != receipt.amount:
        yield _finding("lines-sum", receipt, receipt.amount, total)


def _discount_sum(receipt: Receipt) -> Iterator[Finding]:
    total = sum((position.discount for position in receipt.positions), Decimal(0))
    if receipt.positions and total != receipt.discount:
        yield _finding("discount-sum", receipt, receipt.discount, total)


def _payments(receipt: Receipt) -> Iterator[Finding]:
    paid = sum((-p.amount if p.is_change else p.amount for p in receipt.payments), Decimal(0))
    if receipt.payments and paid != receipt.amount:
        yield _finding("payments", receipt, receipt.amount, paid)
    cash = sum((p.amount for p in receipt.payments if "Cash" in p.kind and not p.is_change), Decimal(0))
    change = sum((p.amount for p in receipt.payments if p.is_change), Decimal(0))
    if change > cash:
        yield _finding("change", receipt, cash, change)


def _vat(receipt: Receipt) -> Iterator[Finding]:
    for position in receipt.positions:
        rate, vat = position.vat_rate, position.vat_sum
        if rate is None or vat is None or rate <= 0:
            continue
        expected = half_up(position.amount * rate / (100 + rate))
        if vat != expected:
            yield _finding(_size("vat", expected, vat, "vat-sum"), receipt, expected, vat, position)


def _size(subject: str, expected: Decimal, seen: Decimal, otherwise: str) -> str:
    """One kopeck off is another kind of fault (rounding) than a wrong sum."""
    return f"{subject}-rounding" if abs(expected - seen) <= 1 else otherwise


def _finding(
    rule: str, receipt: Receipt, expected: Decimal, seen: Decimal, position: Position | None = None
) -> Finding:
    line = f", line {position.order} ({position.goods_code})" if position else ""
    return Finding(NAME, rule, receipt.where + line, roubles(expected), roubles(seen))
