"""Oracle stated: what an engineer states to be right ("the total is 100.00")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from testbench.oracles.findings import Finding, roubles
from testbench.oracles.observations import Observations, Receipt

NAME = "stated"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement; ``about`` is receipt, z or price, ``what`` the field, ``value`` in kopecks."""

    about: str
    subject: str
    what: str
    value: Decimal
    register: int | None = None


def check(seen: Observations, statements: Sequence[Statement]) -> Iterator[Finding]:
    """One finding per statement that does not hold; a subject that is not there says so."""
    for statement in statements:
        value = _value(seen, statement)
        if value is None:
            yield _finding(statement, "missing", "not there")
        elif value != statement.value:
            yield _finding(statement, statement.what, roubles(value))


def _finding(statement: Statement, rule: str, shown: str) -> Finding:
    where = f"{statement.about} {statement.subject}"
    if statement.register is not None:
        where += f" on register {statement.register}"
    return Finding(NAME, f"{statement.about}-{rule}", where, roubles(statement.value), shown)


def _value(seen: Observations, statement: Statement) -> Decimal | None:
    if statement.about == "receipt":
        receipt = _receipt(seen, statement.subject)
        return None if receipt is None else _of_receipt(receipt, statement.what)
    if statement.about == "z":
        for report in seen.z_reports:
            if f"{report.cash}/{report.shift}" == statement.subject:
                return report.purchases - report.returns
        return None
    return _price(seen, statement)


def _receipt(seen: Observations, subject: str) -> Receipt | None:
    identity = seen.units.get(subject)
    for receipt in seen.receipts:
        if receipt.identity == identity or "/".join(map(str, receipt.identity)) == subject:
            return receipt
    return None


def _of_receipt(receipt: Receipt, what: str) -> Decimal:
    if what == "vat":
        return sum((position.vat_sum or Decimal(0) for position in receipt.positions), Decimal(0))
    return receipt.discount if what == "discount" else receipt.amount


def _price(seen: Observations, statement: Statement) -> Decimal | None:
    if not seen.prices:
        return None
    last = seen.prices[-1]
    catalog = last.server if statement.register is None else last.registers.get(statement.register, {})
    for good in catalog.values():
        if statement.subject in good.barcodes:
            return good.price
    return None
