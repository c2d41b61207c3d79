"""An ERP-side program, written against the public interface alone, works with the newest release."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import pytest
from defusedxml import ElementTree

from testbench.reference import load_series, trading

LAST = load_series().releases[-1].tag
SAMPLES = Path(__file__).parent / "samples"
DAY = "2025-11-23"
SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
ADDRESS = "{http://schemas.xmlsoap.org/wsdl/soap/}address"
SCHEMA = "{http://www.w3.org/2001/XMLSchema}"
SERVICES = {
    "SET/WSGoodsCatalogImport": 2,
    "SET/WSCardsCatalogImport": 2,
    "CashiersImport": 2,
    "AdvertisingActionsImport": 1,
    "SET/FeedbackWS": 1,
    "FiscalInfoExport": 10,
}


class Client:
    """A SOAP client that knows of a service only what its WSDL says."""

    def __init__(self, store: Any, service: str, prefix: str = "/SET-ERPIntegration") -> None:
        self._store = store
        status, body = store.call(None, "GET", f"{prefix}/{service}?wsdl")
        assert status == 200
        self.wsdl = ElementTree.fromstring(body)
        self._namespace = self.wsdl.get("targetNamespace")
        self.path = urlsplit(self.wsdl.find(f".//{ADDRESS}").get("location")).path
        self.operations = [
            operation.get("name") for operation in self.wsdl.iterfind(f"{WSDL}portType/{WSDL}operation")
        ]

    def call(self, operation: str, parameters: str) -> Element:
        """The answer's element, which must be the one that the WSDL promises."""
        assert operation in self.operations
        request = (
            '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
            f'<q:{operation} xmlns:q="{self._namespace}">{parameters}</q:{operation}></e:Body></e:Envelope>'
        )
        status, body = self._store.call(None, "POST", self.path, request.encode())
        assert status == 200, body
        answer = ElementTree.fromstring(body).find(f"{SOAP}Body")[0]
        assert answer.tag == f"{{{self._namespace}}}{operation}Response"
        return answer


def _sell(store: Any, barcode: str, paid: int = 100_000) -> None:
    store.do(1, "receipt.open")
    store.do(1, "receipt.add", barcode=barcode)
    store.do(1, "receipt.pay", type="cash", amount=paid)
    store.do(1, "receipt.close")


def _send_goods(store: Any, client: Client, goods: Any, ti: str) -> None:
    document = trading.goods_document(goods, 101, date(2025, 11, 1))
    content = base64.b64encode(document).decode()
    answer = client.call(
        "getGoodsCatalogWithTi", f"<goodsCatalogXML>{content}</goodsCatalogXML><TI>{ti}</TI>"
    )
    assert answer.findtext("return") == "true"


def _calls(store: Any) -> list[tuple[str, str]]:
    return [(call.service, call.operation) for call in store.erp.pushed]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_wsdl_describes_the_service(service: str, run_store: Callable[..., Any]) -> None:
    """Each WSDL names the address that it was asked at, all operations, and unqualified children."""
    with run_store(LAST) as store:
        client = Client(store, service)

        assert client.path == f"/SET-ERPIntegration/{service}"
        assert len(client.operations) == SERVICES[service]
        assert client.wsdl.find(f".//{SCHEMA}schema").get("elementFormDefault") == "unqualified"


def test_bonus_processing_describes_itself_below_its_own_prefix(run_store: Callable[..., Any]) -> None:
    """The processing's WSDL leads to /SET-Cards/, and a call made by it alone charges an account."""
    with run_store(LAST) as store:
        client = Client(store, "SET/Cards/ExternalSystemCardsProcessing", "/SET-Cards")
        card = "<cardNumber>2013800000017</cardNumber>"
        charged = client.call("chargeOnBonusAccount", f"{card}<chargeSum>60.00</chargeSum>")
        account = client.call("getActiveBonusAccounts", card)

        assert client.path == "/SET-Cards/SET/Cards/ExternalSystemCardsProcessing"
        assert len(client.operations) == 3
        assert charged.findtext("return/errorCode") == "0"
        assert account.findtext("return/balance") == "60.00"


def test_unknown_wsdl_is_a_fault(run_store: Callable[..., Any]) -> None:
    """A service that is not there has no WSDL, and no file of the server is given instead."""
    with run_store(LAST) as store:
        assert store.call(None, "GET", "/SET-ERPIntegration/SET/Nothing?wsdl")[0] == 404
        assert store.call(None, "GET", "/SET-ERPIntegration/../VERSION?wsdl")[0] == 404


def test_thousands_of_goods_and_everything_pushed(run_store: Callable[..., Any]) -> None:
    """3,000 goods in packages of 1,000, each with its status; then all documents arrive in order."""
    with run_store(LAST) as store:
        goods = trading.goods(3000)
        client, feedback = Client(store, "SET/WSGoodsCatalogImport"), Client(store, "SET/FeedbackWS")
        for package in range(3):
            _send_goods(store, client, goods[package * 1000 : (package + 1) * 1000], str(package + 1))
        for ti in ("1", "2", "3"):
            found = feedback.call("getPackageStatus", f'<xmlGetstatus><import ti="{ti}"/></xmlGetstatus>')
            told = found.find("xmlGetstatus/import").attrib
            assert told == {"ti": ti, "status": "3", "status-message": "correct"}
        assert store.get(None, "/status")["goods"] == 3000
        store.do(1, "sync")
        barcode = store.get(None, "/catalog")["goods"][0]["barcodes"][0]["code"]
        store.do(1, "shift.open")
        store.do(1, "cash.in", amount=5000)
        _sell(store, barcode)
        store.do(1, "receipt.open")
        store.do(1, "receipt.add", barcode=barcode)
        store.do(1, "receipt.cancel")
        _sell(store, barcode)
        store.do(1, "cash.out", amount=1000)
        store.do(1, "shift.close")
        store.do(1, "sync")
        store.do(None, "sync")
        store.do(None, "sync")

        assert _calls(store) == [
            ("purchases", "processPurchasesWithTI"),
            ("purchases", "processCancelledPurchasesWithTI"),
            ("purchases", "processPurchasesWithTI"),
            ("introductions", "processIntroductionsWithTI"),
            ("withdrawals", "processWithdrawalsWithTI"),
            ("zreports", "processZReportsWithTI"),
        ]
        report = ElementTree.fromstring(store.erp.pushed[-1].document).find("zreport")
        sold = [
            purchase.get("amount")
            for call in store.erp.pushed
            if call.operation == "processPurchasesWithTI"
            for purchase in ElementTree.fromstring(call.document)
        ]
        assert report.findtext("countPurchase") == "2" == str(len(sold))


def test_refused_documents_come_again_also_after_a_restart(run_store: Callable[..., Any]) -> None:
    """What the ERP refuses stays first in the queue over a restart, and comes once when it is taken."""
    with run_store(LAST) as store:
        goods = trading.goods(10)
        _send_goods(store, Client(store, "SET/WSGoodsCatalogImport"), goods, "1")
        store.do(1, "sync")
        store.do(1, "shift.open")
        _sell(store, store.get(None, "/catalog")["goods"][0]["barcodes"][0]["code"])
        store.do(1, "shift.close")
        store.do(1, "sync")
        store.erp.refuse(2)
        store.do(None, "sync")
        store.do(None, "restart")
        store.do(None, "sync")
        assert _calls(store) == []
        assert store.get(None, "/status")["unpushed_receipts"] == 1
        store.do(None, "sync")
        store.do(None, "sync")

        assert [service for service, _ in _calls(store)] == ["purchases", "zreports"]


@pytest.mark.parametrize("dialect", ["2012", "2014", "2019"])
def test_dialects(dialect: str, run_store: Callable[..., Any]) -> None:
    """The setting chooses operDay, namespace, BOM and attributes; no sales make a document too."""
    with run_store(LAST, export_dialect=dialect) as store:
        fiscal = Client(store, "FiscalInfoExport")
        nothing = fiscal.call("getPurchasesByOperDay", f"<dateOperDay>{DAY}</dateOperDay>")
        empty = base64.b64decode(nothing.findtext("return"))
        assert empty.endswith(b'<purchases count="0"></purchases>\n')
        _send_goods(store, Client(store, "SET/WSGoodsCatalogImport"), trading.goods(10), "1")
        store.do(1, "sync")
        store.do(1, "shift.open")
        _sell(store, store.get(None, "/catalog")["goods"][0]["barcodes"][0]["code"])
        store.do(1, "sync")
        asked = "<year>2025</year><mobth>11</mobth><day>23</day>"
        answer = fiscal.call("getPurchasesByOperDay", asked).findtext("return")
        document = base64.b64decode(answer)
        root = ElementTree.fromstring(document)
        purchase, position = root[0], next(e for e in root.iter() if e.tag.endswith("position"))

        assert document.startswith(b"\xef\xbb\xbf") is (dialect == "2014")
        assert root.tag == ("{http://www.crystals.ru}purchases" if dialect == "2014" else "purchases")
        day = f"{DAY}T00:00:00.000+03:00" if dialect == "2012" else f"{DAY}+03:00"
        assert purchase.get("operDay") == day
        assert ("begintime" in purchase.attrib, "dateCommit" in position.attrib) == (dialect == "2019",) * 2
        assert ("goodsUnit" in position.attrib) is (dialect == "2012")


def test_cashiers_cards_and_marks(run_store: Callable[..., Any]) -> None:
    """Cashiers come as plain XML, cards as in the sample, marks as JSON; what is wrong is refused."""
    with run_store(LAST) as store:
        cashiers, feedback = Client(store, "CashiersImport"), Client(store, "SET/FeedbackWS")
        text = '<![CDATA[<cashiers><cashUser tabNum="17"><lastName>K</lastName></cashUser></cashiers>]]>'
        cashiers.call("importCashiersWithTi", f"<xml>{text}</xml><ti>7</ti>")
        cashiers.call("importCashiersWithTi", "<xml>&lt;cashiers/&gt;</xml><ti>8</ti>")
        found = [
            feedback.call("getPackageStatus", f'<xmlGetstatus><import ti="{ti}"/></xmlGetstatus>').find(
                "xmlGetstatus/import"
            )
            for ti in ("7", "8")
        ]
        assert [told.get("status") for told in found] == ["3", "4"]
        assert "cashUser" in found[1].get("status-message")
        request = (SAMPLES / "03-getCardsCatalogWithTi.request.xml").read_bytes()
        assert store.call(None, "POST", "/SET-ERPIntegration/SET/WSCardsCatalogImport", request)[0] == 200
        package = json.loads((SAMPLES / "setmark-add_mark.json").read_text())
        statuses = [
            store.call(None, "POST", "/erp/add_mark", json.dumps(body).encode())[0]
            for body in (package, package, {**package, "shop": 102}, {**package, "data": []})
        ]

        assert statuses == [200, 200, 400, 400]


def test_half_written_file_waits(run_store: Callable[..., Any]) -> None:
    """A document without its end is left in source/ until it is whole; one that stays so goes to error/."""
    with run_store(LAST) as store:
        products = store.folder / "server" / "products"
        document = trading.goods_document(trading.goods(10), 101, date(2025, 11, 1))
        (products / "source" / "a.xml").write_bytes(document[:200])
        store.do(None, "sync")
        assert (products / "source" / "a.xml").exists()
        (products / "source" / "a.xml").write_bytes(document)
        (products / "source" / "b.xml").write_bytes(document[:200])
        store.do(None, "sync")
        assert store.get(None, "/status")["goods"] == 10
        store.do(None, "sync")

        assert [path.name for path in (products / "success").iterdir()] == ["a.xml"]
        assert [path.name for path in (products / "error").iterdir()] == ["b.xml"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
def test_reports_request_in_both_encodings(encoding: str, run_store: Callable[..., Any]) -> None:
    """reports.request is answered with a file and removed, in the encodings that ERPs use."""
    with run_store(LAST) as store:
        source = store.folder / "server" / "reports" / "source"
        lines = "примечание: запрос\nshop: 101\ndateRange: 22.11.2025-23.11.2025\nreport: purchases"
        (source / "reports.request").write_bytes(lines.encode(encoding))
        store.do(None, "sync")

        assert len(store.files("purchases*.xml")) == 1
        assert not list(source.iterdir())
