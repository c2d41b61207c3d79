"""Oracle operating-day: a receipt belongs to the day of its shift, wherever midnight and the zones are."""

from __future__ import annotations

from collections.abc import Iterator

from testbench.oracles.findings import Finding
from testbench.oracles.observations import Observations

NAME = "operating-day"


def check(seen: Observations) -> Iterator[Finding]:
    """The receipts of a shift share one operating day; they are found by asking for that day."""
    first: dict[tuple[int, int], str] = {}
    for receipt in seen.receipts:
        day = first.setdefault((receipt.cash, receipt.shift), receipt.oper_day)
        if receipt.oper_day != day:
            yield Finding(NAME, "shift-split", receipt.where, day, receipt.oper_day)
    for receipt in seen.receipts:
        if receipt.asked_day and receipt.oper_day != receipt.asked_day:
            yield Finding(
                NAME,
                "other-day",
                receipt.where,
                f"found under {receipt.oper_day}",
                f"under {receipt.asked_day}",
            )
