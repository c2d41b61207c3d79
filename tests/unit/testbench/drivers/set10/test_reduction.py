"""What is left out is exactly what was chosen; documents keep every other byte."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from testbench.drivers.port import Layer
from testbench.drivers.set10.reduction import Reduction
from testbench.scenarios import Scenario
from testbench.scenarios.composing import Composer

DOCUMENT = b"""\xef\xbb\xbf<?xml version="1.0"?>\r
<goods-catalog xmlns="http://x">\r
  <good marking-of-the-good="1"><name>a</name><price-entry price="1.00"/></good>\r
  <!-- kept -->
  <good marking-of-the-good="2" x="y"
    ><name>b</name></good>
  <price-entry marking-of-the-good="1" price="2.00"/>
  <price-entry price="2.00" marking-of-the-good="2"><number>2</number></price-entry>
  <max-discount-restriction id="1" subject-code="2" value="0"></max-discount-restriction>
</goods-catalog>
"""


@pytest.fixture
def scenario() -> Scenario:
    composer = Composer(datetime(2025, 11, 23, tzinfo=UTC), registers=(1, 2))
    composer.document("1", DOCUMENT)
    composer.open_shift(1)
    composer.open_shift(2)
    return composer.scenario()


def labels(scenario: Scenario, layer: Layer) -> list[str]:
    return [element.label for element in Reduction(scenario).elements if element.layer is layer]


def test_elements_are_events_then_data_then_registers(scenario: Scenario) -> None:
    """Every event, every good, price and restriction of a document, every register."""
    assert labels(scenario, Layer.EVENTS) == ["erp.goods 1", "sync", "sync", "shift.open", "shift.open"]
    assert labels(scenario, Layer.DATA) == [
        "good 1",
        "good 2",
        "price-entry 1",
        "price-entry 2",
        "max-discount-restriction 2",
    ]
    assert labels(scenario, Layer.CONFIGURATION) == ["register 1", "register 2"]


def test_keeping_all_changes_nothing(scenario: Scenario) -> None:
    """The scenario with all of its elements is the scenario."""
    reduction = Reduction(scenario)

    assert reduction.keep(range(len(reduction.elements))) == scenario


def test_one_good_is_cut_out_of_the_text(scenario: Scenario) -> None:
    """Without good 2, the rest of the document is byte for byte what it was."""
    reduction = Reduction(scenario)
    kept = [index for index, element in enumerate(reduction.elements) if element.label != "good 2"]
    content = reduction.keep(kept).contents["package-1.xml"]

    assert content == DOCUMENT.replace(
        b'  <good marking-of-the-good="2" x="y"\n    ><name>b</name></good>\n', b""
    )


def test_register_goes_with_its_events(scenario: Scenario) -> None:
    """Leaving a register out leaves out what was done on it."""
    reduction = Reduction(scenario)
    kept = [index for index, element in enumerate(reduction.elements) if element.label != "register 2"]
    small = reduction.keep(kept)

    assert small.registers == (1,)
    assert {event.register_ for event in small.events} == {None, 1}


def test_nothing_is_a_valid_scenario(scenario: Scenario) -> None:
    """Even the empty choice gives a scenario; documents that nothing sends are gone."""
    empty = Reduction(scenario).keep([])

    assert (empty.size, empty.registers, empty.contents, empty.documents) == (0, (), {}, {})
