"""What a store's ERP sends, made from a seed: goods, promotions and cards as documents in SET's own XML.

Money is in kopecks, percentages in hundredths of a percent (SET-INTERFACES 2.4, 2.5 and 2.7).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from xml.etree import ElementTree

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
DISCOUNTS = (300, 500, 700, 1000, 1500)  # hundredths of a percent


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
    #: Sold with a marking code.
    is_marked: bool = False


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A percentage off some goods, for everybody or for who shows the coupon."""

    guid: str
    #: Hundredths of a percent.
    percent: int
    articles: tuple[str, ...]
    coupon: str | None = None


def check_digit(digits: str) -> str:
    """The check digit of the first twelve digits of an EAN-13 (GS1 General Specifications, 7.9)."""
    odd = sum(int(digit) for digit in digits[0:12:2])
    even = sum(int(digit) for digit in digits[1:12:2])
    return str((10 - (odd + 3 * even) % 10) % 10)


def weight_barcode(plu: int, grams: int) -> str:
    """The label that scales print: 21, PLU, grams, check digit (SET-INTERFACES section 5)."""
    digits = f"21{plu:05d}{grams:05d}"
    return digits + check_digit(digits)


def marking_code(barcode: str, serial: str) -> str:
    """A DataMatrix as a scanner gives it: 01, GTIN, 21, serial number, GS and a tail (section 5)."""
    return f"01{barcode:0>14}21{serial}\x1d93dGVz"


def goods(count: int, seed: int = 1, *, with_marked: bool = False) -> list[Good]:
    """An assortment of `count` goods, about one in four weighed; VAT 10, 20 and 22 percent.

    With `with_marked` every tenth that is not weighed is sold with marking codes.
    """
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
                is_marked=with_marked and not is_weighed and number % 10 == 5,
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
        if good.is_marked:
            _child(element, "mark-type", "MILK")
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


def promotions_document(promotions: Sequence[Promotion], begin: date) -> bytes:
    """An AdvertisingActions document with percentage discounts that hold from a local day on."""
    root = ElementTree.Element("AdvertisingActions")
    for place, promotion in enumerate(promotions, 1):
        attributes = {"name": promotion.guid, "active": "true", "mode": "automatic", "priority": f"{place}.0"}
        action = ElementTree.SubElement(
            root, "AdvertisingAction", {"AdvertActGUID": promotion.guid, **attributes}
        )
        _child(action, "begin-date", f"{begin.isoformat()}T00:00:00")
        if promotion.coupon is not None:
            conditions = ElementTree.SubElement(action, "conditions")
            ElementTree.SubElement(conditions, "coupon", {"number": promotion.coupon})
        results = ElementTree.SubElement(action, "actionResults")
        percent = f"{promotion.percent // 100}.{promotion.percent % 100:02d}"
        discount = ElementTree.SubElement(results, "goodsDiscount", {"percentage-discount": percent})
        _child(discount, "for-all-goods", "false")
        for article in promotion.articles:
            ElementTree.SubElement(discount, "marking-of-the-good", {"id": article})
    return _document(root)


def promotions(assortment: Sequence[Good], seed: int = 1) -> list[Promotion]:
    """A promotion for one good in five, and one with a coupon for another; no good has both."""
    chance = random.Random(f"promotions {seed}")
    articles = [good.article for good in chance.sample(list(assortment), max(2, len(assortment) // 5))]
    half = len(articles) // 2
    return [
        Promotion(guid="week", percent=chance.choice(DISCOUNTS), articles=tuple(articles[:half])),
        Promotion(
            guid="coupon",
            percent=chance.choice(DISCOUNTS),
            articles=tuple(articles[half:]),
            coupon="9900001",
        ),
    ]


def cards_document(percent: str = "5.00") -> bytes:
    """A cards-catalog with one type of loyalty card of that percentage, and CARD_NUMBERS; no persons."""
    root = ElementTree.Element("cards-catalog")
    kind = {"guid": "5", "name": "Карта покупателя", "personalized": "false", "percentage-discount": percent}
    ElementTree.SubElement(root, "internal-card-type", {**kind, "deleted": "false"})
    for number in CARD_NUMBERS:
        card = {"number": number, "status": "ACTIVE", "deleted": "false", "card-type-guid": "5"}
        ElementTree.SubElement(root, "internal-card", card)
    return _document(root)


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
