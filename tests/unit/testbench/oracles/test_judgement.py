"""Each oracle accepts what is right and names what is wrong; a signature holds no data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from testbench.oracles import Observations, Question, Statement, differential, judge
from testbench.oracles.observations import (
    CatalogGood,
    GoodsDocument,
    GoodSeen,
    ImportSeen,
    Payment,
    Position,
    PriceEntry,
    PricesSeen,
    Receipt,
    Trouble,
    ZReport,
)

NOW = datetime(2025, 11, 23, 12, tzinfo=UTC)


def d(value: Any) -> Decimal:
    return Decimal(value)


LINE = Position(
    order="1",
    goods_code="678",
    barcode="2100678",
    count=d("0.126"),
    cost=d(79900),
    discount=d(0),
    amount=d(10067),
    vat_rate=d(10),
    vat_sum=d(915),
)
RECEIPT = Receipt(
    shop=1,
    cash=1,
    shift=7,
    number=3,
    is_sale=True,
    amount=d(10067),
    discount=d(0),
    positions=(LINE,),
    payments=(Payment(kind="Cash", amount=d(11000)), Payment(kind="Change", amount=d(933), is_change=True)),
)
Z = ZReport(shop=1, cash=1, shift=7, purchases=d(10067), returns=d(0), purchase_count=1, return_count=0)
GOOD = GoodSeen(article="678", prices={1: d(79900)}, barcodes=frozenset({"2100678"}), sold_at=d(79900))
PACKAGE = ImportSeen(
    ti="1",
    status=3,
    at=NOW,
    document=GoodsDocument(
        goods=(CatalogGood(article="678", barcodes=("2100678",)),),
        prices=(PriceEntry(article="678", price=d(79900)),),
    ),
)
PRICES = PricesSeen(point="end", at=NOW, server={"678": GOOD}, registers={1: {"678": GOOD}})
RIGHT = Observations(
    shop=1,
    receipts=(RECEIPT,),
    pushed=(RECEIPT,),
    z_reports=(Z,),
    closed_receipts=((1, 7, 3),),
    closed_shifts=((1, 7),),
    imports=(PACKAGE,),
    prices=(PRICES,),
    units={"receipt:1/7/3": (1, 7, 3)},
)


def signatures(seen: Observations, question: Question | None = None) -> list[str]:
    return [finding.signature for finding in judge(seen, question or Question())]


def with_line(**changes: Any) -> Observations:
    return replace(RIGHT, receipts=(replace(RECEIPT, positions=(replace(LINE, **changes),)),))


def with_receipt(**changes: Any) -> Observations:
    return replace(RIGHT, receipts=(replace(RECEIPT, **changes),))


def with_register(**changes: Any) -> Observations:
    own = {"678": replace(GOOD, **changes)}
    return replace(RIGHT, prices=(replace(PRICES, registers={1: own}),))


def test_what_is_right_has_no_findings() -> None:
    """A run in which all adds up is good under all oracles."""
    assert signatures(RIGHT) == []


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        # half-even instead of half-up, or a float: one kopeck
        (with_line(amount=d(10068)), "receipt-arithmetic/line-rounding"),
        # the weight cut to two decimals: far off
        (with_line(amount=d(9588)), "receipt-arithmetic/line-amount"),
        (with_line(vat_sum=d(916)), "receipt-arithmetic/vat-rounding"),
        (with_line(vat_sum=d(900)), "receipt-arithmetic/vat-sum"),
        (with_receipt(amount=d(10070)), "receipt-arithmetic/lines-sum"),
        (with_receipt(discount=d(1)), "receipt-arithmetic/discount-sum"),
        (with_receipt(payments=(Payment(kind="Cash", amount=d(11000)),)), "receipt-arithmetic/payments"),
        (replace(RIGHT, receipts=()), "exported-once/lost"),
        (replace(RIGHT, receipts=(RECEIPT, RECEIPT)), "exported-once/duplicate"),
        (replace(RIGHT, pushed=(RECEIPT, RECEIPT)), "exported-once/duplicate-in-files"),
        (replace(RIGHT, closed_receipts=()), "exported-once/invented"),
        (replace(RIGHT, unreadable=("getPurchasesByOperDay: no XML",)), "exported-once/unreadable"),
        (replace(RIGHT, z_reports=(replace(Z, purchases=d(10000)),)), "z-report/purchase-amount"),
        (replace(RIGHT, z_reports=(replace(Z, returns=d(1)),)), "z-report/return-amount"),
        (replace(RIGHT, z_reports=(replace(Z, purchase_count=2),)), "z-report/purchase-count"),
        (replace(RIGHT, z_reports=()), "z-report/missing"),
        (replace(RIGHT, z_reports=(Z, Z)), "z-report/double"),
        (with_register(prices={1: d(1)}), "price-agreement/register-price"),
        (with_register(sold_at=d(1)), "price-agreement/register-sells"),
        (with_register(barcodes=frozenset()), "price-agreement/register-barcodes"),
        (
            replace(RIGHT, prices=(replace(PRICES, registers={1: {}}),)),
            "price-agreement/register-missing",
        ),
        (
            replace(RIGHT, prices=(replace(PRICES, registers={1: {"678": GOOD, "9": GOOD}}),)),
            "price-agreement/register-stale",
        ),
        (
            replace(RIGHT, prices=(replace(PRICES, server={}, registers={}),)),
            "import-honest/goods-missing",
        ),
        (replace(RIGHT, imports=(PACKAGE, replace(PACKAGE, status=2))), "import-honest/never-done"),
        (
            replace(RIGHT, troubles=(Trouble(kind="crash", where="register 1", what="KeyError"),)),
            "alive/crash:KeyError",
        ),
    ],
)
def test_each_rule_is_found(seen: Observations, expected: str) -> None:
    """A run that breaks one rule has that rule's signature first."""
    assert signatures(seen)[0] == expected


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([PriceEntry(article="678", price=d(5))], d(5)),
        # begins later: the old price holds
        ([PriceEntry(article="678", price=d(5), begin=datetime(2025, 12, 1, tzinfo=UTC))], d(79900)),
        # has ended: the old price holds
        ([PriceEntry(article="678", price=d(5), begin=NOW.replace(day=1), end=NOW.replace(day=2))], d(79900)),
        ([PriceEntry(article="678", price=d(1), deleted=True)], None),
        # another shop's
        ([PriceEntry(article="678", price=d(5), shops=frozenset({2}))], d(79900)),
        # the second price is another price
        ([PriceEntry(article="678", price=d(5), number=2)], d(79900)),
    ],
)
def test_last_accepted_price_holds(entries: list[PriceEntry], expected: Decimal | None) -> None:
    """The server's price is compared with what the ERP's documents say for this shop and moment."""
    later = replace(PACKAGE, ti="2", document=GoodsDocument(prices=tuple(entries)))
    price = {} if expected is None else {1: expected}
    second = {2: d(5)} if entries[0].number == 2 else {}
    good = replace(GOOD, prices={**price, **second}, sold_at=None)
    seen = replace(
        RIGHT, imports=(PACKAGE, later), prices=(PricesSeen(point="end", at=NOW, server={"678": good}),)
    )
    wrong = replace(seen, prices=(replace(seen.prices[0], server={"678": replace(good, prices={1: d(77)})}),))

    assert signatures(seen) == []
    assert "price-agreement/server-price" in signatures(wrong)


def test_refused_package_changes_no_expectation() -> None:
    """What the server refused is not expected to be there."""
    refused = replace(
        PACKAGE, ti="2", status=4, document=GoodsDocument(prices=(PriceEntry(article="678", price=d(5)),))
    )

    assert signatures(replace(RIGHT, imports=(PACKAGE, refused))) == []


def test_cancelled_receipt_counts_nowhere() -> None:
    """An annulled receipt is neither in the Z report nor one that must be exported."""
    annulled = replace(RECEIPT, number=4, is_cancelled=True, amount=d(1))

    assert signatures(replace(RIGHT, receipts=(RECEIPT, annulled))) == []


def test_early_end_does_not_invent_losses() -> None:
    """After a crash only the crash is named: nothing was exported because nothing could be."""
    crash = Trouble(kind="crash", where="server", what="MemoryError")
    seen = replace(RIGHT, receipts=(), z_reports=(), prices=(), is_complete=False, troubles=(crash,))

    assert signatures(seen) == ["alive/crash:MemoryError"]


def test_several_findings_are_one_per_signature_in_a_fixed_order() -> None:
    """Two wrong receipts are one signature; health comes before arithmetic, arithmetic before the report."""
    wrong = replace(RECEIPT, positions=(replace(LINE, vat_sum=d(1)),))
    seen = replace(
        RIGHT,
        receipts=(wrong, replace(wrong, number=4)),
        closed_receipts=((1, 7, 3), (1, 7, 4)),
        troubles=(Trouble(kind="http-500", where="server", what="KeyError"),),
    )

    assert signatures(seen) == [
        "alive/http-500:server:KeyError",
        "receipt-arithmetic/vat-sum",
        "z-report/purchase-amount",
        "z-report/purchase-count",
    ]
    assert signatures(seen, Question(looks_for="z-report/purchase-count"))[0] == "z-report/purchase-count"


@pytest.mark.parametrize(
    ("about", "subject", "what", "register"),
    [
        ("receipt", "receipt:1/7/3", "total", None),
        ("receipt", "1/7/3", "total", None),
        ("z", "1/7", "net", None),
        ("price", "2100678", "value", None),
        ("price", "2100678", "value", 1),
    ],
)
def test_statements_are_checked(about: str, subject: str, what: str, register: int | None) -> None:
    """What an engineer states holds, does not hold, or is about something that is not there."""
    value = {"receipt": d(10067), "z": d(10067), "price": d(79900)}[about]
    said = Statement(about=about, subject=subject, what=what, value=value, register=register)

    assert signatures(RIGHT, Question(statements=[said])) == []
    assert signatures(RIGHT, Question(statements=[replace(said, value=d(1))])) == [f"stated/{about}-{what}"]
    assert signatures(RIGHT, Question(statements=[replace(said, subject="9/9/9")])) == [
        f"stated/{about}-missing"
    ]


def test_differential_needs_no_expected_value() -> None:
    """Any visible difference from the version that is right is named by its field, without data."""
    other = replace(with_line(vat_sum=d(914)), imports=())

    assert list(differential.check(RIGHT, RIGHT)) == []
    assert {finding.signature for finding in differential.check(other, RIGHT)} == {
        "differential/receipt-positions-vat_sum",
        "differential/import",
    }


def test_order_of_export_is_not_a_difference() -> None:
    """Two runs may export in another order; their digests are equal."""
    second = replace(RECEIPT, number=4)

    assert differential.digest(replace(RIGHT, receipts=(RECEIPT, second))) == differential.digest(
        replace(RIGHT, receipts=(second, RECEIPT))
    )
