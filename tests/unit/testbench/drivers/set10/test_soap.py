"""Envelopes are those of the samples of SET's interfaces; answers are read defensively."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

import pytest

from testbench.drivers.set10 import soap

STATUS = (
    b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
    b'<ns2:getPackageStatusResponse xmlns:ns2="http://feedback.ERPIntegration.crystals.ru/"><xmlGetstatus>'
    b'<import ti="1" status="3" status-message="correct"/></xmlGetstatus></ns2:getPackageStatusResponse>'
    b"</soap:Body></soap:Envelope>"
)


def test_import_is_base64_with_unqualified_children() -> None:
    """getGoodsCatalogWithTi carries the document in base64; its children have no namespace."""
    root = ElementTree.fromstring(soap.goods_with_ti(b"<goods-catalog/>", "17<&"))
    call = root[1][0]

    assert call.tag == "{http://plugins.products.ERPIntegration.crystals.ru/}getGoodsCatalogWithTi"
    assert [child.tag for child in call] == ["goodsCatalogXML", "TI"]
    assert base64.b64decode(call[0].text or "") == b"<goods-catalog/>"
    assert call[1].text == "17<&"


def test_status_request_names_the_package() -> None:
    """The package is named by an attribute, whatever characters its TI has."""
    root = ElementTree.fromstring(soap.package_status('1"2'))

    assert root[1][0][0][0].attrib == {"ti": '1"2'}


def test_status_is_read() -> None:
    """Number and message of the answer."""
    assert soap.status(STATUS) == (3, "correct")


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"<a/>", STATUS.replace(b'"3"', b'"done"'), b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"],
)
def test_other_answers_are_refused(answer: bytes) -> None:
    """What is no status is an error of its own, not a status."""
    with pytest.raises(soap.SoapError):
        soap.status(answer)


def test_document_in_the_answer() -> None:
    """Exports come in base64; anything else is refused."""
    answer = b"<e><return>" + base64.b64encode(b"<purchases/>") + b"</return></e>"

    assert soap.returned_document(answer) == b"<purchases/>"
    with pytest.raises(soap.SoapError, match="base64"):
        soap.returned_document(b"<e><return>!</return></e>")
