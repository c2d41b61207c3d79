"""How fast the bench is: builds cold and warm, receipts per second, a day with one defect made small."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from testbench.api import Bench
from testbench.scenarios.composing import Composer
from tests.benchmarks import shop
from tests.benchmarks.report import Options, Report, Tell, median

QUICK_RECEIPTS = 40
REPEATS = 5
#: The planted defect that a day of trade can show: a discount that does not divide evenly (R05).
OF_THE_DAY = "R05"


def run(options: Options, tell: Tell) -> Iterator[Report]:
    """Provisioning, replay, and the minimisation of a day."""
    receipts = min(options.receipts, QUICK_RECEIPTS) if options.quick else options.receipts
    with tempfile.TemporaryDirectory(prefix="garant-bench-") as folder:
        make = shop.bench(Path(folder))
        yield _provisioning(make, tell)
        yield _replay(make(), receipts, tell)
        yield _day(make(), receipts, tell)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return round(time.monotonic() - begun, 2)


def _provisioning(make: Callable[[], Bench], tell: Tell) -> Report:
    report = Report(
        title="replay: provisioning of the reference SET, seconds",
        columns=["what", "seconds"],
        notes=["one run: start, one price check, look at everything, stop; median of 5"],
    )
    tags = shop.releases()
    composer = Composer(shop.OPENING)
    composer.do(1, "shift:1/1", "shift.open", tab_number="17")
    empty = composer.scenario("an open shift")

    def build(tag: str) -> None:
        # A new bench each time: what it remembers in memory is not what is measured.
        with make().builds.use(tag):
            pass

    for name, tag in (
        ("first build: repository mirrored, built, smoke test", tags[-1]),
        ("cold: another version, mirror there", tags[-2]),
        ("warm: a version built before", tags[-1]),
    ):
        tell(f"replay: {name}")
        report.add(name, _seconds(lambda tag=tag: build(tag)))  # type: ignore[misc]
    bench = make()
    runs = [_seconds(lambda: bench.play(empty, tags[-1])) for _ in range(REPEATS)]
    report.add("one run of a store of one register, warm", median(runs))
    return report


def _replay(bench: Bench, receipts: int, tell: Tell) -> Report:
    report = Report(
        title="replay: a store's day through the reference SET",
        columns=[
            "registers",
            "receipts",
            "events",
            "seconds",
            "receipts/s",
            "trading, receipts/s",
            "faster by",
        ],
        notes=[f"trading: the same day's own {shop.TRADING_HOURS} opening hours; the newest release, warm"],
    )
    tag = shop.releases()[-1]
    for registers in (1, 4, 10):
        scenario = shop.day(receipts, registers=registers)
        tell(f"replay: {receipts} receipts on {registers} registers")
        outcome = bench.play(scenario, tag)
        if not outcome.is_good:
            report.notes.append(
                f"{registers} registers: {outcome.kind.value}: {outcome.signature or outcome.detail}"
            )
        sold = shop.sold(scenario)
        recorded = (scenario.events[-1].at - scenario.events[0].at).total_seconds()
        speed, trading = sold / outcome.seconds, sold / recorded
        report.add(
            registers,
            sold,
            scenario.size,
            round(outcome.seconds, 1),
            round(speed, 1),
            round(trading, 4),
            round(speed / trading),
        )
    return report


def _day(bench: Bench, receipts: int, tell: Tell) -> Report:
    report = Report(
        title=f"replay: a day with one receipt that shows {OF_THE_DAY}, made small",
        columns=["receipts", "before", "after", "calls", "runs", "replayed", "seconds", "seconds of the day"],
        notes=["before, after: elements of all layers; two runs for the verdict are not counted"],
    )
    defect = next(one for one in shop.planted() if one["class"] == OF_THE_DAY)
    tag = defect["first_bad"]["release"]
    scenario = shop.day(receipts, uneven_discounts=1)
    tell(f"replay: verdict on {receipts} receipts")
    verdict = bench.run(scenario, tag, runs=2)
    tell(f"replay: minimising {receipts} receipts")
    begun = time.monotonic()
    reduced = bench.minimise(scenario, tag, verdict=verdict)
    report.add(
        shop.sold(scenario),
        reduced.before,
        reduced.after,
        reduced.oracle_calls,
        reduced.runs,
        reduced.events_replayed,
        round(time.monotonic() - begun, 1),
        median([outcome.seconds for outcome in verdict.outcomes]),
    )
    if not reduced.verified:
        report.notes.append("the small scenario did NOT fail again")
    return report
