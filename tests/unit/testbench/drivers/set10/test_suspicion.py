"""A failure points at the elements that have to do with it; the search starts there."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from testbench.drivers.port import Suspecting
from testbench.drivers.set10 import suspicion
from testbench.drivers.set10.reduction import Reduction
from testbench.outcomes import Outcome
from testbench.scenarios import Scenario
from testbench.scenarios.composing import Composer, good


@pytest.fixture
def scenario() -> Scenario:
    composer = Composer(datetime(2025, 11, 23, tzinfo=UTC), registers=(1, 2))
    composer.package("1", [good("a1", "4600000000015", 100), good("a2", "4600000000022", 200)])
    composer.package("2", [good("w3", "2100678", 300, plu=678)])
    for register in (1, 2):
        composer.open_shift(register)
        composer.receipt([("4600000000015", 1000)], 1000, register)
        composer.receipt([("2100678001267", 1000)], 1000, register)
        original = {"cash": register, "shift": 1, "number": 2}
        composer.receipt([("2100678001267", 1000)], 1000, register, original=original)
    return composer.scenario()


def bad(where: str, unit: str = "") -> Outcome:
    return Outcome.bad("x/y", f"x/y: {where}\n{unit}", expected=f"{where}: 1.00", seen=f"{where}: 2.00")


def told(scenario: Scenario, outcome: Outcome, guess: int = 0) -> tuple[set[str], list[str]]:
    """Units of receipts, and labels of goods and registers, of one guess."""
    reduction = Reduction(scenario)
    assert isinstance(reduction, Suspecting)
    elements = [reduction.elements[index] for index in reduction.suspected(outcome)[guess]]
    units = {element.unit for element in elements if element.unit.startswith("receipt:")}
    return units, [element.label for element in elements if element.label.startswith(("good", "register"))]


def test_a_receipt_brings_its_register_and_the_goods_scanned_in_it(scenario: Scenario) -> None:
    """Nothing of other receipts, registers or goods is in the first guess."""
    units, labels = told(scenario, bad("receipt 2/1/1", "unit: receipt:2/1/1"))

    assert (units, labels) == ({"receipt:2/1/1"}, ["good a1", "register 2"])


def test_a_return_brings_its_sale_and_a_label_its_weighed_good(scenario: Scenario) -> None:
    """A return is nothing without what it gives back; a scales' label names its good by its beginning."""
    units, labels = told(scenario, bad("receipt 1/1/3, line 1", "unit: receipt:1/1/3"))

    assert (units, labels) == ({"receipt:1/1/2", "receipt:1/1/3"}, ["good w3", "register 1"])


def test_a_z_report_brings_all_that_its_register_did(scenario: Scenario) -> None:
    """A total is the work of every receipt of the shift."""
    units, labels = told(scenario, bad("Z report 2/1"))

    assert units == {f"receipt:2/1/{number}" for number in (1, 2, 3)}
    assert labels == ["good a1", "good w3", "register 2"]


def test_an_article_needs_no_receipt(scenario: Scenario) -> None:
    """A wrong price shows without a sale."""
    units, labels = told(scenario, bad("server, article a2"))

    assert (units, labels) == (set(), ["good a2", "register 1", "register 2"])


@pytest.mark.parametrize("where", ["store", "receipt 1/1/1", "package 7", ""])
def test_the_last_guess_keeps_every_event(scenario: Scenario, where: str) -> None:
    """Whatever a failure says, leaving out only the goods that nothing scans is tried last."""
    units, labels = told(scenario, bad(where), guess=-1)

    assert len(units) == 6
    assert labels == ["good a1", "good w3", "register 1", "register 2"]


def test_the_number_on_the_bench_is_told_as_the_store_had_it() -> None:
    """Receipts are numbered anew on the bench."""
    units = {"receipt:5/248/69": (5, 1, 2), "receipt:5/248/70": (5, 1, 3)}

    assert suspicion.unit_line("receipt 5/1/3, line 2", units) == "unit: receipt:5/248/70"
    assert suspicion.unit_line("Z report 5/1", units) == ""
