"""The trading generator: the same data from the same seed, and data that mean what they say."""

from __future__ import annotations

from datetime import date

import pytest
from defusedxml import ElementTree

from testbench.errors import UsageError
from testbench.reference import trading


def test_same_seed_same_data() -> None:
    """Goods, documents and shifts depend on their arguments only."""
    first, second = trading.goods(50, seed=3), trading.goods(50, seed=3)
    assert first == second
    assert trading.goods_document(first, 1, date(2026, 1, 1)) == trading.goods_document(
        second, 1, date(2026, 1, 1)
    )
    assert trading.shift(first, 40, seed=5) == trading.shift(second, 40, seed=5)
    assert trading.shift(first, 40, seed=5) != trading.shift(first, 40, seed=6)


def test_assortment_is_mixed() -> None:
    """Piece and weighed goods, all three rates of VAT, no article or bar code twice."""
    goods = trading.goods(400)
    assert {good.vat for good in goods} == {10, 20, 22}
    assert 0 < sum(good.plu is not None for good in goods) < len(goods) / 2
    assert len({good.article for good in goods}) == len({good.barcode for good in goods}) == 400
    for good in goods:
        if good.plu is None:
            assert trading.check_digit(good.barcode[:12]) == good.barcode[12]


def test_weight_barcode() -> None:
    """21, five digits of PLU, five of grams, and a check digit that makes the weighted sum end in 0."""
    assert trading.weight_barcode(678, 126) == "2100678001267"
    for plu, grams in ((1, 2500), (99999, 1), (40, 120)):
        code = trading.weight_barcode(plu, grams)
        assert (code[:2], int(code[2:7]), int(code[7:12])) == ("21", plu, grams)
        assert sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(code)) % 10 == 0


def test_document_holds_every_good() -> None:
    """The goods-catalog carries name, price and VAT of each good."""
    goods = trading.goods(20)
    root = ElementTree.fromstring(trading.goods_document(goods, 7, date(2026, 1, 1)))
    assert [good.get("marking-of-the-good") for good in root] == [good.article for good in goods]
    for element, good in zip(root, goods, strict=True):
        assert element.findtext("name") == good.name
        assert element.find("price-entry").get("price") == f"{good.price / 100:.2f}"
        assert element.findtext("vat") == str(good.vat)
        assert element.findtext("shop-indices") == "7"


def test_shift_holds_every_kind_of_work() -> None:
    """Sales, returns, annulled receipts, discounts, both ways to pay; opened first, closed at the end."""
    actions = trading.shift(trading.goods(40), 60)
    kinds = [action["type"] for action in actions]
    assert kinds[0] == "shift.open"
    assert kinds[-2:] == ["shift.close", "sync"]
    assert {"receipt.cancel", "receipt.discount", "cash.in", "cash.out"} <= set(kinds)
    assert any(action["payload"].get("kind") == "return" for action in actions)
    assert {a["payload"]["type"] for a in actions if a["type"] == "receipt.pay"} == {"cash", "card"}


def test_shift_trades_loyalty_when_asked() -> None:
    """Coupons, bonuses within the account, and one code for each piece of marked goods; all from the seed."""
    assortment = trading.goods(60, with_marked=True)
    promoted = trading.promotions(assortment)
    actions = trading.shift(assortment, 60, with_cards=True, promoted=promoted, bonuses=20000)
    assert actions == trading.shift(assortment, 60, with_cards=True, promoted=promoted, bonuses=20000)
    returned, codes, spent = False, [], 0
    for action in actions:
        payload = action["payload"]
        returned = payload.get("kind") == "return" if action["type"] == "receipt.open" else returned
        codes += [payload["mark"]] if "mark" in payload and not returned else []
        spent += payload["amount"] if payload.get("type") == "bonus" else 0

    assert len(codes) == len(set(codes)) > 5
    assert 0 < spent <= 20000 * len(trading.CARD_NUMBERS)
    assert any(action["type"] == "receipt.coupon" for action in actions)


def test_promotions_document_names_what_is_promoted() -> None:
    """One AdvertisingAction for each promotion, with percentage, goods and coupon."""
    assortment = trading.goods(20)
    plain, coupon = trading.promotions(assortment)
    root = ElementTree.fromstring(trading.promotions_document([plain, coupon], date(2026, 1, 1)))

    assert [action.get("AdvertActGUID") for action in root] == ["week", "coupon"]
    assert root[0].find("conditions") is None
    assert root[1].find("conditions/coupon").get("number") == coupon.coupon
    for action, promotion in zip(root, (plain, coupon), strict=True):
        discount = action.find("actionResults/goodsDiscount")
        assert discount.get("percentage-discount") == f"{promotion.percent / 100:.2f}"
        assert [good.get("id") for good in discount.iter("marking-of-the-good")] == list(promotion.articles)


@pytest.mark.parametrize(
    ("discount", "amounts", "is_even"),
    [
        (152, [1010, 1010, 1010], False),  # 3 x 51 = 153
        (100, [1000, 1000], True),
        (1, [500, 500], False),  # half a kopeck each is rounded to one each
        (0, [5], True),
    ],
)
def test_divides_evenly(discount: int, amounts: list[int], is_even: bool) -> None:
    """Shares rounded half up one by one add up, or do not."""
    assert trading.divides_evenly(discount, amounts) is is_even


def test_too_few_goods_is_wrong_use() -> None:
    """The message says how many are needed."""
    with pytest.raises(UsageError, match="5 or more"):
        trading.shift(trading.goods(4), 1)
