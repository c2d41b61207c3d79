"""What happens in a store, made from a seed: goods as the ERP sends them, and what cashiers do in a shift.

Everything is plain data: documents are bytes in SET's own XML (SET-INTERFACES 2.4 and 2.5), actions are
``{"type", "payload"}`` as the register takes them. Money is in kopecks, quantities in thousandths. The same
arguments give the same data on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from xml.etree import ElementTree

from testbench.errors import UsageError

Action = dict[str, Any]

#: (name, unit, price from, price to, VAT); the name gets a make, so that thousands of goods differ.
_PIECES = (
    ("Молоко 3,2% 930 мл", 7490, 11990, 10),
    ("Хлеб пшеничный", 3890, 6990, 10),
    ("Кефир 1% 900 г", 6990, 9990, 10),
    ("Масло сливочное 180 г", 15990, 24990, 10),
    ("Печенье овсяное 400 г", 8990, 15990, 22),
    ("Чай чёрный 100 пак.", 19990, 34990, 22),
    ("Сок яблочный 1 л", 10990, 16990, 20),
    ("Шоколад тёмный 90 г", 8990, 14990, 22),
    ("Стиральный порошок 3 кг", 39990, 59990, 20),
    ("Мыло туалетное", 3990, 8990, 20),
)
_WEIGHED = (
    ("Сыр «Российский», вес.", 59990, 89990, 10),
    ("Яблоки, вес.", 9990, 17990, 10),
    ("Картофель, вес.", 3990, 6990, 10),
    ("Конфеты «Ромашка», вес.", 29990, 49990, 22),
    ("Колбаса варёная, вес.", 39990, 69990, 20),
)
_MAKES = ("Заря", "Луговое", "Северное", "Каравай", "Добрыня", "Восход", "Рассвет", "Горный", "Полюс", "Нива")
CARD_NUMBERS = ("2013800000017", "2013800000024", "2013800000031")
_DISCOUNTS = (300, 500, 700, 1000, 1500)  # hundredths of a percent


@dataclass(frozen=True, kw_only=True)
class Good:
    """One article of the made-up assortment."""

    article: str
    name: str
    barcode: str
    #: Kopecks per piece or kilogram.
    price: int
    #: Percent.
    vat: int
    #: The scales' number of a weighed good, else None.
    plu: int | None = None


def check_digit(digits: str) -> str:
    """The check digit of the first twelve digits of an EAN-13 (GS1 General Specifications, 7.9)."""
    odd = sum(int(digit) for digit in digits[0:12:2])
    even = sum(int(digit) for digit in digits[1:12:2])
    return str((10 - (odd + 3 * even) % 10) % 10)


def weight_barcode(plu: int, grams: int) -> str:
    """The label that scales print: 21, PLU, grams, check digit (SET-INTERFACES section 5)."""
    digits = f"21{plu:05d}{grams:05d}"
    return digits + check_digit(digits)


def goods(count: int, seed: int = 1) -> list[Good]:
    """An assortment of `count` goods, about one in four weighed; VAT 10, 20 and 22 percent."""
    chance = random.Random(f"goods {seed}")
    made = []
    for number in range(1, count + 1):
        is_weighed = number % 4 == 0
        kinds = _WEIGHED if is_weighed else _PIECES
        name, low, high, vat = kinds[chance.randrange(len(kinds))]
        make = chance.choice(_MAKES)
        digits = f"460{number:09d}"
        made.append(
            Good(
                article=str(100000 + number),
                name=f"{name} «{make}» {number}",
                barcode=f"21{number:05d}" if is_weighed else digits + check_digit(digits),
                price=chance.randrange(low, high + 1),
                vat=vat,
                plu=number if is_weighed else None,
            )
        )
    return made


def goods_document(assortment: Sequence[Good], shop: int, begin: date) -> bytes:
    """The goods-catalog document that brings these goods and their base prices, valid from a local day on."""
    root = ElementTree.Element("goods-catalog")
    for good in assortment:
        element = ElementTree.SubElement(root, "good", {"marking-of-the-good": good.article})
        _child(element, "shop-indices", str(shop))
        _child(element, "name", good.name)
        code = ElementTree.SubElement(element, "bar-code", {"code": good.barcode})
        _child(code, "count", "1")
        _child(code, "default-code", "true")
        is_weighed = good.plu is not None
        _child(element, "product-type", "ProductWeightEntity" if is_weighed else "ProductPieceEntity")
        _price(element, good.price, begin, {})
        _child(element, "vat", str(good.vat))
        group = ElementTree.SubElement(element, "group", {"id": "10" if is_weighed else "20"})
        _child(group, "name", "Весовые товары" if is_weighed else "Штучные товары")
        measure = ElementTree.SubElement(element, "measure-type", {"id": "166" if is_weighed else "796"})
        _child(measure, "name", "кг" if is_weighed else "шт")
        _property(element, "precision", "0.001" if is_weighed else "1.0")
        if good.plu is not None:
            _property(element, "plu-number", str(good.plu))
    return _document(root)


def prices_document(prices: dict[str, int], shop: int, begin: date) -> bytes:
    """A goods-catalog with base prices only: article -> kopecks, valid from a local day on."""
    root = ElementTree.Element("goods-catalog")
    for article, price in prices.items():
        entry = _price(root, price, begin, {"marking-of-the-good": article})
        _child(entry, "shop-indices", str(shop))
    return _document(root)


def cards_document(percent: str = "5.00") -> bytes:
    """A cards-catalog with one type of loyalty card of that percentage, and CARD_NUMBERS; no persons."""
    root = ElementTree.Element("cards-catalog")
    kind = {"guid": "5", "name": "Карта покупателя", "personalized": "false", "percentage-discount": percent}
    ElementTree.SubElement(root, "internal-card-type", {**kind, "deleted": "false"})
    for number in CARD_NUMBERS:
        card = {"number": number, "status": "ACTIVE", "deleted": "false", "card-type-guid": "5"}
        ElementTree.SubElement(root, "internal-card", card)
    return _document(root)


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
) -> list[Action]:
    """What a cashier does in one shift, from opening to the Z report, then one `sync`.

    Sales of piece and weighed goods, every sixth with a discount on the receipt, every ninth annulled, every
    seventh followed by a return of its first line; cash with change, card, and both.

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
    cashier.do("shift.open", tab_number="17")
    cashier.do("cash.in", amount=500000)
    uneven_after = _spread(uneven_discounts, receipts)
    for index in range(receipts):
        if index % 9 == 8:
            cashier.annulled()
        else:
            card = CARD_NUMBERS[index % len(CARD_NUMBERS)] if with_cards and index % 5 == 3 else None
            cashier.sale(is_discounted=index % 6 == 2, card=card)
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


class _Cashier:
    """Does receipts and keeps in mind what they come to."""

    def __init__(
        self, assortment: Sequence[Good], chance: random.Random, cash: int, shift_number: int, document: int
    ) -> None:
        self.actions: list[Action] = []
        self._assortment, self._chance = assortment, chance
        self._cash, self._shift, self._document = cash, shift_number, document
        self._last: tuple[int, _Scan] | None = None

    def do(self, type_: str, **payload: Any) -> None:
        self.actions.append({"type": type_, "payload": payload})

    def sale(self, *, is_discounted: bool, card: str | None) -> None:
        """One sale; its first line may be returned afterwards when nothing was taken off."""
        scans = self._basket(self._chance.randint(1, 6))
        percent = self._even_percent(scans) if is_discounted and card is None else None
        self._ring_up(scans)
        amounts = [scan.amount for scan in scans]
        if card is not None:
            self.do("receipt.card", number=card)
            amounts = [amount - half_up(amount * 500, 10000) for amount in amounts]
        total = sum(amounts)
        if percent is not None:
            self.do("receipt.discount", percent=percent)
            total -= half_up(total * percent, 10000)
        self._pay(total)
        self._last = (self._document, scans[0]) if percent is None and card is None else None
        self._document += 1

    def uneven_sale(self) -> None:
        """A sale of three lines or more whose discount does not divide evenly."""
        while True:
            scans = self._basket(self._chance.randint(3, 5))
            total = sum(scan.amount for scan in scans)
            percent = self._chance.choice(_DISCOUNTS)
            discount = half_up(total * percent, 10000)
            if not divides_evenly(discount, [scan.amount for scan in scans]):
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
        return _Scan(weight_barcode(good.plu, grams), None, half_up(good.price * grams, 1000))

    def _pieces(self, good: Good) -> _Scan:
        pieces = self._chance.choice((1, 1, 1, 2, 3))
        return _Scan(good.barcode, 1000 * pieces if pieces > 1 else None, good.price * pieces)

    def _even_percent(self, scans: Sequence[_Scan]) -> int | None:
        """A discount that divides evenly among the lines; None when there is none."""
        amounts = [scan.amount for scan in scans]
        for percent in self._chance.sample(_DISCOUNTS, len(_DISCOUNTS)):
            if divides_evenly(half_up(sum(amounts) * percent, 10000), amounts):
                return percent
        return None

    def _ring_up(self, scans: Sequence[_Scan]) -> None:
        self.do("receipt.open", kind="sale")
        for scan in scans:
            self._scan(scan)

    def _scan(self, scan: _Scan) -> None:
        quantity = {} if scan.quantity is None else {"quantity": scan.quantity}
        self.do("receipt.add", barcode=scan.barcode, **quantity)

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


def _child(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text


def _property(parent: ElementTree.Element, key: str, value: str) -> None:
    ElementTree.SubElement(parent, "plugin-property", {"key": key, "value": value})


def _price(
    parent: ElementTree.Element, price: int, begin: date, attributes: dict[str, str]
) -> ElementTree.Element:
    texts = {**attributes, "price": f"{price // 100}.{price % 100:02d}", "deleted": "false"}
    entry = ElementTree.SubElement(parent, "price-entry", texts)
    _child(entry, "begin-date", f"{begin.isoformat()}T00:00:00")
    _child(entry, "number", "1")
    ElementTree.SubElement(entry, "department", {"number": "1"})
    return entry


def _document(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document
