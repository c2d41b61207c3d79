"""Each planted defect shows on its first bad commit and before its fix, and not on the parent and the fix.

The checks are this project's own knowledge of its history; the bench must find the same without it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from testbench.reference import trading

RECORD = json.loads(
    (Path(__file__).parents[2] / "acceptance" / "planted-defects.json").read_text(encoding="utf-8")
)
DEFECTS = {defect["class"]: defect for defect in RECORD["defects"]}
DAY = "2025-11-23"
PENNY = Decimal("0.01")


def _good(marking: str, barcode: str, prices: str, kind: str = "ProductPieceEntity", extra: str = "") -> str:
    return (
        f'<good marking-of-the-good="{marking}"><name>Good {marking}</name><bar-code code="{barcode}"/>'
        f"<product-type>{kind}</product-type>{prices}<vat>10</vat>{extra}</good>"
    )


def _price(price: str, department: int = 1, begin: str = "2025-11-01T00:00:00", tail: str = "") -> str:
    return (
        f'<price-entry price="{price}">{tail}<begin-date>{begin}</begin-date><number>1</number>'
        f'<department number="{department}"/></price-entry>'
    )


def _send(store: Any, *goods: str, ti: str = "1") -> None:
    document = f"<goods-catalog>{''.join(goods)}</goods-catalog>".encode()
    assert store.import_goods(document, ti) == ("3", "correct")
    store.do(1, "sync")


def _sell(store: Any, *barcodes: str, pay: tuple[tuple[str, int], ...], discount: int | None = None) -> None:
    store.do(1, "receipt.open")
    for barcode in barcodes:
        store.do(1, "receipt.add", barcode=barcode)
    if discount is not None:
        store.do(1, "receipt.discount", percent=discount)
    for type_, amount in pay:
        store.do(1, "receipt.pay", type=type_, amount=amount)
    store.do(1, "receipt.close")


def _purchase(store: Any) -> Any:
    store.do(1, "sync")
    (purchase,) = store.exported("getPurchasesByOperDay", DAY)
    return purchase


def receipt_discount_is_lost(store: Any) -> bool:
    """R05: three equal lines of 10.10 with 5 % off."""
    _send(store, *(_good(str(n), f"100{n}", _price("10.10")) for n in (1, 2, 3)))
    store.do(1, "shift.open")
    _sell(store, "1001", "1002", "1003", pay=(("cash", 10000),), discount=500)
    purchase = _purchase(store)
    lines = sum(Decimal(position.get("amount")) for position in purchase.iter("position"))
    return lines != Decimal(purchase.get("amount"))


def weight_is_cut(store: Any) -> bool:
    """R03: 0.126 kg at 799.00."""
    plu = '<plugin-property key="plu-number" value="678"/>'
    _send(store, _good("7", "2100678", _price("799.00"), "ProductWeightEntity", plu))
    store.do(1, "shift.open")
    _sell(store, "2100678001267", pay=(("cash", 20000),))
    position = _purchase(store).find(".//position")
    right = (Decimal(position.get("count")) * Decimal(position.get("cost"))).quantize(PENNY, ROUND_HALF_UP)
    return Decimal(position.get("amount")) != right


def department_price_is_lost(store: Any) -> bool:
    """R07: base prices in two departments."""
    _send(store, _good("7", "1007", _price("10.00", 1) + _price("20.00", 2)))
    (good,) = store.get(1, "/catalog")["goods"]
    return {price["department"]: price["price"] for price in good["prices"]} != {1: 1000, 2: 2000}


def withdrawn_price_stays(store: Any) -> bool:
    """R10: a price withdrawn by a child element."""
    _send(store, _good("7", "1007", _price("10.00")))
    _send(store, _good("7", "1007", _price("10.00", tail="<deleted>true</deleted>")), ti="2")
    return bool(store.act(1, "price.check", barcode="1007")["ok"])


def receipts_are_doubled(store: Any) -> bool:
    """R19: the acknowledgement of a receipt is lost."""
    _send(store, _good("7", "1007", _price("10.00")))
    store.do(1, "shift.open")
    _sell(store, "1007", pay=(("cash", 1000),))
    store.do(1, "network.lose_reply")
    assert not store.act(1, "sync")["ok"]
    store.do(1, "sync")
    store.do(None, "export")
    (document,) = store.files("purchases*.xml")
    return len(document) != 1


def change_is_too_small(store: Any) -> bool:
    """R25: 100.00 paid with 60.00 by card and 100.00 in cash."""
    _send(store, _good("7", "1007", _price("100.00")))
    store.do(1, "shift.open")
    _sell(store, "1007", pay=(("card", 6000), ("cash", 10000)))
    purchase = _purchase(store)
    paid = sum(
        Decimal(payment.get("amount")) * (-1 if payment.get("typeClass") == "CashChangePaymentEntity" else 1)
        for payment in purchase.iter("payment")
    )
    return paid != Decimal(purchase.get("amount"))


def annulled_is_counted(store: Any) -> bool:
    """R26: an annulled receipt and a sold one."""
    _send(store, _good("7", "1007", _price("10.00")))
    store.do(1, "shift.open")
    store.do(1, "receipt.open")
    store.do(1, "receipt.add", barcode="1007")
    store.do(1, "receipt.cancel")
    _sell(store, "1007", pay=(("cash", 1000),))
    store.do(1, "shift.close")
    store.do(1, "sync")
    (report,) = store.exported("getZReportsByOperDay", DAY)
    return bool(report.findtext("amountByPurchaseFiscal") != "10.00")


CARD = "2013800000017"
PROCESSING = "http://processing.cards.crystals.ru/"
ATTEMPTS = 30


def _promotions(store: Any, *promotions: str) -> None:
    _drop(store, "discounts", f"<AdvertisingActions>{''.join(promotions)}</AdvertisingActions>")


def _promotion(
    guid: str, percent: str, priority: str = "1", end: str = "2025-11-30T23:59:59", more: str = ""
) -> str:
    return (
        f'<AdvertisingAction AdvertActGUID="{guid}" name="{guid}" active="true" mode="automatic" '
        f'priority="{priority}"><end-date>{end}</end-date>{more}<actionResults>'
        f'<goodsDiscount percentage-discount="{percent}"><for-all-goods>true</for-all-goods></goodsDiscount>'
        "</actionResults></AdvertisingAction>"
    )


def _drop(store: Any, folder: str, document: str) -> None:
    content = base64.b64encode(document.encode()).decode()
    store.do(None, "erp.file", folder=folder, name=f"{folder}.xml", content=content)
    for register in store.urls:
        if register is not None:
            store.do(register, "sync")


def _at_once(*actions: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers of actions that begin at the same moment."""
    start = threading.Barrier(len(actions))

    def act(action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        start.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as threads:
        return list(threads.map(act, actions))


def half_a_kopeck_is_lost(store: Any) -> bool:
    """R04: 0.125 kg at 1.00."""
    plu = '<plugin-property key="plu-number" value="678"/>'
    _send(store, _good("7", "2100678", _price("1.00"), "ProductWeightEntity", plu))
    store.do(1, "shift.open")
    _sell(store, trading.weight_barcode(678, 125), pay=(("cash", 100),))
    return bool(_purchase(store).find(".//position").get("amount") != "0.13")


def minimum_price_is_broken(store: Any) -> bool:
    """R06: 10 % off two lines; the second must not cost less than 99.00."""
    limit = '<min-price-restriction id="1" subject-type="GOOD" subject-code="8" value="99.00"/>'
    _send(store, _good("7", "1007", _price("100.00")), _good("8", "1008", _price("100.00")), limit)
    store.do(1, "shift.open")
    _sell(store, "1007", "1008", pay=(("cash", 20000),), discount=1000)
    amounts = [Decimal(position.get("amount")) for position in _purchase(store).iter("position")]
    return amounts != [Decimal(81), Decimal(99)]


def base_price_is_replaced(store: Any) -> bool:
    """R08: price 1 and price 2 that begin together; the second is over."""
    entry = _price("10.00")
    second = entry.replace("10.00", "8.00").replace("<number>1", "<end-date>2025-11-20</end-date><number>2")
    _send(store, _good("7", "1007", entry + second))
    return store.act(1, "price.check", barcode="1007").get("price") != 1000


def price_holds_too_early(store: Any) -> bool:
    """R09: at 10:00 a price that begins at 18:00."""
    _send(store, _good("7", "1007", _price("10.00") + _price("12.00", begin=f"{DAY}T18:00:00")))
    return bool(store.do(1, "price.check", barcode="1007")["price"] != 1000)


def return_has_todays_rate(store: Any) -> bool:
    """R24: sold at 10 %, returned after the rate became 22 %."""
    _send(store, _good("7", "1007", _price("10.00")))
    store.do(1, "shift.open")
    _sell(store, "1007", pay=(("cash", 1000),))
    _send(store, _good("7", "1007", _price("10.00")).replace("<vat>10", "<vat>22"), ti="2")
    store.do(1, "receipt.open", kind="return", original={"cash": 1, "shift": 1, "number": 1})
    store.do(1, "receipt.add", barcode="1007")
    store.do(1, "receipt.pay", type="cash", amount=1000)
    store.do(1, "receipt.close")
    store.do(1, "sync")
    rates = {line.get("nds") for line in store.exported("getPurchasesByOperDay", DAY).iter("position")}
    return rates != {"10.0"}


def two_shifts_are_opened(store: Any) -> bool:
    """R27: two logins at the same moment, until both succeed."""
    for _ in range(ATTEMPTS):
        answers = _at_once(*[partial(store.act, 1, "shift.open", tab_number=tab) for tab in ("17", "18")])
        if all(answer["ok"] for answer in answers):
            return True
        store.do(1, "shift.close")
    return False


def code_is_taken_for_a_label(store: Any) -> bool:
    """R28: a piece good whose own code has the form of a label of a weighed good."""
    plu = '<plugin-property key="plu-number" value="678"/>'
    code = trading.weight_barcode(678, 1000)
    _send(
        store,
        _good("7", "2100678", _price("1.00"), "ProductWeightEntity", plu),
        _good("8", code, _price("10.00")),
    )
    return bool(store.do(1, "price.check", barcode=code)["marking"] != "8")


def marking_code_is_cut(store: Any) -> bool:
    """R29: a serial number that holds 91."""
    code = "0104600000000015215A91BC"
    _send(store, _good("7", "1007", _price("10.00"), extra="<mark-type>MILK</mark-type>"))
    store.do(1, "shift.open")
    store.do(1, "receipt.open")
    store.do(1, "receipt.add", barcode="1007", mark=code + "\x1d93dGVz")
    store.do(1, "receipt.pay", type="cash", amount=1000)
    store.do(1, "receipt.close")
    return bool(_purchase(store).find(".//position/plugin-property").get("value") != code)


def account_is_overdrawn(store: Any) -> bool:
    """R30: two registers pay with one account at the same moment, until both succeed."""
    _send(store, _good("7", "1007", _price("100.00")))
    _drop(
        store,
        "cards",
        '<cards-catalog><internal-card-type guid="5" name="x" percentage-discount="0"/>'
        f'<internal-card number="{CARD}" status="ACTIVE" card-type-guid="5"/></cards-catalog>',
    )
    for register in (1, 2):
        store.do(register, "shift.open")
    for _ in range(ATTEMPTS):
        charge = f"<cardNumber>{CARD}</cardNumber><chargeSum>60.00</chargeSum>"
        store.processing("chargeOnBonusAccount", charge)
        for register in (1, 2):
            store.do(register, "receipt.open")
            store.do(register, "receipt.add", barcode="1007")
            store.do(register, "receipt.card", number=CARD)
        balance = store.processing("getActiveBonusAccounts", f"<cardNumber>{CARD}</cardNumber>")
        amount = int(Decimal(balance.findtext(".//balance")) * 100)
        pay = [
            partial(store.act, register, "receipt.pay", type="bonus", amount=amount) for register in (1, 2)
        ]
        answers = _at_once(*pay)
        if all(answer["ok"] for answer in answers):
            return True
        for register in (1, 2):
            store.do(register, "receipt.cancel")
            store.do(register, "sync")
    return False


def nine_goes_before_ten(store: Any) -> bool:
    """R31: promotions with the priorities 9 and 10."""
    _send(store, _good("7", "1007", _price("100.00")))
    _promotions(store, _promotion("A", "5", "9"), _promotion("B", "7", "10"))
    store.do(1, "shift.open")
    store.do(1, "receipt.open")
    return bool(store.do(1, "receipt.add", barcode="1007")["amount"] != 9300)


def last_second_is_lost(store: Any) -> bool:
    """R32: a promotion that ends in this very second, 10:00:00."""
    _send(store, _good("7", "1007", _price("100.00")))
    _promotions(store, _promotion("A", "5", end=f"{DAY}T10:00:00"))
    store.do(1, "shift.open")
    store.do(1, "receipt.open")
    return bool(store.do(1, "receipt.add", barcode="1007")["amount"] != 9500)


def coupon_is_taken_for_a_card(store: Any) -> bool:
    """R34: a coupon, and no card."""
    _send(store, _good("7", "1007", _price("100.00")))
    _promotions(store, _promotion("A", "5", more='<conditions><coupon number="99001"/></conditions>'))
    store.do(1, "shift.open")
    store.do(1, "receipt.open")
    store.do(1, "receipt.add", barcode="1007")
    store.do(1, "receipt.coupon", number="99001")
    store.do(1, "receipt.pay", type="cash", amount=9500)
    store.do(1, "receipt.close")
    return [card.get("type") for card in _purchase(store).findall("card")] != ["COUPON_CARD"]


def other_shops_price_is_taken(store: Any) -> bool:
    """R16: shop 101 and an entry for shop 1101."""
    _send(store, _good("7", "1007", _price("10.00")))
    other = _price("99.00", tail="<shop-indices>1101</shop-indices>")
    _send(store, _good("7", "1007", other), ti="2")
    (good,) = store.get(None, "/catalog")["goods"]
    return [price["price"] for price in good["prices"]] != [1000]


def second_package_of_a_ti_is_lost(store: Any) -> bool:
    """R12: two packages, one TI."""
    _send(store, _good("7", "1007", _price("10.00")))
    _send(store, _good("8", "1008", _price("20.00")))
    return len(store.get(None, "/catalog")["goods"]) != 2


def day_is_that_of_the_sale(store: Any) -> bool:
    """R22: a shift that began on the day before."""
    _send(store, _good("7", "1007", _price("10.00")))
    store.do(1, "shift.open")
    (store.folder / "clock").write_text("2025-11-24T00:20:00+03:00")
    _sell(store, "1007", pay=(("cash", 1000),))
    return bool(_purchase(store).get("operDay") != "2025-11-23+03:00")


def refused_push_is_lost(store: Any) -> bool:
    """R20: the ERP refuses the first call."""
    _send(store, _good("7", "1007", _price("10.00")))
    store.do(1, "shift.open")
    _sell(store, "1007", pay=(("cash", 1000),))
    store.do(1, "sync")
    store.erp.refuse(1)
    store.do(None, "sync")
    store.do(None, "sync")
    return "purchases" not in [call.service for call in store.erp.pushed]


def wrong_package_is_half_applied(store: Any) -> bool:
    """R15: a price that is right before one of a good that nobody knows."""
    _send(store, _good("7", "1007", _price("10.00")))
    entries = "".join(
        f'<price-entry marking-of-the-good="{marking}" price="12.00"><number>1</number>'
        '<begin-date>2025-11-01T00:00:00</begin-date><department number="1"/></price-entry>'
        for marking in ("7", "999")
    )
    status, _ = store.import_goods(f"<goods-catalog>{entries}</goods-catalog>".encode(), "2")
    assert status == "4"
    (good,) = store.get(None, "/catalog")["goods"]
    return [price["price"] for price in good["prices"]] != [1000]


def new_receipts_are_given_again(store: Any) -> bool:
    """R38: new receipts of two registers."""
    _send(store, _good("7", "1007", _price("10.00")))
    for register in (1, 2):
        store.do(register, "sync")
        store.do(register, "shift.open")
        store.do(register, "receipt.open")
        store.do(register, "receipt.add", barcode="1007")
        store.do(register, "receipt.pay", type="cash", amount=1000)
        store.do(register, "receipt.close")
        store.do(register, "sync")
    first = store.exported("getNewPurchasesByParams", DAY)
    assert len(first) == 2
    return len(store.exported("getNewPurchasesByParams", DAY)) > 0


def namespace_is_not_read(store: Any) -> bool:
    """R35: a default namespace."""
    document = (
        f'<goods-catalog xmlns="http://www.crystals.ru">{_good("7", "1007", _price("10.00"))}</goods-catalog>'
    )
    assert store.import_goods(document.encode(), "1") == ("3", "correct")
    return not store.get(None, "/catalog")["goods"]


def day_is_in_utc(store: Any) -> bool:
    """R23: a sale at 02:30 in Moscow is one of the day before in UTC."""
    _send(store, _good("7", "1007", _price("10.00")))
    (store.folder / "clock").write_text("2025-11-23T02:30:00+03:00")
    store.do(1, "shift.open")
    _sell(store, "1007", pay=(("cash", 1000),))
    store.do(1, "sync")
    return len(store.exported("getPurchasesByOperDay", DAY)) != 1


CHECKS: dict[str, Callable[[Any], bool]] = {
    "R03": weight_is_cut,
    "R04": half_a_kopeck_is_lost,
    "R05": receipt_discount_is_lost,
    "R06": minimum_price_is_broken,
    "R07": department_price_is_lost,
    "R08": base_price_is_replaced,
    "R09": price_holds_too_early,
    "R10": withdrawn_price_stays,
    "R12": second_package_of_a_ti_is_lost,
    "R15": wrong_package_is_half_applied,
    "R16": other_shops_price_is_taken,
    "R19": receipts_are_doubled,
    "R20": refused_push_is_lost,
    "R22": day_is_that_of_the_sale,
    "R23": day_is_in_utc,
    "R24": return_has_todays_rate,
    "R25": change_is_too_small,
    "R26": annulled_is_counted,
    "R27": two_shifts_are_opened,
    "R28": code_is_taken_for_a_label,
    "R29": marking_code_is_cut,
    "R30": account_is_overdrawn,
    "R31": nine_goes_before_ten,
    "R32": last_second_is_lost,
    "R34": coupon_is_taken_for_a_card,
    "R35": namespace_is_not_read,
    "R38": new_receipts_are_given_again,
}
#: Classes whose check needs more than one register.
REGISTERS = {"R30": 2, "R38": 2}
#: A defect that shows in half of the stores is missed by all of these once in 16,000 times.
FLAKY_TRIES = 14


def _shows(name: str, revision: str, expected: bool, run_store: Callable[..., Any], place: str) -> bool:
    """Whether the defect shows in a store of the revision; a flaky one may take several fresh stores."""
    tries = FLAKY_TRIES if DEFECTS[name].get("flaky") and expected else 1
    for attempt in range(tries):
        with run_store(revision, registers=REGISTERS.get(name, 1), name=f"{place}-{attempt}") as store:
            if CHECKS[name](store):
                return True
    return False


def test_every_recorded_defect_has_a_check() -> None:
    """A defect cannot be recorded without being verified here."""
    assert CHECKS.keys() == DEFECTS.keys()


@pytest.mark.parametrize("place", ["parent", "first bad", "before the fix", "fix"])
@pytest.mark.parametrize("name", sorted(CHECKS))
def test_defect_is_where_it_is_recorded(name: str, place: str, run_store: Callable[..., Any]) -> None:
    """Good before the first bad commit, bad from there to the commit before the fix, good from the fix on."""
    defect = DEFECTS[name]
    revision = {
        "parent": defect["first_bad"]["commit"] + "~",
        "first bad": defect["first_bad"]["commit"],
        "before the fix": defect["fixed"]["commit"] + "~",
        "fix": defect["fixed"]["commit"],
    }[place]

    expected = place in ("first bad", "before the fix")
    is_bad = _shows(name, revision, expected, run_store, "store")

    assert is_bad is expected


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_recorded_releases_are_the_first_that_hold_the_commits(
    name: str, reference: Any, run_store: Callable[..., Any]
) -> None:
    """The record's releases are the first tags after its commits, and behave as recorded."""
    for end, expected in (("first_bad", True), ("fixed", False)):
        place = DEFECTS[name][end]
        tags = subprocess.run(
            ["git", "tag", "--contains", place["commit"], "--sort=creatordate"],
            cwd=reference.report.repository,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        assert tags[0] == place["release"]
        assert _shows(name, place["release"], expected, run_store, end) is expected
