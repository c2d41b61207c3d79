"""What happens in a store, made from a seed: what cashiers do in a shift, over the goods that the ERP sends.

Actions are plain data, ``{"type", "payload"}`` as the register takes them; the ERP's documents are bytes.
Money is in kopecks, quantities in thousandths. The same arguments give the same data on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from testbench.errors import UsageError
from testbench.reference.erp import (
    CARD_NUMBERS,
    DISCOUNTS,
    Good,
    Promotion,
    cards_document,
    check_digit,
    goods,
    goods_document,
    marking_code,
    prices_document,
    promotions,
    promotions_document,
    weight_barcode,
)

__all__ = [
    "CARD_NUMBERS",
    "DISCOUNTS",
    "Action",
    "Good",
    "Promotion",
    "cards_document",
    "check_digit",
    "divides_evenly",
    "goods",
    "goods_document",
    "half_up",
    "marking_code",
    "prices_document",
    "promotions",
    "promotions_document",
    "shift",
    "weight_barcode",
]

Action = dict[str, Any]


def shift(
    assortment: Sequence[Good],
    receipts: int,
    *,
    seed: int = 1,
    cash: int = 1,
    number: int = 1,
    first_document: int = 1,
    with_cards: bool = False,
    uneven_discounts: int = 0,
    promoted: Sequence[Promotion] = (),
    bonuses: int = 0,
) -> list[Action]:
    """What a cashier does in one shift, from opening to the Z report, then one `sync`.

    Sales of piece and weighed goods, every sixth with a discount on the receipt, every ninth annulled, every
    seventh followed by a return of its first line; cash with change, card, and both. Marked goods are sold
    piece by piece with their codes.

    Args:
        assortment: what is for sale; the register must have it.
        receipts: how many sales to begin (annulled ones included).
        seed: decides everything that is not said here.
        cash: the register's number, as returns name it.
        number: the shift's number on that register.
        first_document: the next document's number on that register (a new one begins at 1).
        with_cards: some sales use a loyalty card of `cards_document()` at its 5 percent.
        uneven_discounts: so many further sales whose discount does not divide evenly among the lines: each
            line's share, rounded on its own, would not add up to the whole. Other discounts divide evenly.

    Raises:
        UsageError: the assortment is too small for receipts of several lines.
    """
    if len(assortment) < 5:
        raise UsageError(f"an assortment of {len(assortment)} goods is too small for a shift; give 5 or more")
    cashier = _Cashier(
        assortment, random.Random(f"shift {seed} {cash} {number}"), cash, number, first_document
    )
    cashier.promoted = promoted
    cashier.bonuses = dict.fromkeys(CARD_NUMBERS, bonuses)
    cashier.do("shift.open", tab_number="17")
    cashier.do("cash.in", amount=500000)
    uneven_after = _spread(uneven_discounts, receipts)
    for index in range(receipts):
        if index % 9 == 8:
            cashier.annulled()
        else:
            card = CARD_NUMBERS[index % len(CARD_NUMBERS)] if with_cards and index % 5 == 3 else None
            cashier.sale(is_discounted=index % 6 == 2, card=card, with_coupon=index % 4 == 1)
            if index % 7 == 5:
                cashier.return_first_line()
        for _ in range(uneven_after.get(index, 0)):
            cashier.uneven_sale()
    cashier.do("cash.out", amount=100000)
    cashier.do("shift.close")
    cashier.do("sync")
    return cashier.actions


def _spread(count: int, receipts: int) -> dict[int, int]:
    """After which receipts to put `count` further ones: in the middle of a day rather than at its end."""
    places: dict[int, int] = {}
    for number in range(count):
        index = (number + 1) * receipts // (count + 1)
        places[min(index, receipts - 1)] = places.get(min(index, receipts - 1), 0) + 1
    return places


def half_up(numerator: int, denominator: int) -> int:
    """A quotient of what is not negative, rounded half up (54-FZ practice, SET-INTERFACES 3.5)."""
    return (2 * numerator + denominator) // (2 * denominator)


def divides_evenly(discount: int, amounts: Sequence[int]) -> bool:
    """Whether shares of a discount that are rounded one by one add up to the discount."""
    total = sum(amounts)
    return total > 0 and sum(half_up(discount * amount, total) for amount in amounts) == discount


@dataclass(frozen=True)
class _Scan:
    """One line to be: what is scanned, how much of it, and what that costs."""

    barcode: str
    quantity: int | None
    amount: int
    article: str = ""
    mark: str | None = None


class _Cashier:
    """Does receipts and keeps in mind what they come to."""

    def __init__(
        self, assortment: Sequence[Good], chance: random.Random, cash: int, shift_number: int, document: int
    ) -> None:
        self.actions: list[Action] = []
        self._assortment, self._chance = assortment, chance
        self._cash, self._shift, self._document = cash, shift_number, document
        self._last: tuple[int, _Scan] | None = None
        self._serial = 0
        self.promoted: Sequence[Promotion] = ()
        #: Card -> kopecks on its account.
        self.bonuses: dict[str, int] = {}

    def do(self, type_: str, **payload: Any) -> None:
        self.actions.append({"type": type_, "payload": payload})

    def sale(self, *, is_discounted: bool, card: str | None, with_coupon: bool) -> None:
        """One sale; its first line may be returned afterwards when nothing was taken off."""
        scans = self._basket(self._chance.randint(1, 6))
        coupon = next((one.coupon for one in self.promoted if one.coupon), None) if with_coupon else None
        amounts = [self._promoted(scan, coupon) for scan in scans]
        percent = self._even_percent(amounts) if is_discounted and card is None else None
        self._ring_up(scans)
        if coupon is not None:
            self.do("receipt.coupon", number=coupon)
        is_full_price = amounts == [scan.amount for scan in scans]
        if card is not None:
            self.do("receipt.card", number=card)
            amounts = [amount - half_up(amount * 500, 10000) for amount in amounts]
        total = sum(amounts)
        if percent is not None:
            self.do("receipt.discount", percent=percent)
            total -= half_up(total * percent, 10000)
        self._pay(total - (self._pay_bonuses(card, total) if card is not None else 0))
        is_plain = is_full_price and percent is None and card is None
        self._last = (self._document, scans[0]) if is_plain else None
        self._document += 1

    def _promoted(self, scan: _Scan, coupon: str | None) -> int:
        """A line's amount after its promotion: the last in the list has the highest priority."""
        for promotion in reversed(self.promoted):
            if scan.article in promotion.articles and promotion.coupon in (None, coupon):
                return scan.amount - half_up(scan.amount * promotion.percent, 10000)
        return scan.amount

    def _pay_bonuses(self, card: str, total: int) -> int:
        """Pays up to half of a receipt with bonuses; how much."""
        amount = min(self.bonuses.get(card, 0), total // 2)
        if amount > 0:
            self.bonuses[card] -= amount
            self.do("receipt.pay", type="bonus", amount=amount)
        return max(0, amount)

    def uneven_sale(self) -> None:
        """A sale of three lines or more whose discount does not divide evenly."""
        while True:
            scans = self._basket(self._chance.randint(3, 5))
            amounts = [self._promoted(scan, None) for scan in scans]
            total = sum(amounts)
            percent = self._chance.choice(DISCOUNTS)
            discount = half_up(total * percent, 10000)
            if not divides_evenly(discount, amounts):
                break
        self._ring_up(scans)
        self.do("receipt.discount", percent=percent)
        self._pay(total - discount)
        self._last = None
        self._document += 1

    def annulled(self) -> None:
        """A receipt that the customer does not want after all."""
        self._ring_up(self._basket(self._chance.randint(1, 3)))
        self.do("receipt.cancel")
        self._document += 1

    def return_first_line(self) -> None:
        """The first line of the sale just made comes back, for cash; nothing when it was discounted."""
        if self._last is None:
            return
        sold, scan = self._last
        self.do(
            "receipt.open",
            kind="return",
            original={"cash": self._cash, "shift": self._shift, "number": sold},
        )
        self._scan(scan)
        self.do("receipt.pay", type="cash", amount=scan.amount)
        self.do("receipt.close")
        self._document += 1
        self._last = None

    def _basket(self, lines: int) -> list[_Scan]:
        chosen = self._chance.sample(list(self._assortment), min(lines, len(self._assortment)))
        return [self._weighed(good) if good.plu is not None else self._pieces(good) for good in chosen]

    def _weighed(self, good: Good) -> _Scan:
        assert good.plu is not None
        grams = self._chance.randint(120, 2500)
        amount = half_up(good.price * grams, 1000)
        return _Scan(weight_barcode(good.plu, grams), None, amount, good.article)

    def _pieces(self, good: Good) -> _Scan:
        pieces = self._chance.choice((1, 1, 1, 2, 3))
        if good.is_marked:
            self._serial += 1
            mark = marking_code(good.barcode, f"{self._cash:03d}{self._shift:03d}{self._serial:07d}")
            return _Scan(good.barcode, None, good.price, good.article, mark)
        return _Scan(good.barcode, 1000 * pieces if pieces > 1 else None, good.price * pieces, good.article)

    def _even_percent(self, amounts: Sequence[int]) -> int | None:
        """A discount that divides evenly among the lines; None when there is none."""
        for percent in self._chance.sample(DISCOUNTS, len(DISCOUNTS)):
            if divides_evenly(half_up(sum(amounts) * percent, 10000), amounts):
                return percent
        return None

    def _ring_up(self, scans: Sequence[_Scan]) -> None:
        self.do("receipt.open", kind="sale")
        for scan in scans:
            self._scan(scan)

    def _scan(self, scan: _Scan) -> None:
        more: dict[str, Any] = {} if scan.quantity is None else {"quantity": scan.quantity}
        if scan.mark is not None:
            more["mark"] = scan.mark
        self.do("receipt.add", barcode=scan.barcode, **more)

    def _pay(self, total: int) -> None:
        way = self._chance.choice(("cash", "cash", "card", "both"))
        if way == "card":
            self.do("receipt.pay", type="card", amount=total)
        else:
            by_card = total // 2 if way == "both" else 0
            if by_card:
                self.do("receipt.pay", type="card", amount=by_card)
            given = -(-(total - by_card) // 10000) * 10000  # whole hundreds of roubles
            self.do("receipt.pay", type="cash", amount=given)
        self.do("receipt.close")
