"""Runs and right answers of the search for the first bad commit, beside `git bisect run` (real git)."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.lines import Found, History, Repository, ours, tries_for
from tests.benchmarks.report import Options, Report, Tell, median

COMMITS = 512
#: Rate of the defect, share of good runs that fail all the same, goal in runs (where everything builds).
CASES = [(1.0, 0.0, 21), (0.5, 0.01, 50), (0.2, 0.01, 129)]
BROKEN = 0.2


def run(options: Options, tell: Tell) -> Iterator[Report]:
    """One bench beside git, then several benches."""
    with tempfile.TemporaryDirectory(prefix="garant-bench-") as folder:
        tell(f"bisect: making a repository of {COMMITS} commits")
        repository = Repository(Path(folder) / "git", COMMITS + 1)
        yield _beside_git(options, tell, repository)
    yield _benches(options, tell)


def _beside_git(options: Options, tell: Tell, repository: Repository) -> Report:
    report = Report(
        title=f"bisect: {COMMITS} commits, medians over {options.seeds} seeds",
        columns=[
            "rate",
            "false alarms",
            "unbuildable",
            "search",
            "runs",
            "goal",
            "commits built",
            "right",
            "wrong",
        ],
        notes=[
            "right: the commit, or (where builds are broken around it) the fewest that hold it; "
            "wrong: innocent commits named; the rest are ranges too large",
            "runs of Garant include the confirmation against the parent; goal: right in 59 of 60",
        ],
    )
    for broken, (rate, alarms, goal) in itertools.product((0.0, BROKEN), CASES):
        ways: list[tuple[str, Callable[[History], Found]]] = [
            ("Garant", ours),
            ("git bisect run", lambda history: repository.bisect(history, 1)),
        ]
        if rate < 1:
            tries = tries_for(rate)
            ways.append((f"git, {tries} tries", lambda h, tries=tries: repository.bisect(h, tries)))  # type: ignore[misc]
        for name, way in ways:
            tell(f"bisect: rate {rate}, {broken:.0%} unbuildable, {name}")
            histories = [
                History.of(seed, rate=rate, alarms=alarms, broken=broken) for seed in range(options.seeds)
            ]
            found = [way(history) for history in histories]
            runs = median([one.runs for one in found])
            builds = median([one.builds for one in found])
            shown = goal if name == "Garant" and not broken else None
            report.add(rate, alarms, f"{broken:.0%}", name, runs, shown, builds, *_right(histories, found))
    return report


def _right(histories: list[History], found: list[Found]) -> tuple[str, int]:
    right = sum(one.is_right(history) for history, one in zip(histories, found, strict=True))
    wrong = sum(one.is_wrong(history) for history, one in zip(histories, found, strict=True))
    return f"{right} of {len(found)}", wrong


def _benches(options: Options, tell: Tell) -> Report:
    report = Report(
        title=f"bisect: {COMMITS} commits on several benches, medians over {options.seeds} seeds",
        columns=["rate", "unbuildable", "benches", "rounds", "runs", "right", "wrong", "speed-up"],
        notes=["a round asks one question a bench; speed-up: one bench's rounds by these"],
    )
    cases = CASES[:2] if options.quick else CASES
    for (rate, alarms, _), broken in itertools.product(cases, (0.0, BROKEN)):
        alone = 0.0
        for benches in (1, 3, 8):
            tell(f"bisect: rate {rate}, {broken:.0%} unbuildable, {benches} benches")
            histories = [
                History.of(seed, rate=rate, alarms=alarms, broken=broken) for seed in range(options.seeds)
            ]
            found = [ours(history, benches) for history in histories]
            rounds = median([one.rounds for one in found]) or 0.0
            alone = alone or rounds
            runs = median([one.runs for one in found])
            speed = round(alone / rounds, 2)
            report.add(rate, f"{broken:.0%}", benches, rounds, runs, *_right(histories, found), speed)
    return report
