"""What one run made visible: exported documents, answers and the state of the processes. Nothing internal.

Money is in kopecks as ``Decimal`` (a fraction of a kopeck in an export is itself a finding), quantities are
in pieces or kilograms as written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any

#: How a receipt is known outside: (cash, shift, number).
Identity = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Position:
    """One line of an exported receipt."""

    order: str
    goods_code: str
    barcode: str
    count: Decimal
    cost: Decimal
    discount: Decimal
    amount: Decimal
    vat_rate: Decimal | None = None
    vat_sum: Decimal | None = None
    #: The code of a marked good, as exported.
    mark: str | None = None
    #: When it was added, as far as the export tells.
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Payment:
    """One payment of an exported receipt; change is given back."""

    kind: str
    amount: Decimal
    is_change: bool = False
    #: The card that a payment with bonuses or a gift card was made with.
    card: str | None = None


@dataclass(frozen=True, kw_only=True)
class Discount:
    """One discount of one line, as the discounts document tells it (SET-INTERFACES 3.3)."""

    position: str
    goods_code: str
    amount: Decimal
    kind: str
    #: The promotion that gave it; empty for cards and receipt discounts.
    promotion: str = ""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One exported receipt (SET-INTERFACES 3.4)."""

    shop: int
    cash: int
    shift: int
    number: int
    is_sale: bool
    amount: Decimal
    discount: Decimal
    positions: tuple[Position, ...] = ()
    payments: tuple[Payment, ...] = ()
    is_cancelled: bool = False
    #: The shift's day as written, without its offset.
    oper_day: str = ""
    #: The operating day that the bench asked for when it got the receipt; "" when it asked otherwise.
    asked_day: str = ""
    cards: tuple[str, ...] = ()
    #: Of the cards, those that are told to be customers' cards, and those that are told to be coupons.
    customer_cards: tuple[str, ...] = ()
    coupons: tuple[str, ...] = ()
    #: The sale that a return gives back.
    original: Identity | None = None

    @property
    def identity(self) -> Identity:
        """How it is known outside."""
        return self.cash, self.shift, self.number

    @property
    def where(self) -> str:
        """For people."""
        return f"receipt {self.cash}/{self.shift}/{self.number}"


@dataclass(frozen=True, kw_only=True)
class ZReport:
    """One exported Z report (SET-INTERFACES 3.6); X reports are not kept."""

    shop: int
    cash: int
    shift: int
    purchases: Decimal
    returns: Decimal
    purchase_count: int | None = None
    return_count: int | None = None

    @property
    def where(self) -> str:
        """For people."""
        return f"Z report {self.cash}/{self.shift}"


@dataclass(frozen=True, kw_only=True)
class PriceEntry:
    """A price in a goods catalogue document; several may hold for one good (SET-INTERFACES 2.4)."""

    article: str
    price: Decimal
    number: int = 1
    department: str = ""
    begin: datetime | None = None
    end: datetime | None = None
    deleted: bool = False
    shops: frozenset[int] | None = None


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """A restriction of sale in a goods catalogue document; dates, times and days are the store's (2.4)."""

    id: str
    #: min-price, max-discount or sale-denied.
    kind: str
    #: GOOD or GROUP, and its article or code.
    subject: str
    code: str
    #: Kopecks, or percent; 0 for a denied sale.
    value: Decimal = Decimal(0)
    since: str = "0001-01-01"
    till: str = "9999-12-31"
    since_time: str = "00:00:00"
    till_time: str = "23:59:59"
    #: 0 is Monday.
    weekdays: frozenset[int] = frozenset(range(7))
    deleted: bool = False
    shops: frozenset[int] | None = None


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A promotion that takes something off goods (SET-INTERFACES 2.7)."""

    guid: str
    priority: Decimal
    begin: datetime | None = None
    end: datetime | None = None
    is_active: bool = True
    deleted: bool = False
    ignores_restrictions: bool = False
    #: The coupon that it asks for.
    coupon: str | None = None
    #: Articles; None means all goods. Empty: it takes nothing off.
    goods: frozenset[str] | None = frozenset()
    #: Percent off without a limit of quantity; 0 when that is not how it works.
    percent: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class CatalogGood:
    """A good in a goods catalogue document."""

    article: str
    barcodes: tuple[str, ...] = ()
    removed_barcodes: tuple[str, ...] = ()
    shops: frozenset[int] | None = None
    is_removed: bool = False
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class GoodsDocument:
    """A goods-catalog as the ERP sent it."""

    goods: tuple[CatalogGood, ...] = ()
    prices: tuple[PriceEntry, ...] = ()
    restrictions: tuple[Restriction, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImportSeen:
    """One package given to the server, and what the server said of it."""

    ti: str
    #: 3 is imported, 2 in processing, anything else an error; None when the server was never asked.
    status: int | None
    at: datetime
    document: GoodsDocument | None = None
    #: What a package of promotions holds; None for a package of goods, or one that cannot be read.
    promotions: tuple[Promotion, ...] | None = None
    is_accepted: bool = True

    @property
    def where(self) -> str:
        """For people."""
        return f"package {self.ti}"


@dataclass(frozen=True, kw_only=True)
class GoodSeen:
    """A good as the server or a register shows it."""

    article: str
    #: Price number (1 base, 2 promotional) -> what holds at the point's time, in kopecks.
    prices: Mapping[int, Decimal] = field(default_factory=dict)
    barcodes: frozenset[str] = frozenset()
    #: What the register answered to a price check; None on the server and where nothing was asked.
    sold_at: Decimal | None = None

    @property
    def price(self) -> Decimal | None:
        """What it is sold at: a promotional price goes before the base price."""
        return self.prices.get(2, self.prices.get(1))


#: Article -> good, as one host shows it.
CatalogSeen = Mapping[str, GoodSeen]


@dataclass(frozen=True, kw_only=True)
class PricesSeen:
    """All catalogues at one observation point."""

    point: str
    at: datetime
    server: CatalogSeen
    #: Only registers that had just exchanged with the server without an error.
    registers: Mapping[int, CatalogSeen] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ActionSeen:
    """What the product answered to one event."""

    seq: int
    type: str
    register: int | None
    is_ok: bool
    error: str = ""
    #: What a price check answered, in kopecks.
    price: Decimal | None = None
    at: datetime | None = None
    #: The event's unit, and what it asked for.
    unit: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A process that did not live as it should."""

    #: crash, http-500, hang or exchange-failed.
    kind: str
    #: "server" or "register 1".
    where: str
    #: The error's type, without any data: "KeyError", "exit-1", "signal-9".
    what: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Everything that the oracles may look at."""

    shop: int
    receipts: tuple[Receipt, ...] = ()
    #: Receipts in the files that the server exported by itself, over all files.
    pushed: tuple[Receipt, ...] = ()
    z_reports: tuple[ZReport, ...] = ()
    #: What getNewPurchasesByParams gave, asked until it had nothing more; None when that was not asked.
    taken: tuple[Receipt, ...] | None = None
    #: Receipts whose push the ERP acknowledged, in that order; None when the product did not push at all.
    acknowledged: tuple[Receipt, ...] | None = None
    #: Receipts and shifts that a register confirmed as closed.
    closed_receipts: tuple[Identity, ...] = ()
    closed_shifts: tuple[tuple[int, int], ...] = ()
    #: False when something ended before everything was exchanged and exported.
    is_complete: bool = True
    imports: tuple[ImportSeen, ...] = ()
    prices: tuple[PricesSeen, ...] = ()
    actions: tuple[ActionSeen, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    #: Exports that did not come, or could not be read, and why.
    unreadable: tuple[str, ...] = ()
    #: Unit of the scenario -> the receipt that it became on the bench.
    units: Mapping[str, Identity] = field(default_factory=dict)
    #: Receipt -> its discounts, of all discounts documents.
    discounts: Mapping[Identity, tuple[Discount, ...]] = field(default_factory=dict)
    #: Card -> kopecks charged by the processing service, and its balance at the end (None: no account).
    charged: Mapping[str, Decimal] = field(default_factory=dict)
    balances: Mapping[str, Decimal | None] = field(default_factory=dict)
    #: The store's time zone, for what the ERP writes in local time.
    zone: tzinfo = UTC
