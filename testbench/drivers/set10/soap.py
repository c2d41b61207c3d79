"""SOAP of the ERP side: the envelopes of SET-INTERFACES 2.1, 2.2 and 3.1, and what their answers say."""

from __future__ import annotations

import base64
import binascii
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape, quoteattr

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeTree

PREFIX = "/SET-ERPIntegration"
GOODS = (f"{PREFIX}/SET/WSGoodsCatalogImport", "http://plugins.products.ERPIntegration.crystals.ru/")
ACTIONS = (f"{PREFIX}/AdvertisingActionsImport", "http://ws.discounts.ERPIntegration.crystals.ru/")
PROCESSING = (
    "/SET-Cards/SET/Cards/ExternalSystemCardsProcessing",
    "http://processing.cards.crystals.ru/",
)
FEEDBACK = (f"{PREFIX}/SET/FeedbackWS", "http://feedback.ERPIntegration.crystals.ru/")
FISCAL = (f"{PREFIX}/FiscalInfoExport", "http://plugins.operday.ERPIntegration.crystals.ru/")
_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"


class SoapError(Exception):
    """An answer that is not what the service promises."""


def goods_with_ti(document: bytes, ti: str) -> bytes:
    """The request getGoodsCatalogWithTi (which imports, whatever its name says)."""
    body = f"<goodsCatalogXML>{base64.b64encode(document).decode()}</goodsCatalogXML><TI>{escape(ti)}</TI>"
    return _request("getGoodsCatalogWithTi", GOODS[1], body)


def actions_with_ti(document: bytes, ti: str) -> bytes:
    """The request importActionsWithTi: promotions."""
    body = f"<xmlData>{base64.b64encode(document).decode()}</xmlData><TI>{escape(ti)}</TI>"
    return _request("importActionsWithTi", ACTIONS[1], body)


def charge(card: str, kopecks: int) -> bytes:
    """The request chargeOnBonusAccount."""
    amount = f"{kopecks // 100}.{kopecks % 100:02d}"
    body = (
        f"<cardNumber>{escape(card)}</cardNumber><bonusAccountType>1</bonusAccountType>"
        f"<chargeSum>{amount}</chargeSum>"
    )
    return _request("chargeOnBonusAccount", PROCESSING[1], body)


def active_accounts(card: str) -> bytes:
    """The request getActiveBonusAccounts."""
    return _request("getActiveBonusAccounts", PROCESSING[1], f"<cardNumber>{escape(card)}</cardNumber>")


def package_status(ti: str) -> bytes:
    """The request getPackageStatus."""
    body = f"<xmlGetstatus><import ti={quoteattr(ti)}/></xmlGetstatus>"
    return _request("getPackageStatus", FEEDBACK[1], body)


def by_operday(operation: str, day: str) -> bytes:
    """getPurchasesByOperDay or getZReportsByOperDay for one date (yyyy-mm-dd)."""
    return _request(operation, FISCAL[1], f"<dateOperDay>{day}</dateOperDay>")


def new_purchases(limit: int) -> bytes:
    """getNewPurchasesByParams: at most ``limit`` receipts that it has not given yet."""
    return _request("getNewPurchasesByParams", FISCAL[1], f"<limit>{limit}</limit>")


def returned(answer: bytes) -> str:
    """The text of the answer's <return>.

    Raises:
        SoapError: there is none.
    """
    return text_of(answer, "return")


def text_of(answer: bytes, name: str) -> str:
    """The text of the answer's first element of that name.

    Raises:
        SoapError: there is none.
    """
    for element in _parsed(answer).iter():
        if str(element.tag).rpartition("}")[2] == name:
            return (element.text or "").strip()
    raise SoapError(f"the answer has no <{name}>")


def returned_document(answer: bytes) -> bytes:
    """The document that the answer's <return> carries in base64.

    Raises:
        SoapError: there is none.
    """
    try:
        return base64.b64decode("".join(returned(answer).split()), validate=True)
    except (binascii.Error, ValueError):
        raise SoapError("the answer's <return> is not base64") from None


def status(answer: bytes) -> tuple[int, str]:
    """Status and message of getPackageStatus.

    Raises:
        SoapError: the answer has no import with a numeric status.
    """
    for element in _parsed(answer).iter():
        if str(element.tag).rpartition("}")[2] == "import":
            number = element.get("status", "")
            if number.lstrip("-").isdigit():
                return int(number), element.get("status-message", "") or (element.text or "")
    raise SoapError("the answer names no status")


def _request(operation: str, namespace: str, body: str) -> bytes:
    return (
        f'<soapenv:Envelope xmlns:soapenv="{_ENVELOPE}" xmlns:q="{namespace}"><soapenv:Header/>'
        f"<soapenv:Body><q:{operation}>{body}</q:{operation}></soapenv:Body></soapenv:Envelope>"
    ).encode()


def _parsed(answer: bytes):  # type: ignore[no-untyped-def]  # Element is only a name in the stubs of defusedxml
    try:
        return SafeTree.fromstring(answer, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as problem:
        raise SoapError(f"the answer is not XML ({problem})") from None
