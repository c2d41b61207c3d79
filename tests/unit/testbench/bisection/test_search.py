"""Bisection on synthetic lines."""

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbench.bisection import rules
from testbench.bisection.search import Line, search
from testbench.errors import TestbenchError
from testbench.outcomes import Outcome


def line_of(size, change, *, rate=1.0, alarms=0.0, broken=(), fixed=False, seed=0):
    """A line whose change came with candidate ``change``."""
    dice = random.Random(f"runs {seed}")

    def ask(candidate):
        if candidate in broken:
            return Outcome.untestable("build")
        has = (candidate >= change) != fixed
        return Outcome.bad("x") if dice.random() < (rate if has else alarms) else Outcome.good()

    return Line(size, ask, "x", fixed)


@st.composite
def lines(draw):
    size = draw(st.integers(2, 200))
    change = draw(st.integers(1, size - 1))
    # The ends have been tested before a search begins.
    broken = draw(st.sets(st.integers(1, max(1, size - 2)), max_size=size // 2)) - {size - 1}
    return size, change, broken, draw(st.booleans())


@given(lines())
@settings(deadline=None, max_examples=200)
def test_certain_change_is_found_or_bounded_by_what_cannot_be_tested(case):
    """The answer holds the change; it is a name exactly when the change and its parent are testable."""
    size, change, broken, fixed = case
    line = line_of(size, change, broken=broken, fixed=fixed)
    found = search(line, 1.0)

    assert found.low < change <= found.high
    assert found.named == (change not in broken and change - 1 not in broken)
    assert set(range(found.low + 1, found.high)) <= broken
    assert found.low not in broken
    assert found.high not in broken


@pytest.mark.parametrize(
    ("rate", "alarms", "goal"),
    [(1.0, 0.0, 21), (0.5, 0.01, 50), (0.2, 0.01, 129)],
)
def test_price_over_512_commits(rate, alarms, goal):
    """Issue B's goal: at most 21, 50 and 129 runs (median), at least 59 of 60 right."""
    right, runs = 0, []
    for seed in range(60):
        change = random.Random(seed).randrange(1, 512)
        line = line_of(512, change, rate=rate, alarms=alarms, seed=seed)
        found = search(line, rate)
        right += found.named and found.high == change
        runs.append(line.runs)

    assert right >= 59
    assert statistics.median(runs) <= goal


def test_failure_that_was_called_certain_but_is_not_is_found_all_the_same():
    """A rate of .8 that looked like 1 at the end contradicts itself on the way; the answer is still right."""
    wrong = 0
    for seed in range(30):
        change = random.Random(seed).randrange(1, 128)
        found = search(line_of(128, change, rate=0.8, seed=seed), 1.0)
        wrong += found.named and found.high != change

    assert wrong == 0


def test_releases_are_asked_first():
    """No commit between two releases is played before the releases have named the two."""
    order = []
    line = line_of(100, 57)
    ask = line.ask

    def spy(candidate):
        order.append(candidate)
        return ask(candidate)

    line.ask = spy
    search(line, 1.0, first=range(0, 100, 10))
    first_commit = next(i for i, candidate in enumerate(order) if candidate % 10)

    assert {50, 60} <= set(order[:first_commit])


def test_same_line_same_answer_same_questions():
    """A certain search is deterministic."""
    one, other = line_of(300, 123, broken={150, 151}), line_of(300, 123, broken={150, 151})

    assert search(one, 1.0) == search(other, 1.0)
    assert list(one.outcomes) == list(other.outcomes)


def test_another_failure_in_between_is_passed_over():
    """A stretch that crashes hides the defect: it counts neither as good nor as bad."""

    def ask(candidate):
        if 30 <= candidate < 60:
            return Outcome.bad("crash")
        return Outcome.bad("x") if candidate >= 70 else Outcome.good()

    assert search(Line(100, ask, "x"), 1.0).high == 70


def test_broken_bench_ends_the_search():
    """Infra is never good: after a few in a row the search ends with the reason."""
    with pytest.raises(TestbenchError, match="no space"):
        search(Line(10, lambda _: Outcome.infra("build", "no space"), "x"), 1.0)


def test_posterior_is_a_distribution_that_follows_the_runs():
    """Bad at 5 and good at 4, several times, leaves 5."""
    seen = [rules.Observation(5, True), rules.Observation(4, False)] * 4
    chances = rules.posterior(10, seen, rules.Rates.of(0.7, fixed=False))

    assert sum(chances) == pytest.approx(1)
    assert chances[0] == 0
    assert max(range(10), key=chances.__getitem__) == 5


@given(st.integers(0, 50), st.integers(2, 60))
def test_middle_out_names_everything_between_once(low, width):
    """The order covers the open interval, begins in its middle."""
    order = list(rules.middle_out(low, low + width))

    assert sorted(order) == list(range(low + 1, low + width))
    assert order[0] == low + max(1, round(width / 2))
