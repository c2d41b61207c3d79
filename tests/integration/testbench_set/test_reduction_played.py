"""Leaving things out keeps a scenario playable, and the defect can be kept in very little."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime

from testbench.drivers.port import Layer
from testbench.drivers.set10 import SetDriver
from testbench.outcomes import Kind, Outcome
from testbench.scenarios import Scenario
from testbench.scenarios.composing import Composer, good

START = datetime(2025, 11, 23, 5, tzinfo=UTC)


def _scenario() -> Scenario:
    composer = Composer(START, registers=(1, 2))
    goods = [good(str(number), f"46000000{number:05d}", 1000 + number) for number in range(20)]
    composer.package("1", goods)
    for register in (1, 2):
        composer.open_shift(register)
    for number in range(6):
        composer.receipt([(f"46000000{number:05d}", 1000)], 10_000, 1 + number % 2)
    composer.receipt([("4600000000007", 1000)] * 3, 10_000, amount=100)
    for register in (1, 2):
        composer.close_shift(register)
    return composer.scenario()


def test_any_subset_is_playable(play: Callable[[str, Scenario], Outcome]) -> None:
    """Random halves of everything, units torn apart: the good release never fails on them."""
    scenario = _scenario()
    reducible = SetDriver().reducible(scenario)
    chance = random.Random(7)
    for _ in range(10):
        kept = [index for index in range(len(reducible.elements)) if chance.random() < 0.5]
        outcome = play("v10.4.8.0", reducible.keep(kept))

        assert outcome.kind is Kind.GOOD, (outcome.detail, kept)


def test_what_the_defect_needs_shows_it(play: Callable[[str, Scenario], Outcome]) -> None:
    """One register, one good, one receipt keep the signature; without its discount it is gone."""
    scenario = _scenario()
    reducible = SetDriver().reducible(scenario)
    unit = "receipt:1/1/4"
    needed = [
        index
        for index, element in enumerate(reducible.elements)
        if element.unit in (unit, "packet:1", "shift:1/1", "register:1") or element.label == "good 7"
    ]
    small = reducible.keep(needed)
    without = [
        index for index in needed if not reducible.elements[index].label.startswith("receipt.discount")
    ]

    assert play("v10.4.6.0", scenario).signature == "receipt-arithmetic/lines-sum"
    assert play("v10.4.6.0", small).signature == "receipt-arithmetic/lines-sum"
    assert play("v10.4.6.0", reducible.keep(without)).is_good
    assert small.registers == (1,)
    assert small.size == 11
    assert small.contents["package-1.xml"].count(b"<good ") == 1
    assert {element.layer for element in reducible.elements} == set(Layer)
