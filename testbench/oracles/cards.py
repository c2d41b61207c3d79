"""Oracle cards: the customer's card and the coupons of a receipt are exported as what they were taken for."""

from __future__ import annotations

from collections.abc import Iterator

from testbench.oracles.findings import Finding
from testbench.oracles.observations import Identity, Observations

NAME = "cards"


def check(seen: Observations) -> Iterator[Finding]:
    """What the registers took against what was exported; receipts that took neither are left out."""
    cards = _taken(seen, "receipt.card")
    coupons = _taken(seen, "receipt.coupon")
    for receipt in seen.receipts:
        identity = receipt.identity
        if identity not in cards and identity not in coupons:
            continue
        expected = tuple(cards.get(identity, ())[-1:])
        own_coupons = coupons.get(identity, [])
        if receipt.customer_cards != expected:
            is_coupon = set(receipt.customer_cards) & set(own_coupons)
            rule = "coupon-as-card" if is_coupon else "customer-card"
            yield Finding(NAME, rule, receipt.where, _all(expected), _all(receipt.customer_cards))
        if sorted(receipt.coupons) != sorted(own_coupons):
            yield Finding(NAME, "coupons", receipt.where, _all(own_coupons), _all(receipt.coupons))


def _taken(seen: Observations, kind: str) -> dict[Identity, list[str]]:
    """Receipt -> the numbers that its register accepted, in their order."""
    found: dict[Identity, list[str]] = {}
    for action in seen.actions:
        identity = seen.units.get(action.unit)
        if action.type == kind and action.is_ok and identity is not None:
            found.setdefault(identity, []).append(str(action.payload.get("number", "")).replace(" ", ""))
    return found


def _all(numbers: tuple[str, ...] | list[str]) -> str:
    return ", ".join(numbers) or "none"
