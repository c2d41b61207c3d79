"""Each planted defect shows on its first bad commit and before its fix, and not on the parent and the fix.

The checks are this project's own knowledge of its history; the bench must find the same without it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

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


CHECKS: dict[str, Callable[[Any], bool]] = {
    "R03": weight_is_cut,
    "R05": receipt_discount_is_lost,
    "R07": department_price_is_lost,
    "R10": withdrawn_price_stays,
    "R19": receipts_are_doubled,
    "R25": change_is_too_small,
    "R26": annulled_is_counted,
}


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

    with run_store(revision) as store:
        is_bad = CHECKS[name](store)

    assert is_bad is (place in ("first bad", "before the fix"))


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
        with run_store(place["release"], name=end) as store:
            assert CHECKS[name](store) is expected
