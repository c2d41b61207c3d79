"""A scenario is told in steps that a person can repeat, in both languages."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from testbench.scenarios import Event, Scenario, describe
from testbench.scenarios.events import EVENT_TYPES
from testbench.scenarios.phrases import PHRASES, Language


def test_steps_in_english(scenario: Scenario) -> None:
    """One step a unit, with amounts, quantities and the goods of the package."""
    assert describe(scenario, "en").splitlines() == [
        "1. Server: the ERP sends goods package 1 (package-1.xml): "
        "barcode 4600000000015: price 89.90, VAT 10 %.",
        "2. Register 1: exchange with the server (goods and prices in, receipts out).",
        "3. Register 1: open the shift (cashier 17).",
        "4. Register 1: start a sale, scan 4600000000015, 2 pcs, "
        "give a discount of 10 % on the whole receipt, pay 200.00 RUB in cash, close the receipt.",
        "5. Register 1: close the shift (Z report).",
    ]


def test_steps_in_russian(scenario: Scenario) -> None:
    """The same steps in Russian, numbered alike."""
    lines = describe(scenario, "ru").splitlines()

    assert len(lines) == 5
    assert lines[3] == (
        "4. Касса 1: начать чек продажи, добавить товар 4600000000015, 2 шт., дать скидку 10 % на весь чек, "
        "оплатить 200.00 руб. наличными, закрыть чек."
    )


def test_same_barcode_in_a_row_is_told_once(scenario: Scenario) -> None:
    """Two scans of one barcode are one phrase with the sum."""
    add = next(event for event in scenario.events if event.type == "receipt.add")
    twice = [event for event in scenario.events if event is not add]
    twice[4:4] = [add, add.model_copy(update={"payload": {**add.payload, "quantity": 500}})]
    events = [event.model_copy(update={"seq": place}) for place, event in enumerate(twice, 1)]

    assert "scan 4600000000015, 2.500" in describe(scenario.replaced(events=events))


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_event_type_has_words(language: Language) -> None:
    """No event type is without a phrase in either language."""
    known = {name.split(":")[0] for name in PHRASES[language]}

    assert set(EVENT_TYPES) <= known
    assert PHRASES["en"].keys() == PHRASES["ru"].keys()


def test_unreadable_document_is_told_without_goods(scenario: Scenario) -> None:
    """A document that cannot be read is named, not parsed."""
    broken = scenario.replaced(contents={"package-1.xml": b"<goods-cat"})

    assert describe(broken).splitlines()[0] == "1. Server: the ERP sends goods package 1 (package-1.xml)."


def test_event_without_register_where_one_is_needed_is_refused() -> None:
    """The schema keeps server's and registers' events apart."""
    with pytest.raises(ValueError, match="event of a register"):
        Event(seq=1, at=datetime(2025, 1, 1, tzinfo=UTC), unit="x", type="sync")
