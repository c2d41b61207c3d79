"""Bisection on synthetic lines."""

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbench.bisection import rules
from testbench.bisection.search import Line, search
from testbench.errors import TestbenchError
from testbench.outcomes import Outcome


def line_of(size, change, *, rate=1.0, alarms=0.0, broken=(), fixed=False, seed=0, benches=1):
    """A line whose change came with candidate ``change``; with several benches each answers for itself."""
    dice = random.Random(f"runs {seed}")

    def ask(candidate):
        if candidate in broken:
            return Outcome.untestable("build")
        has = (candidate >= change) != fixed
        return Outcome.bad("x") if dice.random() < (rate if has else alarms) else Outcome.good()

    def ask_all(candidates):
        assert 1 < len(candidates) <= benches
        return [ask(candidate) for candidate in candidates]

    return Line(size, ask, "x", fixed, benches=benches, ask_all=ask_all if benches > 1 else None)


@st.composite
def lines(draw):
    size = draw(st.integers(2, 200))
    change = draw(st.integers(1, size - 1))
    # The ends have been tested before a search begins.
    broken = draw(st.sets(st.integers(1, max(1, size - 2)), max_size=size // 2)) - {size - 1}
    return size, change, broken, draw(st.booleans())


@given(lines(), st.sampled_from([1, 2, 3, 7]))
@settings(deadline=None, max_examples=300)
def test_certain_change_is_found_or_bounded_by_what_cannot_be_tested(case, benches):
    """The answer holds the change; it is a name exactly when the change and its parent are testable."""
    size, change, broken, fixed = case
    line = line_of(size, change, broken=broken, fixed=fixed, benches=benches)
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


@pytest.mark.parametrize(
    ("rate", "alarms", "benches", "goal"),
    [(1.0, 0.0, 3, 10), (0.5, 0.01, 3, 17), (0.2, 0.01, 3, 48), (1.0, 0.0, 8, 6)],
)
def test_several_benches_wait_less(rate, alarms, benches, goal):
    """With three benches a certain change of 512 takes 10 rounds, a flaky one a third of its runs."""
    right, rounds = 0, []
    for seed in range(20):
        change = random.Random(seed).randrange(1, 512)
        line = line_of(512, change, rate=rate, alarms=alarms, seed=seed, benches=benches)
        found = search(line, rate)
        right += found.named and found.high == change
        rounds.append(line.rounds)

    assert right >= 19
    assert statistics.median(rounds) <= goal


def test_benches_without_somebody_who_runs_them_at_once_change_nothing():
    """``benches`` alone (no ``ask_all``) is the serial search: same questions, a round for each."""
    serial, alone = line_of(300, 123, broken={150, 151}), line_of(300, 123, broken={150, 151})
    alone.benches = 4

    assert search(serial, 1.0) == search(alone, 1.0)
    assert list(serial.outcomes) == list(alone.outcomes)
    assert alone.rounds == sum(map(len, alone.outcomes.values()))


def test_bench_that_fails_for_one_of_a_round_is_asked_for_that_one_again():
    """Infra tells nothing about the candidate: it is asked again, its neighbours' answers are kept."""
    line = line_of(64, 20, benches=3)
    ask_all, asked = line.ask_all, []

    def failing_once(candidates):
        asked.append(list(candidates))
        answers = list(ask_all(candidates))
        return [Outcome.infra("load", "no space"), *answers[1:]] if len(asked) == 1 else answers

    line.ask_all = failing_once
    found = search(line, 1.0)

    assert (found.high, found.named) == (20, True)
    assert line.skipped == set()
    assert [line.counts(candidate)[1] for candidate in asked[0]] == [1, 1, 1]


def test_bench_that_keeps_failing_for_one_of_a_round_ends_the_search():
    """The reason is told, whatever the other benches of the round answered."""
    line = line_of(64, 20, benches=3)
    line.ask = lambda _: Outcome.infra("build", "no space")
    ask_all = line.ask_all
    line.ask_all = lambda candidates: [Outcome.infra("build", "no space"), *ask_all(candidates)[1:]]

    with pytest.raises(TestbenchError, match="no space"):
        search(line, 1.0)


def test_no_benches_are_refused():
    """A number of benches that cannot be is a mistake of the caller."""
    with pytest.raises(ValueError, match="benches"):
        Line(2, lambda _: Outcome.good(), benches=0)


@pytest.mark.parametrize("benches", [1, 2, 3])
@pytest.mark.parametrize("fixed", [False, True])
def test_every_small_line_with_every_broken_stretch_is_answered_as_well_as_it_can_be(benches, fixed):
    """Brute force: the answer is the change, or exactly the versions that nothing can tell from it."""
    for size in range(2, 8):
        inner = range(1, size - 1)
        for change, count in itertools.product(range(1, size), range(len(inner) + 1)):
            for broken in itertools.combinations(inner, count):
                low, high = change - 1, change
                while low in broken:
                    low -= 1
                while high in broken:
                    high += 1
                found = search(line_of(size, change, broken=broken, fixed=fixed, benches=benches), 1.0)

                assert (found.low, found.high, found.named) == (low, high, high - low == 1)


@pytest.mark.parametrize("benches", [1, 3])
@pytest.mark.parametrize(("old_rate", "rate"), [(0.2, 0.9), (0.3, 0.6), (0.5, 1.0)])
def test_defect_that_was_rarer_in_old_commits_is_traced_to_where_it_began(old_rate, rate, benches):
    """A commit that only made it more frequent, or one in between, is seldom named: its parent fails too."""
    right = 0
    for seed in range(30):
        began, grew = sorted(random.Random(seed).sample(range(1, 64), 2))
        line = line_of(64, began, seed=seed, benches=benches)
        dice = random.Random(seed)

        def ask(candidate, began=began, grew=grew, dice=dice):
            chance = rate if candidate >= grew else old_rate if candidate >= began else 0.01
            return Outcome.bad("x") if dice.random() < chance else Outcome.good()

        line.ask = ask
        line.ask_all = (lambda candidates, ask=ask: [ask(c) for c in candidates]) if benches > 1 else None
        found = search(line, rate)
        right += found.low < began <= found.high

    assert right >= 23


@given(lines(), st.sampled_from([0.3, 0.6, 1.0]), st.sampled_from([1, 3]), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_flaky_search_ends_wherever_builds_are_broken(case, rate, benches, seed):
    """Whatever is broken, however runs fall: it ends, and names only what was tested."""
    size, change, broken, fixed = case
    line = line_of(
        size, change, rate=rate, alarms=0.01, broken=broken, fixed=fixed, seed=seed, benches=benches
    )
    found = search(line, min(rate, 0.9))

    assert 0 <= found.low < found.high < size
    assert not found.named or not {found.low, found.high} & broken
    assert 0 <= found.confidence <= 1 + 1e-9


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12).filter(any), st.sampled_from([0.5, 0.95]))
def test_credible_stretch_is_the_shortest_that_is_probable_enough(weights, share):
    """Brute force over all stretches."""
    chances = [0.0, *(weight / sum(weights) for weight in weights)]
    share -= 1e-9  # rounding must not decide
    found = rules.credible(chances, share)
    wide_enough = [
        stop - start
        for start, stop in itertools.combinations(range(1, len(chances) + 1), 2)
        if sum(chances[start:stop]) >= share + 1e-9
    ]

    assert sum(chances[found.start : found.stop]) >= share - 1e-9
    assert len(found) <= min(wide_enough, default=len(chances))


@pytest.mark.parametrize("benches", [1, 3])
def test_failure_that_was_called_certain_but_is_not_is_found_all_the_same(benches):
    """A rate of .8 that looked like 1 at the end contradicts itself on the way; the answer is still right."""
    wrong = 0
    for seed in range(30):
        change = random.Random(seed).randrange(1, 128)
        found = search(line_of(128, change, rate=0.8, seed=seed, benches=benches), 1.0)
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


@given(st.integers(0, 60), st.integers(1, 9))
def test_spread_names_every_place_once(size, count):
    """The first ones cut the line into parts that differ by little; the others follow."""
    order = rules.spread(size, count)
    cuts = [-1, *sorted(order[:count]), size]
    parts = [right - left for left, right in itertools.pairwise(cuts)]

    assert sorted(order) == list(range(size))
    assert size < count or max(parts) - min(parts) <= 1


@given(
    st.lists(st.floats(0.001, 1), min_size=2, max_size=8),
    st.sampled_from([0.2, 0.5, 0.9, 0.99]),
    st.integers(2, 3),
)
@settings(deadline=None)
def test_questions_of_a_round_tell_nearly_as_much_as_the_best_set(weights, rate, count):
    """Brute force over all sets of questions: the chosen ones tell at least 9/10 of the best ones' bits."""
    chances = [0.0, *(weight / sum(weights) for weight in weights)]
    rates = rules.Rates.of(rate, fixed=False)
    allowed = range(1, len(chances) - 1) if len(chances) > 2 else range(1, 2)

    def bits(questions):
        return _entropy(_told(chances, questions, rates)) - sum(
            chance * sum(_entropy([p, 1 - p]) for p in _fails(candidate, questions, rates))
            for candidate, chance in enumerate(chances)
        )

    chosen = rules.best_questions(chances, allowed, rates, count)
    best = max(bits(q) for q in itertools.combinations_with_replacement(allowed, count))

    assert bits(chosen) >= 0.9 * best if chosen else best < 1e-5


def _fails(candidate, questions, rates):
    return [rates.after if candidate <= question else rates.before for question in questions]


def _told(chances, questions, rates):
    """How probable each combination of answers is."""
    told = []
    for bad in itertools.product([True, False], repeat=len(questions)):
        each = (
            chance
            * math.prod(p if b else 1 - p for b, p in zip(bad, _fails(c, questions, rates), strict=True))
            for c, chance in enumerate(chances)
        )
        told.append(sum(each))
    return told


def _entropy(chances):
    return sum(-chance * math.log2(chance) for chance in chances if chance > 0)


@given(st.integers(0, 50), st.integers(2, 60))
def test_middle_out_names_everything_between_once(low, width):
    """The order covers the open interval, begins in its middle."""
    order = list(rules.middle_out(low, low + width))

    assert sorted(order) == list(range(low + 1, low + width))
    assert order[0] == low + max(1, round(width / 2))
