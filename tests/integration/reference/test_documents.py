"""The newest release accepts the documents that ERPs send, and answers as the real server does."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from testbench.reference import load_series

LAST = load_series().releases[-1].tag
SAMPLES = Path(__file__).parent / "samples"
GOODS = "catalog-goods_23-11-2025T06-15-00.xml"
PRICES = "catalog-goods-prices_23-11-2025T06-16-00.xml"
STOP_LIST = "catalog-goods_stoplist_23-11-2025T06-17-00.xml"


def _drop(store: Any, name: str) -> None:
    """Drops a sample as an ERP does and lets the server look."""
    source = store.folder / "server" / "products" / "source"
    (source / name).write_bytes((SAMPLES / name).read_bytes())
    store.do(None, "sync")


def _prices(store: Any, who: int | None) -> dict[str, list[int]]:
    goods = store.get(who, "/catalog")["goods"]
    return {good["marking"]: [price["price"] for price in good["prices"]] for good in goods}


def _canonical(element: Element) -> Any:
    return (
        element.tag,
        sorted(element.attrib.items()),
        (element.text or "").strip(),
        [_canonical(child) for child in element],
    )


def test_goods_prices_and_stop_list_by_file(run_store: Callable[..., Any]) -> None:
    """Each file is acknowledged by its removal and changes what server and register have."""
    with run_store(LAST) as store:
        _drop(store, GOODS)
        store.do(1, "sync")
        assert _prices(store, 1) == {
            "100501": [8990, 7990],
            "21000678": [79900],
            "300777": [64900],
            "400111": [18500],
        }
        _drop(store, PRICES)
        store.do(1, "sync")
        assert _prices(store, 1)["100501"] == [8990, 9250, 7990]
        assert _prices(store, 1)["400111"] == [18500]  # withdrawn in shop 102 only
        assert store.do(1, "price.check", barcode="4600000000015")["price"] == 8990
        (store.folder / "clock").write_text("2025-11-24T08:00:00+03:00")
        assert store.do(1, "price.check", barcode="4600000000015")["price"] == 7990
        (store.folder / "clock").write_text("2025-12-01T08:00:00+03:00")
        assert store.do(1, "price.check", barcode="4600000000015")["price"] == 9250
        _drop(store, STOP_LIST)
        store.do(1, "sync")
        assert _prices(store, 1) == _prices(store, None)

        products = store.folder / "server" / "products"
        assert not list((products / "source").iterdir())
        assert sorted(path.name for path in (products / "success").iterdir()) == [PRICES, GOODS, STOP_LIST]


def test_soap_import_and_status_as_in_the_samples(run_store: Callable[..., Any]) -> None:
    """The sample requests get the sample answers, element by element."""
    with run_store(LAST) as store:
        _drop(store, GOODS)
        for call, service in (
            ("01-getGoodsCatalogWithTi", "SET/WSGoodsCatalogImport"),
            ("02-getPackageStatus", "SET/FeedbackWS"),
        ):
            request = (SAMPLES / f"{call}.request.xml").read_bytes()
            status, body = store.call(None, "POST", f"//SET-ERPIntegration/{service}", request)
            (expected,) = SAMPLES.glob(f"{call}.response*.xml")
            assert status == 200
            assert _canonical(ElementTree.fromstring(body)) == _canonical(
                ElementTree.fromstring(expected.read_bytes())
            )


def test_wrong_package_changes_nothing(run_store: Callable[..., Any]) -> None:
    """A price of an unknown good fails the whole package, and the status says why."""
    document = (
        b'<goods-catalog><price-entry marking-of-the-good="100501" price="1.00"/>'
        b'<price-entry marking-of-the-good="none" price="1.00"/></goods-catalog>'
    )
    with run_store(LAST) as store:
        _drop(store, GOODS)
        before = _prices(store, None)
        status, message = store.import_goods(document, "77")
        assert status == "4"
        assert message is not None
        assert "none" in message
        assert store.import_goods(b"<goods-catalog", "78")[0] == "4"
        assert _prices(store, None) == before


def test_reports_request_is_answered_and_removed(run_store: Callable[..., Any]) -> None:
    """A request for the days of the shift brings its receipts again, one for other days none."""
    with run_store(LAST) as store:
        _drop(store, GOODS)
        store.do(1, "sync")
        store.do(1, "shift.open")
        store.do(1, "receipt.open")
        store.do(1, "receipt.add", barcode="4600000000015")
        store.do(1, "receipt.pay", type="card", amount=8990)
        store.do(1, "receipt.close")
        store.do(1, "sync")
        store.do(None, "export")
        source = store.folder / "server" / "reports" / "source" / "reports.request"
        source.write_bytes((SAMPLES / "reports.request").read_bytes())
        store.do(None, "sync")
        assert not source.exists()
        assert [len(document) for document in store.files("purchases*.xml")] == [1, 1]


def test_new_purchases_are_given_once(run_store: Callable[..., Any]) -> None:
    """getNewPurchasesByParams gives each receipt to the ERP once; getPurchasesByParams always."""
    namespace = "http://plugins.operday.ERPIntegration.crystals.ru/"

    def ask(operation: str) -> int:
        answer = store.soap("FiscalInfoExport", namespace, operation, "<cashNumber>1</cashNumber>")
        content = answer.findtext(".//return")
        return len(ElementTree.fromstring(base64.b64decode(content)))

    with run_store(LAST) as store:
        _drop(store, GOODS)
        store.do(1, "sync")
        store.do(1, "shift.open")
        store.do(1, "receipt.open")
        store.do(1, "receipt.add", barcode="2100678001267")
        store.do(1, "receipt.pay", type="cash", amount=20000)
        store.do(1, "receipt.close")
        store.do(1, "sync")
        assert [ask("getNewPurchasesByParams") for _ in range(2)] == [1, 0]
        assert ask("getPurchasesByParams") == 1
