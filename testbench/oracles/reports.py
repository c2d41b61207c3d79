"""Oracle z-report: a Z report is the sum of its shift's receipts, cancelled ones left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from testbench.oracles.findings import Finding, roubles
from testbench.oracles.observations import Observations, Receipt, ZReport

NAME = "z-report"


def check(seen: Observations) -> Iterator[Finding]:
    """Missing and double reports first, then sums and counts of each."""
    reported = Counter((report.cash, report.shift) for report in seen.z_reports)
    if seen.is_complete:
        for cash, shift in seen.closed_shifts:
            if (cash, shift) not in reported:
                yield Finding(NAME, "missing", f"Z report {cash}/{shift}", "exported once", "not exported")
    for (cash, shift), times in reported.items():
        if times > 1:
            yield Finding(NAME, "double", f"Z report {cash}/{shift}", "exported once", f"{times} times")
    for report in seen.z_reports:
        yield from _sums(report, _receipts_of(report, seen))


def _receipts_of(report: ZReport, seen: Observations) -> list[Receipt]:
    """Each receipt once: that one came twice is the finding of exported-once, not of the report."""
    own = {
        receipt.identity: receipt
        for receipt in seen.receipts
        if (receipt.cash, receipt.shift) == (report.cash, report.shift) and not receipt.is_cancelled
    }
    return list(own.values())


def _sums(report: ZReport, receipts: list[Receipt]) -> Iterator[Finding]:
    sales = [receipt for receipt in receipts if receipt.is_sale]
    returns = [receipt for receipt in receipts if not receipt.is_sale]
    for rule, group, stated in (
        ("purchase-amount", sales, report.purchases),
        ("return-amount", returns, report.returns),
    ):
        total = sum((receipt.amount for receipt in group), Decimal(0))
        if total != stated:
            yield Finding(NAME, rule, report.where, roubles(total), roubles(stated))
    for rule, group, count in (
        ("purchase-count", sales, report.purchase_count),
        ("return-count", returns, report.return_count),
    ):
        if count is not None and count != len(group):
            yield Finding(NAME, rule, report.where, str(len(group)), str(count))
