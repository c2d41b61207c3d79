"""The events that a scenario may hold, and what each of them carries.

Money is in integer kopecks, quantities in integer thousandths, percentages in hundredths of a percent.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

EventType = Literal[
    "shift.open",
    "receipt.open",
    "receipt.add",
    "receipt.discount",
    "receipt.card",
    "receipt.coupon",
    "receipt.pay",
    "receipt.close",
    "receipt.cancel",
    "shift.close",
    "shift.report",
    "fiscal.replace",
    "cash.in",
    "cash.out",
    "price.check",
    "sync",
    "restart",
    "network.cut",
    "network.restore",
    "network.lose_reply",
    "erp.goods",
    "erp.actions",
    "erp.file",
    "bonus.charge",
    "erp.refuse",
    "export",
]

EVENT_TYPES: tuple[str, ...] = get_args(EventType)

#: Types that only a register understands, and those that only the server does; ``restart`` is for both.
SERVER_ONLY = frozenset({"erp.goods", "erp.actions", "erp.file", "erp.refuse", "bonus.charge", "export"})
FOR_BOTH = frozenset({"restart"})
#: Types whose ``document`` names one of the scenario's documents.
WITH_DOCUMENT = frozenset({"erp.goods", "erp.actions", "erp.file"})
#: Types that may be played at the same moment as others (``Event.together``): one request to one host each.
MAY_BE_TOGETHER = frozenset(
    {
        "shift.open",
        "shift.close",
        "receipt.open",
        "receipt.add",
        "receipt.card",
        "receipt.coupon",
        "receipt.pay",
        "receipt.close",
        "receipt.cancel",
        "cash.in",
        "cash.out",
        "price.check",
        "sync",
        "export",
    }
)

#: 10 million roubles, 100 tonnes: above anything that a till takes, below what overflows anywhere.
MAX_KOPECKS = 1_000_000_000
MAX_THOUSANDTHS = 100_000_000

Kopecks = Annotated[int, Field(strict=True, ge=0, le=MAX_KOPECKS)]
Thousandths = Annotated[int, Field(strict=True, gt=0, le=MAX_THOUSANDTHS)]
ShortText = Annotated[str, Field(min_length=1, max_length=255)]


class Payload(BaseModel):
    """Base of all payloads: unknown fields are refused, so that a typing error does not go unseen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Payload):
    """No fields."""


class Login(Payload):
    """Who opens the shift."""

    tab_number: ShortText


class Original(Payload):
    """The receipt that a return gives back, as the store numbered it."""

    cash: Annotated[int, Field(ge=1)]
    shift: Annotated[int, Field(ge=0)]
    number: Annotated[int, Field(ge=0)]


class ReceiptOpening(Payload):
    """A sale, or a return with or without its original receipt."""

    kind: Literal["sale", "return"] = "sale"
    original: Original | None = None


class Addition(Payload):
    """One scanned barcode; the quantity is 1000 (one piece) unless told."""

    barcode: ShortText
    quantity: Thousandths = 1000
    #: The code of a marked good as the scanner gave it: 01, GTIN, 21, serial number, and (after GS) the tail.
    mark: ShortText | None = None


class Discount(Payload):
    """A discount on the whole receipt: a percentage or an amount."""

    percent: Annotated[int, Field(strict=True, ge=0, le=10_000)] | None = None
    amount: Kopecks | None = None


class Card(Payload):
    """A loyalty card."""

    number: ShortText


class Coupon(Payload):
    """A coupon, which is no card."""

    number: ShortText


class Payment(Payload):
    """Money given by the customer, or bonuses from the account of the receipt's card."""

    type: Literal["cash", "card", "bonus"]
    amount: Kopecks


class CashMove(Payload):
    """Money put into or taken out of the drawer."""

    amount: Kopecks


class PriceCheck(Payload):
    """A barcode whose price is shown."""

    barcode: ShortText


class SoapImport(Payload):
    """A SOAP import (goods, or promotions) with its TI; ``document`` is one of the scenario's."""

    document: ShortText
    ti: ShortText


class BonusCharge(Payload):
    """The processing service puts bonuses (kopecks) on a card's account."""

    card: ShortText
    amount: Annotated[int, Field(strict=True, gt=0, le=MAX_KOPECKS)]


class FileImport(Payload):
    """A file put into the server's exchange folder."""

    folder: Literal["products", "cards", "cashiers", "discounts", "reports"]
    name: Annotated[str, Field(pattern=r"^[^/\\\x00]{1,200}$")]
    document: ShortText


class Refusal(Payload):
    """How many of the next pushes the ERP does not take."""

    calls: Annotated[int, Field(strict=True, ge=1, le=100)]


PAYLOADS: dict[str, type[Payload]] = {
    "shift.open": Login,
    "receipt.open": ReceiptOpening,
    "receipt.add": Addition,
    "receipt.discount": Discount,
    "receipt.card": Card,
    "receipt.coupon": Coupon,
    "receipt.pay": Payment,
    "cash.in": CashMove,
    "cash.out": CashMove,
    "price.check": PriceCheck,
    "erp.goods": SoapImport,
    "erp.actions": SoapImport,
    "bonus.charge": BonusCharge,
    "erp.file": FileImport,
    "erp.refuse": Refusal,
}
PAYLOADS.update(dict.fromkeys(set(EVENT_TYPES) - set(PAYLOADS), Nothing))
