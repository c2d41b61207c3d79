"""A scenario in words: the steps that a person repeats by hand, for the tracker's issue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeTree

from testbench.scenarios.phrases import PHRASES, Language
from testbench.scenarios.schema import Event, Scenario

_SHOWN_GOODS = 5


def describe(scenario: Scenario, language: Language = "en") -> str:
    """Numbered steps, one line for what is done in a row on one register within one receipt or packet."""
    words = PHRASES[language]
    steps: list[str] = []
    for together, moment in groupby(_merged(scenario.events), key=lambda event: event.together):
        told = list(_told(moment, scenario, words))
        steps += told if together is None else [words["together"] + " ".join(told)]
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def _told(events: Iterable[Event], scenario: Scenario, words: dict[str, str]) -> Iterator[str]:
    for (register, _), own in groupby(events, key=lambda event: (event.register_, event.unit)):
        where = words["on-server"] if register is None else words["on-register"].format(register=register)
        yield where + words["then"].join(_step(event, scenario, words) for event in own) + "."


def _merged(events: tuple[Event, ...]) -> list[Event]:
    """The same barcode scanned several times in a row is told once, with the sum."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if (
            last is not None
            and event.type == last.type == "receipt.add"
            and (event.register_, event.unit, event.together) == (last.register_, last.unit, None)
            and event.payload["barcode"] == last.payload["barcode"]
        ):
            quantity = last.payload.get("quantity", 1000) + event.payload.get("quantity", 1000)
            result[-1] = last.model_copy(update={"payload": {**last.payload, "quantity": quantity}})
        else:
            result.append(event)
    return result


def _step(event: Event, scenario: Scenario, words: dict[str, str]) -> str:
    payload, kind = event.payload, event.type
    if kind == "receipt.open":
        kind_of_receipt = payload.get("kind", "sale")
        if payload.get("original"):
            return words["receipt.open:return:original"].format(**payload["original"])
        return words[f"receipt.open:{kind_of_receipt}"]
    if kind == "receipt.add":
        quantity = payload.get("quantity", 1000)
        form = "pieces" if quantity % 1000 == 0 else "weight"
        count = str(quantity // 1000) if form == "pieces" else f"{quantity / 1000:.3f}"
        told = words[f"receipt.add:{form}"].format(barcode=payload["barcode"], count=count)
        return told + words["receipt.add:mark"] if payload.get("mark") else told
    if kind == "receipt.discount":
        if payload.get("percent") is not None:
            return words["receipt.discount:percent"].format(percent=f"{payload['percent'] / 100:g}")
        return words["receipt.discount:amount"].format(amount=_roubles(payload.get("amount") or 0))
    if kind == "receipt.pay":
        return words[f"receipt.pay:{payload['type']}"].format(amount=_roubles(payload["amount"]))
    if kind in ("cash.in", "cash.out"):
        return words[kind].format(amount=_roubles(payload["amount"]))
    if kind == "bonus.charge":
        return words[kind].format(card=payload["card"], amount=_roubles(payload["amount"]))
    if kind in ("erp.goods", "erp.actions", "erp.file"):
        goods = _goods(scenario.contents.get(payload["document"], b""), words)
        return words[kind].format(**payload, goods=goods)
    return words[kind].format(**payload)


def _roubles(kopecks: int) -> str:
    return f"{kopecks // 100}.{kopecks % 100:02d}"


def _goods(data: bytes, words: dict[str, str]) -> str:
    """The first goods of a document with what matters at the till; nothing when it cannot be read."""
    try:
        root = SafeTree.fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError):
        return ""
    goods = root.findall("good")
    told = [_good(good, words) for good in goods[:_SHOWN_GOODS]]
    if len(goods) > _SHOWN_GOODS:
        told.append(words["more"].format(count=len(goods) - _SHOWN_GOODS))
    return ": " + "; ".join(told) if told else ""


def _good(good: Any, words: dict[str, str]) -> str:
    code, price, vat = good.find("bar-code"), good.find("price-entry"), good.find("vat")
    return words["good"].format(
        barcode="-" if code is None else code.get("code", "-"),
        price="-" if price is None else price.get("price", "-"),
        vat="-" if vat is None else vat.text,
    )
