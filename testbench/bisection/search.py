"""Finds the change on a line of candidates by asking a callable; synthetic problems and real ones alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from testbench import statistics
from testbench.bisection import rules
from testbench.bisection.rules import Observation, Rates
from testbench.errors import TestbenchError
from testbench.outcomes import Kind, Outcome
from testbench.progress import Progress, Step, silent

#: Runs of the bad end that decide whether the failure is certain or flaky.
RUNS_TO_CALL_CERTAIN = 5
#: Runs of the failing and of the clean side when a certain failure is confirmed. The clean side takes more:
#: the defect may have been rarer in old commits, and what only made it frequent is not the culprit. 12 clean
#: runs exclude a rate of .22; with 4, at .2 before and .9 after, every second name was a wrong one.
CERTAIN_CONFIRMATION = 2
CERTAIN_CLEAN = 12
#: Accepted probability of a wrong confirmation, for each of the two sides.
DOUBT = 0.01
#: A failure that is not certain after all is taken for no more frequent than this.
FREQUENT = 0.9
#: A culprit that fails more rarely than this cannot be confirmed with a sensible number of runs.
LOWEST_RATE = 0.05
MOST_RUNS_OF_ONE = 120
#: So many failures of one candidate are no false alarm any more.
REPEATED = 2
#: How often a name that was not confirmed may send the search back.
ROUNDS = 4
#: No search asks more often than this.
MOST_RUNS = 2000
INFRA_TRIES = 3

Ask = Callable[[int], Outcome]
#: Several runs at once; outcomes in the order of the questions, which may name one candidate several times.
AskAll = Callable[[Sequence[int]], Sequence[Outcome]]


@dataclass
class Line:
    """A line of candidates under examination: what was asked, what was told, what cannot be tested.

    With ``benches`` above 1 and ``ask_all`` a round asks so many questions at once; the answers are taken in
    the order of the questions, so the same answers lead to the same search however long each run took.
    """

    size: int
    ask: Ask
    signature: str | None = None
    fixed: bool = False
    progress: Progress = silent
    observations: list[Observation] = field(default_factory=list)
    skipped: set[int] = field(default_factory=set)
    outcomes: dict[int, list[Outcome]] = field(default_factory=dict)
    runs: int = 0
    #: How many runs may go on at once, and who makes them.
    benches: int = 1
    ask_all: AskAll | None = None
    #: How often the search had to wait: one run, or several at once.
    rounds: int = 0

    def __post_init__(self) -> None:
        if self.benches < 1:
            raise ValueError(f"benches must be 1 or more, not {self.benches}")

    @property
    def width(self) -> int:
        """How many questions one round asks."""
        return self.benches if self.ask_all is not None else 1

    def run(self, candidate: int) -> bool | None:
        """One run: True bad, False good, None untestable (it then is skipped from now on)."""
        return self.run_all([candidate])[0]

    def run_all(self, candidates: Sequence[int]) -> list[bool | None]:
        """One run of each, ``width`` at a time; answers as ``run`` gives them, in the order of the questions.

        Raises:
            TestbenchError: the bench failed several times in a row for one of them.
        """
        answers: list[bool | None] = []
        for start in range(0, len(candidates), self.width):
            part = candidates[start : start + self.width]
            asked = [candidate for candidate in part if candidate not in self.skipped]
            told = iter(self._outcomes(asked))
            # A candidate can be asked twice in a round, so what to skip was decided before the answers.
            answers += [
                self._take(candidate, next(told)) if candidate in asked else None for candidate in part
            ]
        return answers

    def _outcomes(self, candidates: Sequence[int]) -> list[Outcome]:
        """Runs that the bench itself did not spoil."""
        outcomes: dict[int, Outcome] = {}
        for _ in range(INFRA_TRIES):
            open_ = [place for place in range(len(candidates)) if place not in outcomes]
            if not open_:
                break
            for place, outcome in zip(open_, self._round([candidates[p] for p in open_]), strict=True):
                if outcome.kind is Kind.INFRA:
                    failed = outcome
                else:
                    outcomes[place] = outcome.looking_for(self.signature)
        if len(outcomes) < len(candidates):
            raise TestbenchError(
                f"bisection stopped: the bench failed {INFRA_TRIES} times in a row "
                f"({failed.stage}: {failed.detail}); mend that and start again"
            )
        return [outcomes[place] for place in range(len(candidates))]

    def _round(self, candidates: Sequence[int]) -> Sequence[Outcome]:
        self.rounds += 1
        if self.ask_all is None or len(candidates) == 1:
            return [self.ask(candidate) for candidate in candidates]
        return self.ask_all(candidates)

    def _take(self, candidate: int, outcome: Outcome) -> bool | None:
        self.outcomes.setdefault(candidate, []).append(outcome)
        if outcome.kind is not Kind.UNTESTABLE:
            self.runs += 1
        self.progress(Step("bisect", f"run {self.runs}: candidate {candidate} of {self.size - 1}", self.runs))
        # Another failure hides the one that is looked for, so the candidate tells nothing.
        if outcome.kind in (Kind.UNTESTABLE, Kind.DIFFERENT_FAILURE):
            if not any(seen.candidate == candidate for seen in self.observations):
                self.skipped.add(candidate)
            return None
        self.skipped.discard(candidate)
        self.observations.append(Observation(candidate, outcome.is_bad))
        return outcome.is_bad

    def counts(self, candidate: int) -> tuple[int, int]:
        """Bad runs and all runs that told something."""
        own = [seen.bad for seen in self.observations if seen.candidate == candidate]
        return sum(own), len(own)

    def runs_until(self, candidate: int, runs: int) -> tuple[int, int]:
        """Run it until ``runs`` runs have told something (or it cannot be tested); bad runs and all."""
        while (missing := runs - self.counts(candidate)[1]) > 0:
            if None in self.run_all([candidate] * min(missing, self.width)):
                break
        return self.counts(candidate)


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where the change is: candidates ``low`` (excluded) to ``high`` (included)."""

    low: int
    high: int
    confirmed: bool
    confidence: float
    reason: str

    @property
    def named(self) -> bool:
        """Whether it is one candidate, and sure enough to be called by its name."""
        return self.high - self.low == 1 and self.confirmed and self.confidence >= rules.NAMED


def measure(line: Line, candidate: int) -> float:
    """The failure rate of the end that fails: 1.0 when some first runs all fail; 0.0 when it does not show.

    Flaky ones get enough runs for a rate to rest on.
    """
    bad, runs = line.runs_until(candidate, RUNS_TO_CALL_CERTAIN)
    if runs and bad == runs:
        return 1.0
    while runs < statistics.CAP:
        decision = statistics.sequential_test(bad, runs - bad)
        if decision is statistics.Decision.REJECTED or (
            decision is statistics.Decision.SHOWN and runs >= statistics.RUNS_FOR_RATE
        ):
            break
        if decision is statistics.Decision.SHOWN:
            missing = statistics.RUNS_FOR_RATE - runs
        else:
            missing = statistics.runs_to_decision(bad, runs - bad)
        if None in line.run_all([candidate] * min(missing, line.width)):
            break
        bad, runs = line.counts(candidate)
    return bad / runs if runs else 0.0


def search(line: Line, rate: float, first: Collection[int] = ()) -> Found:
    """Find the change; the ends must have been tested already.

    Args:
        line: the candidates; its observations so far count.
        rate: failure rate of the end that fails (above 0, at most 1).
        first: candidates (releases) that are asked before the others.

    Raises:
        TestbenchError: the bench keeps failing.
    """
    stages = [set(first) & set(range(1, line.size)), set(range(line.size))]
    certain = rate == 1
    for _ in range(ROUNDS):
        low, high, surprise = 0, line.size - 1, False
        if certain:
            for stage in stages:
                low, high, surprise = _binary(line, low, high, stage)
                if surprise:
                    break
        if certain and surprise:
            certain, rate = False, _less_than_certain(line)
        if not certain:
            low, high = _bayes(line, rate, stages)
        if high - low > 1:
            return _range(line, low, high, rate, "the candidates between cannot be tested")
        if confirm(line, low, high, rate):
            return Found(
                low=low, high=high, confirmed=True, confidence=_confidence(line, low, high, rate), reason=""
            )
        if certain:
            certain, rate = False, _less_than_certain(line)
        rate = _lowered(line, (low, high), rate)
    # The name that was refused is not the answer: all that the runs leave probable is.
    chances = rules.posterior(line.size, line.observations, Rates.of(rate, fixed=line.fixed))
    remaining = rules.credible(chances, rules.NAMED)
    return _range(
        line, remaining.start - 1, remaining.stop - 1, rate, "it was not confirmed against its parent"
    )


def _lowered(line: Line, sides: Collection[int], rate: float) -> float:
    """The rate to go on with when a name was refused: the defect may be rarer there than at the end.

    The search takes it for the rate everywhere, which is safe: a failure tells nearly as much at a lower
    rate, only a good run tells less. One failure alone may be a false alarm.
    """
    counts = [line.counts(side) for side in sides]
    return max(LOWEST_RATE, min([rate, *(bad / runs for bad, runs in counts if bad >= REPEATED)]))


def _less_than_certain(line: Line) -> float:
    """The rate of a failure that was certain at the end, but not on the way; over all that showed it."""
    counts = [line.counts(candidate) for candidate in {seen.candidate for seen in line.observations}]
    bad = sum(bad for bad, _ in counts if bad)
    runs = sum(runs for bad, runs in counts if bad)
    return min(FREQUENT, (bad + 1) / (runs + 2))


def _binary(line: Line, low: int, high: int, allowed: Collection[int]) -> tuple[int, int, bool]:
    """Halve the range, one run a candidate; the last value tells that runs contradict each other."""
    if line.width > 1:
        return _many_ary(line, low, high, allowed)
    while True:
        for candidate in rules.middle_out(low, high):
            if candidate not in allowed or candidate in line.skipped:
                continue
            bad, runs = line.counts(candidate)
            if not runs:
                if line.run(candidate) is None:
                    continue
                bad, runs = line.counts(candidate)
            if 0 < bad < runs:
                return low, high, True
            if (bad > 0) != line.fixed:
                high = candidate
            else:
                low = candidate
            break
        else:
            return low, high, False


def _many_ary(line: Line, low: int, high: int, allowed: Collection[int]) -> tuple[int, int, bool]:
    """Cut the range into ``width`` + 1 parts at once; as ``_binary`` otherwise."""
    while True:
        narrowed = _narrowed(line, low, high, allowed)
        if narrowed is None:
            return low, high, True
        low, high = narrowed
        pool = [candidate for candidate in range(low + 1, high) if candidate in allowed]
        order = [pool[place] for place in rules.spread(len(pool), line.width)]
        questions = [candidate for candidate in order if candidate not in line.skipped][: line.width]
        if not questions:
            return low, high, False
        line.run_all(questions)


def _narrowed(line: Line, low: int, high: int, allowed: Collection[int]) -> tuple[int, int] | None:
    """The range that all runs inside of it leave; None when they contradict each other."""
    before, after = low, high
    for candidate in {seen.candidate for seen in line.observations if low < seen.candidate < high}:
        if candidate not in allowed:
            continue
        bad, runs = line.counts(candidate)
        if 0 < bad < runs:
            return None
        if (bad > 0) != line.fixed:
            after = min(after, candidate)
        else:
            before = max(before, candidate)
    return (before, after) if before < after else None


def _bayes(line: Line, rate: float, stages: Sequence[Collection[int]]) -> tuple[int, int]:
    rates = Rates.of(rate, fixed=line.fixed)
    group = range(1, line.size)
    for stage in stages:
        while line.runs < MOST_RUNS:
            allowed = set(stage) - line.skipped
            chances = rules.posterior(line.size, line.observations, rates)
            group, chance = rules.likeliest_group(chances, allowed)
            if chance >= rules.SETTLED:
                break
            questions = rules.best_questions(chances, allowed, rates, line.width)
            if not questions:
                break
            line.run_all(questions)
    return group.start - 1, group.stop - 1


def confirm(line: Line, parent: int, culprit: int, rate: float) -> bool:
    """Whether the two sides really differ: the failing one fails, the clean one does not.

    At least n(rate) runs of the clean side; a false alarm among them does not end it, but asks for more.
    """
    failing, clean = (parent, culprit) if line.fixed else (culprit, parent)
    if line.width > 1:
        _ask_both(line, failing, clean, max(CERTAIN_CLEAN, statistics.runs_to_see(rate)))
    if settle(line, failing, rate, CERTAIN_CONFIRMATION) is not True:
        return False
    bad, told = line.counts(failing)
    # The rate here may be lower than at the end that was measured: the clean side must exclude this one too.
    rate = min(rate, max(bad / told, LOWEST_RATE))
    needed = max(CERTAIN_CLEAN, statistics.runs_to_see(rate))
    healthy = settle(line, clean, rate, needed) is False
    if healthy and line.counts(clean)[0]:
        # It failed once: a false alarm, or the same defect at a lower rate, which must be excluded too.
        healthy = settle(line, clean, min(rate, statistics.DEFECT_RATE), needed) is False
    return healthy


def _ask_both(line: Line, failing: int, clean: int, needed: int) -> None:
    """Make the runs that both sides need in any case, together: one side alone would leave benches idle."""
    least = {failing: CERTAIN_CONFIRMATION, clean: needed}
    line.run_all([c for c, runs in least.items() for _ in range(runs - line.counts(c)[1])])


def settle(line: Line, candidate: int, rate: float, least: int) -> bool | None:
    """Run a candidate until it fails at ``rate`` (True) or is healthy (False); None when it stays unclear."""
    rate = min(rate, rules.MOST_CERTAIN)
    silent = False
    while True:
        bad, told = line.counts(candidate)
        decision = statistics.sequential_test(bad, told - bad, p1=rate, alpha=DOUBT, beta=DOUBT)
        if told >= least and decision is not statistics.Decision.UNDECIDED:
            return decision is statistics.Decision.SHOWN
        if told >= MOST_RUNS_OF_ONE or silent:
            return None
        missing = least - told
        if decision is statistics.Decision.UNDECIDED:
            missing = max(
                missing, statistics.runs_to_decision(bad, told - bad, p1=rate, alpha=DOUBT, beta=DOUBT)
            )
        silent = None in line.run_all([candidate] * min(missing, line.width))


def _confidence(line: Line, low: int, high: int, rate: float) -> float:
    chances = rules.posterior(line.size, line.observations, Rates.of(rate, fixed=line.fixed))
    return sum(chances[low + 1 : high + 1])


def _range(line: Line, low: int, high: int, rate: float, reason: str) -> Found:
    return Found(
        low=low,
        high=high,
        confirmed=False,
        confidence=_confidence(line, low, high, rate),
        reason=reason,
    )
