"""What a register can know at a moment: the packages that were imported before its last exchange."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from functools import cache

from testbench.oracles.observations import Observations, Position, Promotion, Receipt, Restriction
from testbench.oracles.prices import IMPORTED

Groups = dict[str, frozenset[str]]


class Knowledge:
    """Built once for a run; a state is named by how many of the imported packages it is made of."""

    def __init__(self, seen: Observations) -> None:
        self._shop = seen.shop
        self._packages = [package for package in seen.imports if package.status == IMPORTED]
        self._arrivals = [package.at for package in self._packages]
        self._exchanges: dict[int, list[datetime]] = {}
        for action in seen.actions:
            if action.type == "sync" and action.is_ok and action.register is not None and action.at:
                self._exchanges.setdefault(action.register, []).append(action.at)
        self.promotions = cache(self._promotions)
        self.restrictions = cache(self._restrictions)

    def state(self, register: int, at: datetime) -> int:
        """How many packages the register had for certain; what came in the moment ``at`` does not count."""
        exchanges = self._exchanges.get(register, [])
        place = bisect_left(exchanges, at)
        return bisect_left(self._arrivals, exchanges[place - 1]) if place else 0

    def _promotions(self, state: int) -> dict[str, Promotion]:
        """Guid -> promotion; deleted ones are left out."""
        found: dict[str, Promotion] = {}
        for package in self._packages[:state]:
            for promotion in package.promotions or ():
                found.pop(promotion.guid, None)
                if not promotion.deleted:
                    found[promotion.guid] = promotion
        return found

    def _restrictions(self, state: int) -> tuple[list[Restriction], Groups]:
        """The restrictions of this shop, and the groups of every good."""
        found: dict[str, Restriction] = {}
        groups: Groups = {}
        for package in self._packages[:state]:
            if package.document is None:
                continue
            groups |= {good.article: good.groups for good in package.document.goods}
            for restriction in package.document.restrictions:
                found.pop(restriction.id, None)
                if not restriction.deleted and (restriction.shops is None or self._shop in restriction.shops):
                    found[restriction.id] = restriction
        return list(found.values()), groups


def sold_lines(seen: Observations) -> Iterator[tuple[Receipt, Position, datetime]]:
    """Every line of every closed sale with the moment, to the second, in which it was added."""
    for receipt in seen.receipts:
        if receipt.is_sale and not receipt.is_cancelled:
            for position in receipt.positions:
                if position.at is not None:
                    yield receipt, position, position.at.replace(microsecond=0)


def applied(seen: Observations, receipt: Receipt, position: Position) -> list[str]:
    """The guids of the promotions that a line got, as the discounts document tells."""
    told = seen.discounts.get(receipt.identity, ())
    return [entry.promotion for entry in told if entry.promotion and entry.position == position.order]
