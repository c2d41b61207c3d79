"""The oracles of loyalty, restrictions, returns, marks and shifts: right passes, wrong is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from testbench.oracles import Observations, Question, judge
from testbench.oracles.observations import (
    ActionSeen,
    CatalogGood,
    Discount,
    GoodsDocument,
    ImportSeen,
    Payment,
    Position,
    Promotion,
    Receipt,
    Restriction,
)

#: Sunday 12:00 in Moscow.
NOW = datetime(2025, 11, 23, 9, tzinfo=UTC)
RULES = ("shifts", "returns", "promotions", "restrictions", "cards", "bonus", "marks", "receipt-arithmetic")
CARD, COUPON = "2013800000017", "9900001"
MARK = "0104600000000015215A91BC"


def d(value: Any) -> Decimal:
    return Decimal(value)


def action(
    seq: int, type_: str, at: datetime = NOW, unit: str = "receipt:1/1/1", **payload: Any
) -> ActionSeen:
    return ActionSeen(seq=seq, type=type_, register=1, is_ok=True, at=at, unit=unit, payload=payload)


LINE = Position(
    order="1",
    goods_code="7",
    barcode="1007",
    count=d(1),
    cost=d(10000),
    discount=d(1000),
    amount=d(9000),
    vat_rate=d(10),
    vat_sum=d(818),
    mark=MARK,
    at=NOW,
)
SALE = Receipt(
    shop=1,
    cash=1,
    shift=1,
    number=1,
    is_sale=True,
    amount=d(9000),
    discount=d(1000),
    positions=(LINE,),
    payments=(
        Payment(kind="BonusCardPaymentEntity", amount=d(4000), card=CARD),
        Payment(kind="CashPaymentEntity", amount=d(6000)),
        Payment(kind="CashChangePaymentEntity", amount=d(1000), is_change=True),
    ),
    customer_cards=(CARD,),
    coupons=(COUPON,),
)
BACK = replace(
    SALE,
    number=2,
    is_sale=False,
    original=(1, 1, 1),
    payments=(Payment(kind="CashPaymentEntity", amount=d(9000)),),
    customer_cards=(),
    coupons=(),
)
PROMOTION = Promotion(guid="B", priority=d("10.0"), goods=None, percent=d(10))
GOODS = GoodsDocument(goods=(CatalogGood(article="7", groups=frozenset({"34"})),))
EARLIER = NOW - timedelta(minutes=2)
RIGHT = Observations(
    shop=1,
    receipts=(SALE, BACK),
    imports=(
        ImportSeen(ti="1", status=3, at=EARLIER, document=GOODS),
        ImportSeen(ti="2", status=3, at=EARLIER, promotions=(PROMOTION,)),
    ),
    actions=(
        action(1, "sync", NOW - timedelta(minutes=1), "sync"),
        action(2, "shift.open", unit="shift"),
        action(3, "receipt.add", barcode="1007", mark=MARK + "\x1d93dGVz"),
        action(4, "receipt.card", number=CARD),
        action(5, "receipt.coupon", number=COUPON),
    ),
    units={"receipt:1/1/1": (1, 1, 1)},
    discounts={
        (1, 1, 1): (
            Discount(position="1", goods_code="7", amount=d(1000), kind="DISCOUNT_GOODS", promotion="B"),
        )
    },
    charged={CARD: d(5000)},
    balances={CARD: d(1000)},
    zone=ZoneInfo("Europe/Moscow"),
)


def signatures(seen: Observations) -> list[str]:
    return [finding.signature for finding in judge(seen, Question(invariants=RULES))]


def sold(**changes: Any) -> Observations:
    """The sale with a changed line, and no return."""
    return replace(RIGHT, receipts=(replace(SALE, positions=(replace(LINE, **changes),)),))


def returned(**changes: Any) -> Observations:
    return replace(RIGHT, receipts=(SALE, replace(BACK, positions=(replace(LINE, **changes),))))


def promoted(*promotions: Promotion) -> Observations:
    packages = (RIGHT.imports[0], replace(RIGHT.imports[1], promotions=promotions))
    return replace(RIGHT, imports=packages)


def restricted(kind: str, value: int = 0, **changes: Any) -> Observations:
    restriction = Restriction(id="1", kind=kind, subject="GROUP", code="34", value=d(value), **changes)
    document = replace(GOODS, restrictions=(restriction,))
    return replace(RIGHT, imports=(replace(RIGHT.imports[0], document=document), RIGHT.imports[1]))


def without(kind: str, seen: Observations = RIGHT) -> Observations:
    return replace(seen, actions=tuple(one for one in seen.actions if one.type != kind))


def test_right_is_right() -> None:
    """A sale with promotion, coupon, card, bonuses, change and mark, and its return, have no finding."""
    assert signatures(RIGHT) == []


BETTER = replace(PROMOTION, guid="C", priority=d(11))
WRONG = {
    "promotions/priority": promoted(PROMOTION, BETTER),
    "promotions/not-in-force": promoted(replace(PROMOTION, end=NOW - timedelta(seconds=1))),
    "promotions/missing": replace(RIGHT, discounts={}),
    "restrictions/sale-denied": restricted("sale-denied"),
    "restrictions/min-price": restricted("min-price", 9001),
    "restrictions/max-discount": restricted("max-discount", 9),
    "returns/vat-rate": returned(vat_rate=d(22), vat_sum=d(1623)),
    "returns/price": returned(cost=d(9000), discount=d(0)),
    "returns/not-sold": returned(goods_code="8"),
    "returns/amount": returned(amount=d(10000), discount=d(0), vat_sum=d(909)),
    "returns/more-than-sold": replace(RIGHT, receipts=(SALE, BACK, replace(BACK, number=3))),
    "cards/coupon-as-card": replace(RIGHT, receipts=(replace(SALE, customer_cards=(COUPON,)),)),
    "cards/customer-card": replace(RIGHT, receipts=(replace(SALE, customer_cards=()),)),
    "cards/coupons": replace(RIGHT, receipts=(replace(SALE, coupons=()),)),
    "bonus/balance": replace(RIGHT, balances={CARD: d(5000)}),
    "bonus/overdrawn": replace(RIGHT, charged={CARD: d(3000)}),
    "bonus/no-account": replace(RIGHT, balances={CARD: None}),
    "marks/changed": sold(mark="0104600000000015215A"),
    "marks/sold-twice": replace(RIGHT, receipts=(SALE, replace(SALE, number=4, cash=2, payments=()))),
    "receipt-arithmetic/change": replace(
        RIGHT,
        receipts=(
            replace(
                SALE,
                payments=(
                    Payment(kind="BankCardPaymentEntity", amount=d(10000)),
                    Payment(kind="CashChangePaymentEntity", amount=d(1000), is_change=True),
                ),
            ),
        ),
    ),
    "shifts/two-open": replace(RIGHT, actions=(*RIGHT.actions, action(9, "shift.open"))),
    "shifts/too-long": replace(
        RIGHT, actions=(*RIGHT.actions, action(9, "receipt.open", NOW + timedelta(hours=24)))
    ),
}


@pytest.mark.parametrize("signature", sorted(WRONG))
def test_wrong_is_named(signature: str) -> None:
    """Each broken rule is found under its own signature."""
    assert signature in signatures(WRONG[signature])


RIGHT_TOO = {
    "the better promotion asks for another coupon": promoted(PROMOTION, replace(BETTER, coupon="1")),
    "the better promotion is for other goods": promoted(PROMOTION, replace(BETTER, goods=frozenset({"8"}))),
    "the better promotion is over": promoted(PROMOTION, replace(BETTER, end=EARLIER)),
    "a promotion holds to its last second": promoted(replace(PROMOTION, begin=NOW, end=NOW)),
    "the register had not exchanged since": without("sync"),
    "a minimum price that is just kept": restricted("min-price", 9000),
    "a restriction of Mondays": restricted("sale-denied", weekdays=frozenset({0})),
    "a restriction of the night": restricted("sale-denied", since_time="23:00:00", till_time="08:00:00"),
    "a restriction that was over yesterday": restricted("sale-denied", till="2025-11-22"),
    "a restriction of another shop": restricted("sale-denied", shops=frozenset({2})),
    "a shift that was closed before the next": replace(
        RIGHT, actions=(*RIGHT.actions, action(8, "shift.close"), action(9, "shift.open"))
    ),
    "a version that exports no marks": sold(mark=None),
    "a run that did not end": replace(RIGHT, is_complete=False, balances={CARD: d(0)}, discounts={}),
}


@pytest.mark.parametrize("reason", sorted(RIGHT_TOO))
def test_what_is_allowed_is_no_finding(reason: str) -> None:
    """An oracle that cries wolf is worse than none."""
    assert signatures(RIGHT_TOO[reason]) == []


def test_promotion_that_ignores_restrictions_may_go_below() -> None:
    """Only the promotion says so; the same line without it is a finding."""
    seen = restricted("min-price", 9500)
    assert signatures(seen) == ["restrictions/min-price"]

    packages = (
        seen.imports[0],
        replace(seen.imports[1], promotions=(replace(PROMOTION, ignores_restrictions=True),)),
    )

    assert signatures(replace(seen, imports=packages)) == []
