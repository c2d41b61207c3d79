"""How often a minimiser asks, how much it replays, how often it is right; beside the published ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from testbench import statistics
from testbench.minimisation.asking import CONFIDENCE
from testbench.minimisation.reducer import minimise
from testbench.outcomes import Outcome
from tests.benchmarks import problems
from tests.benchmarks.baselines import Minimiser, minimisers
from tests.benchmarks.problems import FAILURE, Problem
from tests.benchmarks.report import Options, Report, Tell, median

OURS = "Garant"
#: Needed of all.
SIZES = [(3, 1000), (10, 1000), (30, 1000), (3, 10_000), (10, 10_000), (30, 10_000)]
QUICK_SIZES = SIZES[:2]
#: p0 = .1 is the papers' own; with it 10,000 elements take minutes and are no news beside 1,000.
SLOW = {"ProbDD p0=.1", "CDD p0=.1"}
#: Flaky and large at once: these only.
FLAKY_AND_LARGE = {OURS, "ddmin", "CDD p0=.003"}
COLUMNS = ["needed", "of", "minimiser", "calls", "runs", "replayed", "right"]


@dataclass(frozen=True)
class Cost:
    """What one minimisation took; the first run of the whole and the last check are nobody's."""

    calls: int
    runs: int
    events: int
    right: bool
    size: int
    rounds: int = 0
    #: Events on the longest path: of each round only the longest run is waited for.
    waited: int = 0


def ours(problem: Problem, benches: int = 1) -> Cost:
    """Ours, whole: units, elements, 1-minimal pass, trials of flaky answers."""
    waited = 0

    def play(candidate: problems.Kept) -> Outcome:
        nonlocal waited
        waited += candidate.size
        return problem.play(candidate)

    def play_all(candidates: Sequence[problems.Kept]) -> list[Outcome]:
        nonlocal waited
        waited += max(candidate.size for candidate in candidates)
        return [problem.play(candidate) for candidate in candidates]

    whole = len(problem.elements)
    reduced = minimise(
        problem,
        play,
        signature=FAILURE,
        rate=problem.rate,
        verify=lambda _: Outcome.bad(FAILURE),
        benches=benches,
        test_all=play_all if benches > 1 else None,
    )
    # The whole fails in its first run, or (flaky) in one of the next; a verdict has made these runs before.
    return Cost(
        calls=reduced.oracle_calls - 1,
        runs=reduced.runs - 1,
        events=reduced.events_replayed - whole,
        right=problem.is_right(reduced.kept),
        size=reduced.after,
        rounds=reduced.rounds - 1,
        waited=waited - whole,
    )


def published(problem: Problem, minimiser: Minimiser) -> Cost:
    """A baseline with a memo; for a flaky failure each candidate has as many tries as ours."""
    tries = 1 if problem.rate == 1 else statistics.runs_to_see(problem.rate, CONFIDENCE)
    memo = {tuple(range(len(problem.elements))): True}

    def fails(kept: Sequence[int]) -> bool:
        key = tuple(kept)
        if key not in memo:
            candidate = problems.Kept(key)
            outcomes = (problem.play(candidate).looking_for(FAILURE) for _ in range(tries))
            memo[key] = any(outcome.is_bad for outcome in outcomes)
        return memo[key]

    left = minimiser(range(len(problem.elements)), fails)
    return Cost(len(memo) - 1, problem.runs, problem.events, problem.is_right(left), len(left))


def run(options: Options, tell: Tell) -> Iterator[Report]:
    """Certain and flaky failures, dependent ones, false alarms, several benches."""
    yield _scattered(options, tell, 1.0)
    yield _scattered(options, tell, 0.6)
    yield _alarms(options, tell)
    yield _dependent(options, tell)
    yield _benches(options, tell)


def _scattered(options: Options, tell: Tell, rate: float) -> Report:
    what = "certain failure" if rate == 1 else f"failure in {rate:.0%} of the runs"
    report = Report(title=f"minimise: {what}, medians over {options.seeds} seeds", columns=COLUMNS)
    goals = "goal for 3 of 1,000: at most 40 calls, 6,000 replayed; for 10 of 1,000: at most 108 calls"
    report.notes.append(goals if rate == 1 else "every candidate of every minimiser: up to 6 tries")
    for needed, size in QUICK_SIZES if options.quick else SIZES:
        for name, cost in _all(size).items():
            if rate < 1 and size > 1000 and name not in FLAKY_AND_LARGE:
                continue
            tell(f"minimise: {needed} of {size}, {what}, {name}")
            costs = [cost(problems.scattered(size, needed, s, rate=rate)) for s in range(options.seeds)]
            report.add(needed, size, name, *_figures(costs))
    if "picire" not in minimisers():
        report.notes.append("picire is not installed here (pip install picire); it is shown where it is")
    return report


def _all(size: int) -> dict[str, Callable[[Problem], Cost]]:
    found: dict[str, Callable[[Problem], Cost]] = {OURS: ours}
    for name, minimiser in minimisers().items():
        if size <= 1000 or name not in SLOW:
            found[name] = lambda problem, minimiser=minimiser: _survived(problem, minimiser)  # type: ignore[misc]
    return found


def _survived(problem: Problem, minimiser: Minimiser) -> Cost:
    """A minimiser that asserts on contradicting answers is wrong, not the end of the benchmark."""
    try:
        return published(problem, minimiser)
    except (AssertionError, RecursionError, IndexError):
        return Cost(problem.runs, problem.runs, problem.events, False, len(problem.elements))


def _figures(costs: Sequence[Cost]) -> tuple[float | None, float | None, float | None, str]:
    right = f"{sum(cost.right for cost in costs)} of {len(costs)}"
    return (
        median([cost.calls for cost in costs]),
        median([cost.runs for cost in costs]),
        median([cost.events for cost in costs]),
        right,
    )


def _alarms(options: Options, tell: Tell) -> Report:
    report = Report(
        title=f"minimise: flaky, and .01 of the good runs fail too, medians over {options.seeds} seeds",
        columns=["rate", *COLUMNS],
        notes=["right: it can fail like that, and loses it with any one element", "goal: right in 95 %"],
    )
    sizes = [(3, 1000)] if options.quick else [(3, 1000), (10, 1000)]
    for rate, (needed, size) in itertools.product((0.6, 0.2), sizes):
        for name in (OURS, "ddmin", "CDD p0=.003"):
            tell(f"minimise: {needed} of {size}, rate {rate}, false alarms, {name}")
            cost = _all(size)[name]
            costs = [
                cost(problems.scattered(size, needed, seed, rate=rate, alarms=0.01))
                for seed in range(options.seeds)
            ]
            report.add(rate, needed, size, name, *_figures(costs))
    return report


def _dependent(options: Options, tell: Tell) -> Report:
    report = Report(
        title=f"minimise: failures that need company, medians over {options.seeds} seeds",
        columns=["failure", "minimiser", "calls", "replayed", "size", "smallest", "right"],
        notes=["size and smallest: the result's elements, and the fewest possible (both medians)"],
    )
    for name, problem in problems.dependent():
        for minimiser in (OURS, "ddmin", "CDD p0=.003", "prefix search"):
            tell(f"minimise: {name}, {minimiser}")
            cost = _all(1000)[minimiser]
            posed = [problem(seed) for seed in range(options.seeds)]
            costs = [cost(one) for one in posed]
            calls, _, events, right = _figures(costs)
            size = median([cost.size for cost in costs])
            report.add(name, minimiser, calls, events, size, median([p.smallest for p in posed]), right)
    return report


def _benches(options: Options, tell: Tell) -> Report:
    report = Report(
        title=f"minimise: several benches at once, medians over {options.seeds} seeds",
        columns=["needed", "of", "rate", "benches", "rounds", "runs", "replayed", "waited for", "speed-up"],
        notes=["waited for: events of the longest run of each round; speed-up: one bench's by these"],
    )
    sizes = [(3, 1000)] if options.quick else [(3, 1000), (10, 1000)]
    for (needed, size), rate in itertools.product(sizes, (1.0, 0.6)):
        alone = 0.0
        for benches in (1, 2, 3, 8):
            tell(f"minimise: {needed} of {size}, rate {rate}, {benches} benches")
            costs = [
                ours(problems.scattered(size, needed, seed, rate=rate), benches)
                for seed in range(options.seeds)
            ]
            waited = median([cost.waited for cost in costs]) or 0.0
            alone = alone or waited
            rounds, runs = median([cost.rounds for cost in costs]), median([cost.runs for cost in costs])
            events = median([cost.events for cost in costs])
            report.add(needed, size, rate, benches, rounds, runs, events, waited, round(alone / waited, 2))
    return report
