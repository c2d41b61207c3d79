"""Oracle bonus: an account holds what was charged less what the exported receipts were paid with."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from testbench.oracles.findings import Finding, roubles
from testbench.oracles.observations import Observations

NAME = "bonus"
_BONUS = "BonusCardPaymentEntity"


def check(seen: Observations) -> Iterator[Finding]:
    """Only cards that the scenario charged: what others had before is not known."""
    if not seen.is_complete or seen.unreadable:
        return
    for card, charged in seen.charged.items():
        balance, where = seen.balances.get(card), f"card {card}"
        expected = charged - _paid(seen, card)
        if expected < 0:
            yield Finding(NAME, "overdrawn", where, f"at most {roubles(charged)}", roubles(_paid(seen, card)))
        elif balance is None:
            yield Finding(NAME, "no-account", where, roubles(expected), "no account")
        elif balance != expected:
            yield Finding(NAME, "balance", where, roubles(expected), roubles(balance))


def _paid(seen: Observations, card: str) -> Decimal:
    """Each receipt once: that one came twice is the finding of exported-once."""
    receipts = {receipt.identity: receipt for receipt in seen.receipts if not receipt.is_cancelled}
    return sum(
        (
            payment.amount if receipt.is_sale else -payment.amount
            for receipt in receipts.values()
            for payment in receipt.payments
            if payment.kind.endswith(_BONUS) and payment.card == card
        ),
        Decimal(0),
    )
