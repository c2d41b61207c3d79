"""The reference SET and its days of trade, for the benchmarks that play it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from testbench.api import Bench
from testbench.reference import build_history, load_series, trading
from testbench.scenarios import Scenario
from testbench.scenarios.composing import Composer

RECORD = Path(__file__).parents[1] / "acceptance" / "planted-defects.json"
#: How each planted defect is played; the bench's own tests prove that these show it.
PLAYED = "tests.integration.testbench_set.test_planted_defects"
OPENING, TRADING_HOURS = datetime(2025, 11, 23, 5, tzinfo=UTC), 14


def bench(folder: Path) -> Callable[[], Bench]:
    """Makes benches for the whole history, with one cache of builds in ``folder``."""
    product = build_history(folder / "set10.git").product
    return lambda: Bench.open(product, home=folder / "home")


def releases() -> list[str]:
    """Tags of the reference SET, oldest first."""
    return [release.tag for release in load_series().releases]


def planted() -> list[dict[str, Any]]:
    """The record of planted defects."""
    found: list[dict[str, Any]] = json.loads(RECORD.read_text(encoding="utf-8"))["defects"]
    return found


def played(defect: dict[str, Any]) -> tuple[Scenario, str] | None:
    """A defect's scenario and the signature that it must show; None where the tests have none."""
    scenarios = importlib.import_module(PLAYED).SCENARIOS
    entry = scenarios.get(defect["class"])
    if entry is None:
        return None
    make, signature = entry[0], entry[1]
    made = make()
    return (made.scenario(defect["class"]) if isinstance(made, Composer) else made), signature


def day(receipts: int, *, registers: int = 4, goods: int = 200, uneven_discounts: int = 0) -> Scenario:
    """A day of trade: every register's shift, receipts spread over the opening hours."""
    numbers = tuple(range(1, registers + 1))
    composer = Composer(OPENING, registers=numbers)
    assortment = trading.goods(goods)
    composer.document("1", trading.goods_document(assortment, 1, date(2025, 1, 1)))
    shares = [receipts // registers + (number <= receipts % registers) for number in numbers]
    shifts = [
        list(
            _units(
                trading.shift(
                    assortment, share, cash=number, uneven_discounts=uneven_discounts * (number == 1)
                ),
                number,
            )
        )
        for number, share in zip(numbers, shares, strict=True)
        if share
    ]
    # One unit of each register in turn, as they trade beside each other.
    turns = max(map(len, shifts))
    for turn in range(turns):
        composer.now = OPENING + timedelta(hours=TRADING_HOURS) * turn / turns
        for number, units in enumerate(shifts, 1):
            for unit, action in units[turn] if turn < len(units) else []:
                composer.do(number, unit, action["type"], **action["payload"])
    return composer.scenario(f"{receipts} receipts")


def _units(actions: list[trading.Action], register: int) -> Iterator[list[tuple[str, trading.Action]]]:
    """A shift's actions by unit: each receipt, and what is done between."""
    unit: list[tuple[str, trading.Action]] = []
    receipts = 0
    for action in actions:
        kind = action["type"]
        if kind == "receipt.open":
            receipts += 1
        name = f"receipt:{register}/1/{receipts}" if kind.startswith("receipt.") else f"shift:{register}/1"
        name = f"sync:{register}" if kind == "sync" else name
        if unit and name != unit[-1][0]:
            yield unit
            unit = []
        unit.append((name, action))
    yield unit


def sold(scenario: Scenario) -> int:
    """Receipts of a scenario, returns and annulled ones too."""
    return sum(event.type == "receipt.open" for event in scenario.events)
