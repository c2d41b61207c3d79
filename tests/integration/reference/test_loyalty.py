"""Loyalty and rules of sale on the newest release, as a cashier and an ERP meet them over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from testbench.reference import load_series, trading

LAST = load_series().releases[-1].tag
DAY = "2025-11-23"
CARD, OWN, BLOCKED, EXPIRED, DELETED = (f"20138000000{number}" for number in ("17", "24", "31", "48", "55"))
CARDS = (
    '<cards-catalog><internal-card-type guid="5" name="Five" percentage-discount="5.00">'
    '<card-range guid="9" startField="2013800000000" countField="1000"/></internal-card-type>'
    f'<internal-card number="{CARD}" status="ACTIVE" card-type-guid="5"/>'
    f'<internal-card number="{OWN}" status="ACTIVE" card-type-guid="5" percentage-discount="7.00"/>'
    f'<internal-card number="{BLOCKED}" status="BLOCKED" card-type-guid="5"/>'
    f'<internal-card number="{EXPIRED}" status="ACTIVE" card-type-guid="5" expiration-date="2025-11-22"/>'
    f'<internal-card number="{DELETED}" status="ACTIVE" card-type-guid="5" deleted="true"/></cards-catalog>'
)
MARK = "0104600000000015215A91BC"


def _good(marking: str, price: str = "100.00", more: str = "") -> str:
    return (
        f'<good marking-of-the-good="{marking}"><name>Good {marking}</name><bar-code code="100{marking}"/>'
        f'<product-type>ProductPieceEntity</product-type><price-entry price="{price}"><number>1</number>'
        f"<begin-date>2025-11-01T00:00:00</begin-date></price-entry><vat>10</vat>{more}</good>"
    )


def _promotion(guid: str, discount: str, attributes: str = 'priority="1"', more: str = "") -> str:
    return (
        f'<AdvertisingAction AdvertActGUID="{guid}" name="{guid}" mode="automatic" active="true" '
        f"{attributes}>"
        f"<begin-date>2025-11-01T00:00:00</begin-date>{more}<actionResults>{discount}</actionResults>"
        "</AdvertisingAction>"
    )


def _all(attributes: str) -> str:
    return f"<goodsDiscount {attributes}><for-all-goods>true</for-all-goods></goodsDiscount>"


def _drop(store: Any, folder: str, name: str, document: str) -> None:
    content = base64.b64encode(document.encode()).decode()
    store.do(None, "erp.file", folder=folder, name=name, content=content)
    for register in (1, 2):
        store.do(register, "sync")


def _promote(store: Any, *promotions: str) -> None:
    _drop(store, "discounts", "a.xml", f"<AdvertisingActions>{''.join(promotions)}</AdvertisingActions>")


@pytest.fixture
def store(run_store: Callable[..., Any]) -> Iterator[Any]:
    """Two registers with an open shift, goods 7 and 8 at 100.00, marked goods 9, and cards."""
    with run_store(LAST, 2) as running:
        goods = _good("7") + _good("8") + _good("9", more="<mark-type>MILK</mark-type>")
        _drop(running, "products", "g.xml", f"<goods-catalog>{goods}</goods-catalog>")
        _drop(running, "cards", "c.xml", CARDS)
        for register in (1, 2):
            running.do(register, "shift.open")
        yield running


def _begin(store: Any, *barcodes: str, register: int = 1) -> int:
    """Opens a receipt with these lines; its total."""
    store.do(register, "receipt.open")
    total = 0
    for barcode in barcodes:
        total = store.do(register, "receipt.add", barcode=barcode)["total"]
    return total


def _end(store: Any, amount: int, register: int = 1) -> int:
    """Pays in cash; the receipt's number."""
    store.do(register, "receipt.pay", type="cash", amount=amount)
    number: int = store.do(register, "receipt.close")["number"]
    return number


def _balance(store: Any) -> str | None:
    answer = store.processing("getActiveBonusAccounts", f"<cardNumber>{CARD}</cardNumber>")
    balance: str | None = answer.findtext(".//balance")
    return balance


def _charge(store: Any, amount: str, check: int | None = None) -> str | None:
    place = "" if check is None else f"<shopNum>101</shopNum><cashNum>1</cashNum><checkNum>{check}</checkNum>"
    parameters = f"<cardNumber>{CARD}</cardNumber>{place}<chargeSum>{amount}</chargeSum>"
    answer = store.processing("chargeOnBonusAccount", parameters)
    code: str | None = answer.findtext(".//errorCode")
    return code


def test_discounts_combine_in_the_written_order(store: Any) -> None:
    """The promotion with the highest priority, then the card off the rest, then the receipt's discount."""
    limited = (
        '<goodsDiscount fixPrice="80.00" maxQuantity="1.0"><marking-of-the-good id="7"/></goodsDiscount>'
    )
    _promote(
        store,
        _promotion("all", _all('percentage-discount="10.00"'), 'priority="9.0"'),
        _promotion("fix", limited, 'priority="10"'),
        _promotion("off", _all('percentage-discount="90"'), 'priority="99" deleted="true"'),
    )
    store.do(1, "receipt.open")
    store.do(1, "receipt.add", barcode="1007", quantity=2000)  # 20.00 off one of two: 180.00
    assert store.do(1, "receipt.add", barcode="1008")["total"] == 18000 + 9000
    assert store.do(1, "receipt.card", number=CARD)["total"] == 17100 + 8550
    assert store.do(1, "receipt.discount", percent=1000)["total"] == 25650 - 2565
    number = _end(store, 30000)
    store.do(1, "sync")

    full = store.soap(
        "FiscalInfoExport",
        "http://plugins.operday.ERPIntegration.crystals.ru/",
        "getFullPurchasesByParams",
        f"<dateOperDay>{DAY}</dateOperDay><purchaseNumber>{number}</purchaseNumber>",
    ).findtext(".//return")
    store.do(None, "export")
    (told,) = store.files("discounts*.xml")

    seen = [
        (line.get("positionId"), line.get("advertType"), line.get("amount"), line.get("AdvertActGUID"))
        for line in told.iter("discount")
    ]
    assert seen == [
        ("1", "DISCOUNT_GOODS", "20.00", "fix"),
        ("1", "DISCOUNT_CARD", "9.00", None),
        ("1", "DISCOUNT_PURCHASE", "17.10", None),
        ("2", "DISCOUNT_GOODS", "10.00", "all"),
        ("2", "DISCOUNT_CARD", "4.50", None),
        ("2", "DISCOUNT_PURCHASE", "8.55", None),
    ]
    assert base64.b64decode(full).count(b"<discount ") == len(seen)
    assert told.find("purchase").get("discountValueTotal") == "69.15"


@pytest.mark.parametrize(
    ("attributes", "more"),
    [
        ('priority="0" deleted="true"', ""),
        ('priority="1"', "<end-date>2025-11-22</end-date>"),
        ('priority="1"', '<conditions><coupon number="9900001"/></conditions>'),
    ],
    ids=["deleted", "over", "without its coupon"],
)
def test_promotion_that_does_not_hold_gives_nothing(store: Any, attributes: str, more: str) -> None:
    """Deleted, over, or asking for a coupon that nobody showed."""
    promotion = _promotion("A", _all('percentage-discount="10"'), attributes).replace(
        "<actionResults>", f"{more}<actionResults>"
    )
    _promote(store, promotion)

    assert _begin(store, "1007") == 10000


def test_promotions_by_soap_report_their_status(store: Any) -> None:
    """importActionsWithTi and getPackageStatus; what cannot be read is refused with the element's name."""
    namespace = "http://ws.discounts.ERPIntegration.crystals.ru/"
    for ti, action, expected in (
        ("41", _promotion("A", _all('percentage-discount="10"')), "3"),
        ("42", _promotion("B", _all('percentage-discount="ten"')), "4"),
    ):
        document = f"<AdvertisingActions>{action}</AdvertisingActions>"
        content = base64.b64encode(document.encode()).decode()
        store.soap(
            "AdvertisingActionsImport",
            namespace,
            "importActionsWithTi",
            f"<xmlData>{content}</xmlData><TI>{ti}</TI>",
        )
        status = store.soap(
            "SET/FeedbackWS",
            "http://feedback.ERPIntegration.crystals.ru/",
            "getPackageStatus",
            f'<xmlGetstatus><import ti="{ti}"/></xmlGetstatus>',
        ).find(".//import")
        assert status.get("status") == expected
    assert "promotion B: percentage-discount: 'ten'" in status.get("status-message")
    store.do(1, "sync")
    assert _begin(store, "1007") == 9000


def test_sample_of_promotions_is_accepted(store: Any) -> None:
    """The interface's own sample is imported; counters and discounts without a value take nothing off."""
    name = "advert-act-discs_23-11-2025_06-25-00.xml"
    sample = (Path(__file__).parent / "samples" / name).read_text(encoding="utf-8")
    _drop(store, "discounts", name, sample)

    discounts = store.folder / "server" / "discounts"
    assert [path.name for path in (discounts / "success").iterdir()] == [name]
    assert list((discounts / "source").iterdir()) == []
    assert _begin(store, "1007") == 10000


def test_coupon_is_kept_apart_from_the_card(store: Any) -> None:
    """It opens its promotion, is exported as COUPON_CARD, and changes nothing about the card."""
    condition = '<conditions><coupon number="9900001"/></conditions>'
    _promote(store, _promotion("A", _all('percentage-discount="50"'), more=condition))
    _begin(store, "1007")
    store.do(1, "receipt.card", number=CARD)
    assert store.do(1, "receipt.coupon", number="9900001")["total"] == 4750
    assert "already" in store.act(1, "receipt.coupon", number="9900001")["error"]
    assert "not known" in store.act(1, "receipt.coupon", number="9900002")["error"]
    _end(store, 5000)
    store.do(1, "sync")

    (purchase,) = store.exported("getPurchasesByOperDay", DAY)

    shown = {card.get("type"): card.get("number") for card in purchase.findall("card")}
    assert shown == {"INTERNAL": CARD, "COUPON_CARD": "9900001"}


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (CARD, 500),
        (OWN, 700),
        ("2013800000999", 500),
        (BLOCKED, "blocked"),
        (EXPIRED, "expired"),
        (DELETED, "deleted"),
        ("2013800001000", "not known"),
    ],
)
def test_cards(store: Any, number: str, expected: int | str) -> None:
    """A type's or a card's own percentage, also by range; what is not good is refused with the reason."""
    _begin(store, "1007")

    answer = store.act(1, "receipt.card", number=number)

    if isinstance(expected, int):
        assert answer["percent"] == expected
    else:
        assert not answer["ok"]
        assert expected in answer["error"]


def test_bonuses_are_paid_once_and_come_back(store: Any) -> None:
    """A lost answer takes nothing twice; an annulled receipt gives back what it took."""
    assert _balance(store) is None
    assert _charge(store, "149.00", check=5) == _charge(store, "149.00", check=5) == "0"
    assert _balance(store) == "149.00"
    _begin(store, "1007", "1008")
    assert "card is needed" in store.act(1, "receipt.pay", type="bonus", amount=100)["error"]
    store.do(1, "receipt.card", number=CARD)
    assert "only 149.00" in store.act(1, "receipt.pay", type="bonus", amount=15000)["error"]
    store.do(1, "receipt.pay", type="bonus", amount=9000)
    store.do(1, "receipt.cancel")
    store.do(1, "sync")
    assert _balance(store) == "149.00"

    _begin(store, "1007")
    store.do(1, "receipt.card", number=CARD)
    store.do(1, "receipt.pay", type="bonus", amount=9000)
    _end(store, 1000)
    store.do(1, "shift.close")
    store.do(1, "sync")

    assert _balance(store) == "59.00"
    *_, purchase = store.exported("getPurchasesByOperDay", DAY)
    kinds = [payment.get("typeClass") for payment in purchase.iter("payment")]
    assert kinds == ["BonusCardPaymentEntity", "CashPaymentEntity", "CashChangePaymentEntity"]
    (report,) = store.exported("getZReportsByOperDay", DAY)
    assert report.findtext("amountByCashlessPurchase") == "90.00"


def test_no_bonuses_without_the_server(store: Any) -> None:
    """With the LAN cut nothing is taken and nothing is paid; the receipt can be paid otherwise."""
    _charge(store, "149.00")
    _begin(store, "1007")
    store.do(1, "receipt.card", number=CARD)
    store.do(1, "network.cut")

    assert "no network" in store.act(1, "receipt.pay", type="bonus", amount=5000)["error"]
    _end(store, 9500)
    store.do(1, "network.restore")
    store.do(1, "sync")
    assert _balance(store) == "149.00"


def test_restrictions_are_kept(store: Any) -> None:
    """Minimum price, greatest discount (of a group), denied sale in a time window over midnight."""
    limits = (
        '<min-price-restriction id="1" subject-type="GOOD" subject-code="7" value="95.00"/>'
        '<max-discount-restriction id="2" subject-type="GROUP" subject-code="34" value="3.00"/>'
        '<sale-denied-restriction id="3" subject-code="9"><since-time>22:00:00</since-time>'
        "<till-time>08:00:00</till-time><days-of-week>SA SU</days-of-week></sale-denied-restriction>"
    )
    group = '<group id="344"><name>x</name><parent-group id="34"><name>y</name></parent-group></group>'
    document = f"<goods-catalog>{limits}{_good('8', more=group)}</goods-catalog>"
    _drop(store, "products", "r.xml", document)
    _begin(store, "1007", "1008")

    assert store.do(1, "receipt.discount", percent=5000)["total"] == 9500 + 9700
    store.do(1, "receipt.cancel")
    (store.folder / "clock").write_text(f"{DAY}T23:30:00+03:00")
    store.do(1, "receipt.open")
    assert "must not be sold" in store.act(1, "receipt.add", barcode="1009", mark=MARK)["error"]


def test_restriction_for_unknown_goods_is_refused(store: Any) -> None:
    """The package is refused with the good's name, and nothing of it is taken."""
    document = '<goods-catalog><sale-denied-restriction id="3" subject-code="777"/></goods-catalog>'

    status, message = store.import_goods(document.encode(), "9")

    assert status == "4"
    assert "good 777 is not known" in (message or "")


def test_marking_code_is_sold_once(store: Any) -> None:
    """On either register, with or without GS, until it has come back by a return."""

    def scan(register: int, mark: str, **opening: Any) -> dict[str, Any]:
        store.do(register, "receipt.open", **opening)
        answer: dict[str, Any] = store.act(register, "receipt.add", barcode="1009", mark=mark)
        if answer["ok"]:
            answer["number"] = _end(store, 10000, register)
        else:
            store.do(register, "receipt.cancel")
        store.do(register, "sync")
        return answer

    assert "not a marking code" in scan(1, "4600000000015")["error"]
    sold = scan(1, MARK + "\x1d93dGVz")
    assert "has been sold by receipt 1/1/" in scan(2, MARK + "93dGVz")["error"]
    original = {"cash": 1, "shift": 1, "number": sold["number"]}
    assert scan(2, MARK + "\x1d93dGVz", kind="return", original=original)["ok"]
    assert scan(2, MARK + "\x1d93dGVz")["ok"]
    tokens = {
        line.get("value")
        for line in store.exported("getPurchasesByOperDay", DAY).iter("plugin-property")
        if line.get("key") == "excise-token"
    }
    assert tokens == {MARK}


def test_marking_codes_need_the_server(store: Any) -> None:
    """With the LAN cut another register may have sold the code: it is refused. Without codes it sells on."""
    assert _begin(store, "1009") == 10000
    store.do(1, "receipt.cancel")
    store.do(1, "network.cut")
    store.do(1, "receipt.open")

    assert "no network" in store.act(1, "receipt.add", barcode="1009", mark=MARK)["error"]


def test_store_may_require_codes(reference: Any, tmp_path: Path) -> None:
    """Setting codes_required: a marked good is not sold without its code."""
    with reference.store(LAST, tmp_path / "store", codes_required=True) as strict:
        document = f"<goods-catalog>{_good('9', more='<mark-type>MILK</mark-type>')}</goods-catalog>"
        assert strict.import_goods(document.encode(), "1") == ("3", "correct")
        strict.do(1, "sync")
        strict.do(1, "shift.open")
        strict.do(1, "receipt.open")

        assert "scan its marking code" in strict.act(1, "receipt.add", barcode="1009")["error"]
        assert strict.act(1, "receipt.add", barcode="1009", mark=MARK)["ok"]


def test_fiscal_drive_is_replaced_between_shifts(store: Any) -> None:
    """Its number changes and its documents begin at 1; receipts are numbered on."""
    _begin(store, "1007")
    first = _end(store, 10000)
    assert "is open" in store.act(1, "fiscal.replace")["error"]
    store.do(1, "shift.close")
    drive = store.do(1, "fiscal.replace")["drive"]
    store.do(1, "shift.open")
    _begin(store, "1007")
    second = _end(store, 10000)
    store.do(1, "sync")

    before, after = store.exported("getPurchasesByOperDay", DAY)

    assert (before.get("fiscalDocNum"), after.get("fiscalDocNum")) == ("1", "1")
    assert before.get("fiscalnum") != after.get("fiscalnum") == drive
    assert (int(before.get("number")), int(after.get("number"))) == (first, second) == (1, 3)
    assert f"fn={drive}&i=1&" in after.get("qrcode")


def test_shift_over_midnight_keeps_its_day_and_ends_after_24_hours(store: Any) -> None:
    """operDay is the shift's day; a receipt after 24 hours is refused, the Z report is not."""
    (store.folder / "clock").write_text("2025-11-24T00:10:00+03:00")
    _begin(store, "1007")
    _end(store, 10000)
    (store.folder / "clock").write_text("2025-11-24T10:00:00+03:00")

    assert "24 hours" in store.act(1, "receipt.open")["error"]
    store.do(1, "shift.close")
    store.do(1, "sync")
    (purchase,) = store.exported("getPurchasesByOperDay", DAY)
    (report,) = store.exported("getZReportsByOperDay", DAY)
    assert purchase.get("saletime", "").startswith("2025-11-24T00:10")
    assert purchase.get("operDay", "").startswith(DAY)
    assert Decimal(report.findtext("amountByPurchaseFiscal")) == 100


def test_generated_shift_trades_loyalty(run_store: Callable[..., Any]) -> None:
    """Promotions, coupons, bonuses and marked goods of the generator: nothing is refused, all adds up."""
    assortment = trading.goods(60, with_marked=True)
    promoted = trading.promotions(assortment)
    with run_store(LAST) as store:
        for folder, document in (
            ("products", trading.goods_document(assortment, 101, date(2025, 11, 1))),
            ("cards", trading.cards_document()),
            ("discounts", trading.promotions_document(promoted, date(2025, 11, 1))),
        ):
            content = base64.b64encode(document).decode()
            store.do(None, "erp.file", folder=folder, name="d.xml", content=content)
        store.do(1, "sync")
        for card in trading.CARD_NUMBERS:
            store.processing(
                "chargeOnBonusAccount", f"<cardNumber>{card}</cardNumber><chargeSum>200.00</chargeSum>"
            )
        actions = trading.shift(assortment, 60, with_cards=True, promoted=promoted, bonuses=20000)
        for action in actions:
            store.do(1, action["type"], **action["payload"])
        purchases = store.exported("getPurchasesByOperDay", DAY)
        balances = [
            store.processing("getActiveBonusAccounts", f"<cardNumber>{card}</cardNumber>").findtext(
                ".//balance"
            )
            for card in trading.CARD_NUMBERS
        ]

    paid = [
        Decimal(payment.get("amount"))
        for payment in purchases.iter("payment")
        if payment.get("typeClass") == "BonusCardPaymentEntity"
    ]
    assert len(paid) > 3
    assert sum(map(Decimal, balances)) == 600 - sum(paid)
    for purchase in purchases:
        lines = sum(Decimal(position.get("amount")) for position in purchase.iter("position"))
        assert lines == Decimal(purchase.get("amount"))
