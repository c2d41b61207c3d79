"""Reads exported documents and goods catalogues (SET-INTERFACES 2.4, 3.4, 3.6): hostile input, 3 dialects.

Dialects of 3.4: (a) operDay with milliseconds, (b) default namespace http://www.crystals.ru and a BOM,
(c) no namespace. Unknown elements and attributes are ignored: versions add some.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, tzinfo
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeTree

from testbench.errors import TestbenchError
from testbench.oracles.observations import (
    CatalogGood,
    Discount,
    GoodsDocument,
    Payment,
    Position,
    PriceEntry,
    Promotion,
    Receipt,
    Restriction,
    ZReport,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_BYTES = 64 * 1024**2
_CANCELLED = "CANCELLED"
_CHANGE = "CashChangePaymentEntity"
_Z = "Zreport"
_RESTRICTIONS = {
    "min-price-restriction": "min-price",
    "max-discount-restriction": "max-discount",
    "sale-denied-restriction": "sale-denied",
}
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


class DocumentError(TestbenchError):
    """An exported document or catalogue cannot be read; the message says which field and why."""


def purchases(data: bytes) -> tuple[Receipt, ...]:
    """All receipts of a purchases document, cancelled ones marked, order kept.

    Raises:
        DocumentError: it is not such a document, or a field that the oracles need is missing or no number.
    """
    return tuple(_receipt(element) for element in _children(_root(data, "purchases"), "purchase"))


def z_reports(data: bytes) -> tuple[ZReport, ...]:
    """All Z reports of a reports document; X reports are left out.

    Raises:
        DocumentError: as ``purchases``.
    """
    found = []
    for element in _children(_root(data, "reports"), "zreport"):
        text = {_local(child): (child.text or "").strip() for child in element}
        if text.get("reportType", _Z) != _Z:
            continue
        found.append(
            ZReport(
                shop=_whole(text, "shopNumber"),
                cash=_whole(text, "cashNumber"),
                shift=_whole(text, "shiftNumber"),
                purchases=_money(text, "amountByPurchaseFiscal"),
                returns=_money(text, "amountByReturnFiscal", "0"),
                purchase_count=_whole(text, "countPurchase") if "countPurchase" in text else None,
                return_count=_whole(text, "countReturn") if "countReturn" in text else None,
            )
        )
    return tuple(found)


def goods_catalog(data: bytes, zone: tzinfo) -> GoodsDocument:
    """Goods and prices of a goods-catalog document; its dates without an offset are in ``zone``.

    Raises:
        DocumentError: it is not such a document, a good has no article, or a price is no number.
    """
    root = _root(data, "goods-catalog")
    goods: list[CatalogGood] = []
    prices: list[PriceEntry] = []
    for element in _children(root, "good"):
        article = element.get("marking-of-the-good", "")
        if not article:
            raise DocumentError("goods-catalog: a good has no marking-of-the-good")
        shops = _shops(element)
        codes = [(code.get("code", ""), _flag(code, "deleted")) for code in _children(element, "bar-code")]
        goods.append(
            CatalogGood(
                article=article,
                barcodes=tuple(code for code, removed in codes if code and not removed),
                removed_barcodes=tuple(code for code, removed in codes if code and removed),
                shops=shops,
                is_removed=_flag(element, "delete-from-cash"),
                groups=frozenset(
                    group.get("id", "")
                    for group in element.iter()
                    if _local(group) in ("group", "parent-group")
                ),
            )
        )
        prices += [_price(entry, article, shops, zone) for entry in _children(element, "price-entry")]
    for entry in _children(root, "price-entry"):
        prices.append(_price(entry, entry.get("marking-of-the-good", ""), None, zone))
    restrictions = tuple(_restriction(child) for child in root if _local(child) in _RESTRICTIONS)
    return GoodsDocument(goods=tuple(goods), prices=tuple(prices), restrictions=restrictions)


def discounts(data: bytes) -> dict[tuple[int, int, int], tuple[Discount, ...]]:
    """Receipt -> its discounts, of a discounts document (SET-INTERFACES 3.3).

    Raises:
        DocumentError: as ``purchases``.
    """
    found = {}
    for element in _children(_root(data, "purchases"), "purchase"):
        given = element.attrib
        identity = _whole(given, "cash"), _whole(given, "shift"), _whole(given, "number")
        found[identity] = tuple(_discount(line) for line in _children(element, "discount"))
    return found


def promotions(data: bytes, zone: tzinfo) -> tuple[Promotion, ...]:
    """The promotions of an AdvertisingActions document; its dates without an offset are in ``zone``.

    Raises:
        DocumentError: it is not such a document, or a priority or date cannot be read.
    """
    root = _root(data, "AdvertisingActions")
    return tuple(_promotion(element, zone) for element in _children(root, "AdvertisingAction"))


def _discount(element: Element) -> Discount:
    given = element.attrib
    return Discount(
        position=given.get("positionId", ""),
        goods_code=given.get("goodCode", ""),
        amount=_money(given, "amount"),
        kind=given.get("advertType", ""),
        promotion=given.get("AdvertActGUID", ""),
    )


def _promotion(element: Element, zone: tzinfo) -> Promotion:
    text = {_local(child): (child.text or "").strip() for child in element}
    conditions = next(_children(element, "conditions"), None)
    coupon = None if conditions is None else next(_children(conditions, "coupon"), None)
    rules = [
        rule
        for result in _children(element, "actionResults")
        for rule in _children(result, "goodsDiscount")
        if not _flag(rule, "for-gifts-only")
        and ("percentage-discount" in rule.attrib or "fixPrice" in rule.attrib)
    ]
    goods = {mark.get("id", "") for rule in rules for mark in _children(rule, "marking-of-the-good")}
    percents = [
        _number(rule.attrib, "percentage-discount", "0")
        for rule in rules
        if not _number(rule.attrib, "maxQuantity", "0")
    ]
    return Promotion(
        guid=element.get("AdvertActGUID") or element.get("external-code") or element.get("name") or "",
        priority=_number(element.attrib, "priority", "0"),
        begin=_date(text.get("begin-date", ""), zone),
        end=_date(text.get("end-date", ""), zone, of_day=time(23, 59, 59)),
        is_active=element.get("active", "true").lower() == "true",
        deleted=_flag(element, "deleted"),
        ignores_restrictions=_flag(element, "ignoreRestrictions"),
        coupon=None if coupon is None else coupon.get("number"),
        goods=None if any(_flag(rule, "for-all-goods") for rule in rules) else frozenset(goods),
        percent=percents[0] if len(percents) == len(rules) == 1 else Decimal(0),
    )


def _restriction(element: Element) -> Restriction:
    text = {_local(child): (child.text or "").strip() for child in element}
    kind, days = _RESTRICTIONS[_local(element)], text.get("days-of-week") or " ".join(_DAYS)
    value = element.get("value") or "0"

    def said(name: str, otherwise: str) -> str:
        return text.get(name) or element.get(name) or otherwise

    return Restriction(
        id=element.get("id", ""),
        kind=kind,
        subject=element.get("subject-type") or "GOOD",
        code=element.get("subject-code", ""),
        value=_number({"value": value}, "value") * (100 if kind == "min-price" else 1),
        since=said("since-date", Restriction.since)[:10],
        till=said("till-date", Restriction.till)[:10],
        since_time=said("since-time", Restriction.since_time)[:8],
        till_time=said("till-time", Restriction.till_time)[:8],
        weekdays=frozenset(_DAYS.index(day) for day in days.split() if day in _DAYS),
        deleted=_flag(element, "deleted"),
        shops=_shops(element),
    )


def _receipt(element: Element) -> Receipt:
    given = element.attrib
    return Receipt(
        shop=_whole(given, "shop"),
        cash=_whole(given, "cash"),
        shift=_whole(given, "shift"),
        number=_whole(given, "number"),
        is_sale=given.get("operationType", "true").strip().lower() == "true",
        amount=_money(given, "amount"),
        discount=_money(given, "discountAmount", "0"),
        positions=tuple(_position(line) for line in _nested(element, "positions", "position")),
        payments=tuple(_payment(line) for line in _nested(element, "payments", "payment")),
        is_cancelled=given.get("status", "").upper() == _CANCELLED
        or _properties(element).get("SKNO_ANNUL") == "1",
        oper_day=given.get("operDay", "")[:10],
        cards=tuple((card.text or "").strip() for card in _nested(element, "discountCards", "discountCard")),
        customer_cards=_cards(element, "INTERNAL"),
        coupons=_cards(element, "COUPON_CARD") + _cards(element, "UNIQUE_COUPON"),
        original=_original(element),
    )


def _cards(element: Element, kind: str) -> tuple[str, ...]:
    return tuple(card.get("number", "") for card in _children(element, "card") if card.get("type") == kind)


def _original(element: Element) -> tuple[int, int, int] | None:
    sale = next(_children(element, "original-purchase"), None)
    if sale is None:
        return None
    return _whole(sale.attrib, "cash"), _whole(sale.attrib, "shift"), _whole(sale.attrib, "number")


def _position(element: Element) -> Position:
    given = element.attrib
    return Position(
        order=given.get("order", ""),
        goods_code=given.get("goodsCode", ""),
        barcode=given.get("barCode", ""),
        count=_number(given, "count"),
        cost=_money(given, "cost"),
        discount=_money(given, "discountValue", "0"),
        amount=_money(given, "amount"),
        vat_rate=_number(given, "nds") if given.get("nds") else None,
        vat_sum=_money(given, "ndsSum") if given.get("ndsSum") else None,
        mark=_properties(element).get("excise-token"),
        at=_moment(given.get("dateCommit", "")),
    )


def _payment(element: Element) -> Payment:
    kind = element.get("typeClass", "")
    return Payment(
        kind=kind,
        amount=_money(element.attrib, "amount"),
        is_change=kind.endswith(_CHANGE),
        card=_properties(element).get("card.number"),
    )


def _price(element: Element, article: str, shops: frozenset[int] | None, zone: tzinfo) -> PriceEntry:
    text = {_local(child): (child.text or "").strip() for child in element}
    department = next(iter(_children(element, "department")), None)
    own_shops = _shops(element)
    return PriceEntry(
        article=article,
        price=_money(element.attrib, "price"),
        number=_whole(text, "number") if text.get("number") else 1,
        department=(department.get("number") or "") if department is not None else "",
        begin=_date(text.get("begin-date", ""), zone),
        end=_date(text.get("end-date", ""), zone, of_day=time(23, 59, 59)),
        deleted=_flag(element, "deleted"),
        shops=shops if own_shops is None else own_shops,
    )


def _root(data: bytes, name: str) -> Element:
    if len(data) > MAX_BYTES:
        raise DocumentError(f"{name}: {len(data)} bytes exceed {MAX_BYTES}")
    try:
        root: Element = SafeTree.fromstring(data.strip(), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as problem:
        raise DocumentError(f"{name}: is not XML that can be read ({problem})") from None
    if _local(root) != name:
        raise DocumentError(f"{name}: the root element is {_local(root)!r}")
    return root


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _children(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if _local(child) == name)


def _nested(element: Element, group: str, name: str) -> Iterator[Element]:
    for child in _children(element, group):
        yield from _children(child, name)


def _properties(element: Element) -> dict[str, str]:
    return {line.get("key", ""): line.get("value", "") for line in _children(element, "plugin-property")}


def _flag(element: Element, name: str) -> bool:
    """True when the attribute or the child element of that name says so: both forms are in use."""
    given = [element.get(name, "")] + [child.text or "" for child in _children(element, name)]
    return any(text.strip().lower() == "true" for text in given)


def _shops(element: Element) -> frozenset[int] | None:
    texts = [child.text or "" for child in _children(element, "shop-indices")]
    numbers = frozenset(int(part) for text in texts for part in text.split() if part.isdigit())
    return numbers or None


def _date(text: str, zone: tzinfo, of_day: time = time()) -> datetime | None:
    """To the second, as prices are kept; a date alone is its first second, or ``of_day``."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DocumentError(f"goods-catalog: {text[:40]!r} is not a date of ISO 8601") from None
    if len(text) <= len("2025-11-23"):
        moment = datetime.combine(moment.date(), of_day)
    moment = moment.replace(microsecond=0)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _moment(text: str) -> datetime | None:
    """A moment with its offset, or None: the time of a line is no reason to refuse a receipt."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _number(given: dict[str, str], name: str, default: str | None = None) -> Decimal:
    text = given.get(name, default)
    try:
        value = Decimal(str(text))
    except InvalidOperation:
        raise DocumentError(f"{name}: {str(text)[:40]!r} is not a number") from None
    if not value.is_finite() or abs(value) > 10**15:
        raise DocumentError(f"{name}: {str(text)[:40]!r} is out of range")
    return value


def _money(given: dict[str, str], name: str, default: str | None = None) -> Decimal:
    """Kopecks."""
    return _number(given, name, default) * 100


def _whole(given: dict[str, str], name: str) -> int:
    value = _number(given, name)
    if value != int(value):
        raise DocumentError(f"{name}: {value} is not a whole number")
    return int(value)
