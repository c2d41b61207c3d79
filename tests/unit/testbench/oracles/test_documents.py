"""Exported documents are read in all their dialects, and hostile ones are refused."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from testbench.oracles import DocumentError, documents

MOSCOW = ZoneInfo("Europe/Moscow")
POSITION = (
    '<position order="1" goodsCode="1" barCode="2" count="0.126" cost="799.0" nds="10.0" ndsSum="9.15" '
    'discountValue="0.0" amount="100.67"/>'
)
BODY = (
    '<purchase operDay="{day}" shop="1" cash="2" shift="3" number="4" operationType="{kind}" amount="100.67" '
    'discountAmount="0.0" {extra}><positions>' + POSITION + "</positions><payments>"
    '<payment typeClass="CashPaymentEntity" amount="110.0"/>'
    '<payment typeClass="CashChangePaymentEntity" amount="9.33"/></payments></purchase>'
)


def _document(day: str = "2025-11-23+03:00", kind: str = "true", extra: str = "", root: str = "") -> bytes:
    return f"<purchases{root}>{BODY.format(day=day, kind=kind, extra=extra)}</purchases>".encode()


@pytest.mark.parametrize(
    "data",
    [
        _document("2013-11-04T00:00:00.000+02:00"),
        b"\xef\xbb\xbf" + _document("2014-01-31+04:00", root=' xmlns="http://www.crystals.ru"'),
        _document("2019-03-05+03:00", extra='inn="7800000000" begintime="2019-03-05T10:00:00+03:00"'),
    ],
    ids=["a", "b", "c"],
)
def test_three_dialects_give_one_receipt(data: bytes) -> None:
    """Milliseconds, namespace, BOM: what matters of the receipt is the same in each dialect."""
    (receipt,) = documents.purchases(data)

    assert receipt.identity == (2, 3, 4)
    assert receipt.amount == 10067
    assert receipt.positions[0].count == Decimal("0.126")
    assert [payment.is_change for payment in receipt.payments] == [False, True]
    assert receipt.oper_day.count("-") == 2


@pytest.mark.parametrize(("kind", "is_sale"), [("true", True), ("false", False)], ids=["sale", "return"])
def test_return_is_not_a_sale(kind: str, is_sale: bool) -> None:
    """operationType is text: "false" is a return."""
    assert documents.purchases(_document(kind=kind))[0].is_sale is is_sale


def test_cancelled_receipt_is_marked() -> None:
    """An annulled receipt is exported with its status, and read as cancelled."""
    assert documents.purchases(_document(extra='status="CANCELLED"'))[0].is_cancelled


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<purchases><purchase",
        b"<reports/>",
        b'<!DOCTYPE p [<!ENTITY a "b">]><purchases>&a;</purchases>',
        _document().replace(b'amount="100.67"', b'amount="NaN"'),
        _document().replace(b'amount="100.67"', b'amount="1E+999999"'),
        _document().replace(b'number="4"', b""),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes) -> None:
    """Hostile and damaged documents end in a clear error, never in a crash or a wrong number."""
    with pytest.raises(DocumentError):
        documents.purchases(data)


def test_goods_catalog_gives_prices_with_their_keys() -> None:
    """A price is known by article, number, department and begin; both forms of deleted count."""
    data = b"""<goods-catalog><good marking-of-the-good="1"><shop-indices>101 102</shop-indices>
      <bar-code code="46"/><bar-code code="47"><deleted>true</deleted></bar-code>
      <price-entry price="89.90"><begin-date>2025-11-23T00:00:00.000</begin-date>
       <end-date>2025-11-30</end-date><number>2</number><department number="3"/></price-entry></good>
      <price-entry marking-of-the-good="1" price="1" deleted="true"><number>1</number></price-entry>
    </goods-catalog>"""
    catalog = documents.goods_catalog(data, MOSCOW)
    own, outside = catalog.prices

    assert catalog.goods[0].barcodes == ("46",)
    assert catalog.goods[0].removed_barcodes == ("47",)
    assert (own.price, own.number, own.department, own.shops) == (8990, 2, "3", frozenset({101, 102}))
    assert own.begin == datetime(2025, 11, 23, tzinfo=MOSCOW)
    assert own.end == datetime(2025, 11, 30, 23, 59, 59, tzinfo=MOSCOW)
    assert (outside.deleted, outside.department, outside.shops) == (True, "", None)


def test_x_reports_are_left_out() -> None:
    """An X report is a look, not the end of a shift."""
    zreport = (
        "<zreport><reportType>{}</reportType><shiftNumber>1</shiftNumber><shopNumber>1</shopNumber>"
        "<cashNumber>1</cashNumber><amountByPurchaseFiscal>5.00</amountByPurchaseFiscal></zreport>"
    )
    data = f"<reports>{zreport.format('Xreport')}{zreport.format('Zreport')}</reports>".encode()

    (report,) = documents.z_reports(data)

    assert (report.purchases, report.returns, report.purchase_count) == (500, 0, None)
