"""The minimiser on synthetic problems."""

import itertools
import random
import statistics
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbench.drivers.port import Element, Layer
from testbench.errors import TestbenchError
from testbench.minimisation import ahead, slices
from testbench.minimisation.reducer import minimise
from testbench.outcomes import Outcome


@dataclass(frozen=True)
class Subset:
    """A scenario that is nothing but its element numbers."""

    kept: tuple[int, ...]
    name: str = "synthetic"

    @property
    def size(self):
        return len(self.kept)

    @property
    def digest(self):
        return repr(self.kept)


class Problem:
    """N elements; fails while all of ``needed`` are there (and, where given, ``extra`` holds)."""

    def __init__(self, elements, needed, extra=lambda kept: True, rate=1.0, seed=0, alarms=0.0):
        self.elements = [Element(str(i), "") for i in range(elements)] if type(elements) is int else elements
        self.needed = set(needed)
        self.extra = extra
        self.rate = rate
        self.random = random.Random(seed)
        self.alarms = alarms
        self.asked = []

    def keep(self, indices):
        return Subset(tuple(indices))

    def fails(self, kept):
        return self.needed <= set(kept) and self.extra(set(kept))

    def __call__(self, candidate):
        self.asked.append(candidate.digest)
        chance = self.rate if self.fails(candidate.kept) else self.alarms
        return Outcome.bad("x") if self.random.random() < chance else Outcome.good()

    def all(self, candidates):
        """Several benches: a run of each."""
        return [self(candidate) for candidate in candidates]


@given(st.integers(1, 120).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
@settings(deadline=None, max_examples=150)
def test_monotone_problem_gives_exactly_the_needed(case):
    """Where certain elements are needed, these and no others are left."""
    size, needed = case
    problem = Problem(size, needed)
    result = minimise(problem, problem, signature="x")

    assert set(result.kept) == needed
    assert result.verified


@given(
    st.integers(2, 40),
    st.lists(st.sets(st.integers(0, 39), min_size=1, max_size=4), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=150)
def test_any_result_fails_and_is_one_minimal(size, ways):
    """Also where one of several sets is enough: the result fails, and loses it with any one element."""
    ways = [{i % size for i in way} for way in ways]
    problem = Problem(size, (), lambda kept: any(way <= kept for way in ways))
    result = minimise(problem, problem, signature="x")

    assert problem.fails(result.kept)
    assert not any(problem.fails(set(result.kept) - {i}) for i in result.kept)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
@settings(deadline=None, max_examples=60)
def test_nothing_is_asked_twice(case):
    """The memo answers repeated content; only the final check plays the result again."""
    size, needed = case
    problem = Problem(size, needed)
    result = minimise(problem, problem, signature="x", verify=lambda _: Outcome.bad("x"))

    assert len(problem.asked) == len(set(problem.asked)) == result.oracle_calls


@pytest.mark.parametrize(
    ("size", "needed", "calls", "events"),
    [(1000, 3, 40, 6000), (1000, 10, 102, 23500), (10000, 3, 54, 66000)],
)
def test_price_of_a_search(size, needed, calls, events):
    """Median over seeds: at most issue B's goal for 3 of 1,000, less than DESIGN's figure for 10."""
    costs = []
    for seed in range(40):
        problem = Problem(size, random.Random(seed).sample(range(size), needed))
        replayed = 0

        def fails(kept, problem=problem):
            nonlocal replayed
            key = tuple(kept)
            if key not in problem.asked:
                problem.asked.append(key)
                replayed += len(key)
            return problem.fails(key)

        left = slices.one_minimal(slices.reduce(range(size), fails), fails)
        assert set(left) == problem.needed
        costs.append((len(problem.asked), replayed))

    assert statistics.median(c for c, _ in costs) <= calls
    assert statistics.median(e for _, e in costs) <= events


def test_whole_units_go_first():
    """5,000 receipts in 20 shifts of which one matters: shifts are dropped before receipts are looked at."""
    elements = [Element("e", f"shift:{i // 1000}/receipt:{i // 4}", Layer.EVENTS) for i in range(20_000)] + [
        Element("good", "", Layer.DATA) for _ in range(300)
    ]
    problem = Problem(elements, {7013, 7014, 20_100})
    result = minimise(problem, problem, signature="x")

    assert set(result.kept) == {7013, 7014, 20_100}
    assert result.layers == {"events": (20_000, 2), "data": (300, 1)}
    assert result.oracle_calls < 60


@given(st.data(), st.integers(1, 6))
@settings(deadline=None, max_examples=150)
def test_whatever_fails_the_result_fails_and_is_one_minimal(data, size):
    """Brute force: any set of failing subsets at all, others crash, cannot be tested or are good."""
    kinds = st.sampled_from(
        [Outcome.bad("x"), Outcome.bad("crash"), Outcome.untestable("load"), Outcome.good()]
    )
    subsets = [c for n in range(size + 1) for c in itertools.combinations(range(size), n)]
    shown = {subset: data.draw(kinds) for subset in subsets} | {tuple(range(size)): Outcome.bad("x")}
    benches = data.draw(st.integers(1, 3))

    def test(candidate):
        return shown[candidate.kept]

    result = minimise(
        Problem(size, ()),
        test,
        signature="x",
        benches=benches,
        test_all=lambda candidates: [test(candidate) for candidate in candidates],
    )
    smaller = itertools.combinations(result.kept, len(result.kept) - 1) if result.kept else ()

    assert shown[result.kept].signature == "x"
    assert not any(shown[subset].signature == "x" for subset in smaller)


@given(
    st.integers(1, 80).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))),
    st.integers(2, 5),
)
@settings(deadline=None, max_examples=80)
def test_several_benches_find_the_same_in_fewer_rounds(case, benches):
    """Asking ahead changes when a question is asked, never the answer; no round is too large."""
    size, needed = case
    alone, together = Problem(size, needed), Problem(size, needed)
    rounds = []

    def test_all(candidates):
        rounds.append(len(candidates))
        return together.all(candidates)

    one = minimise(alone, alone, signature="x")
    several = minimise(together, together, signature="x", benches=benches, test_all=test_all)

    assert several.kept == one.kept
    assert several.rounds <= one.rounds == one.runs
    assert all(1 < asked <= benches for asked in rounds)
    assert len(together.asked) == several.runs + 2  # the last check is played twice


def test_tries_of_a_flaky_candidate_are_made_together():
    """Three benches need less than half of the rounds, and find the same elements."""
    alone, together = (Problem(300, {7, 150, 290}, rate=0.6, seed=3) for _ in range(2))
    one = minimise(alone, alone, signature="x", rate=0.6)
    several = minimise(together, together, signature="x", rate=0.6, benches=3, test_all=together.all)

    assert set(several.kept) == set(one.kept) == {7, 150, 290}
    assert several.rounds < one.rounds / 2


@pytest.mark.parametrize("rate", [0.6, 0.2])
def test_false_alarms_do_not_lead_flaky_minimisation_astray(rate):
    """One good run in a hundred fails too; 19 of 20 results are exactly right all the same."""
    right = 0
    for seed in range(40):
        needed = set(random.Random(seed).sample(range(200), 3))
        problem = Problem(200, needed, rate=rate, seed=seed, alarms=0.01)
        right += set(minimise(problem, problem, signature="x", rate=rate).kept) == needed

    assert right >= 38


def test_flaky_candidate_that_cannot_be_tested_is_not_tried_again():
    """What cannot be tested once cannot be tested at all: one run, not 21."""
    runs = Counter()

    def test(candidate):
        runs[candidate.kept] += 1
        return Outcome.bad("x") if {1, 2} <= set(candidate.kept) else Outcome.untestable("load")

    result = minimise(Problem(4, ()), test, signature="x", rate=0.2)

    assert result.kept == (1, 2)
    assert {count for kept, count in runs.items() if not {1, 2} <= set(kept)} == {1}


def test_bench_that_fails_for_one_of_a_round_plays_that_one_again():
    """Infra says nothing about the candidate; the other answers of the round are kept."""
    problem = Problem(50, {3, 40})
    spoiled = []

    def test_all(candidates):
        if not spoiled:
            spoiled.extend(candidates[:1])
            return [Outcome.infra("load", "no space"), *problem.all(candidates[1:])]
        return problem.all(candidates)

    assert minimise(problem, problem, signature="x", benches=3, test_all=test_all).kept == (3, 40)


@pytest.mark.parametrize(
    ("wrong", "name"), [({"rate": 0}, "rate"), ({"rate": 1.2}, "rate"), ({"benches": 0}, "benches")]
)
def test_impossible_numbers_are_refused_before_anything_is_played(wrong, name):
    """A rate or a number of benches that cannot be is a mistake of the caller."""
    problem = Problem(5, {2})
    with pytest.raises(ValueError, match=name):
        minimise(problem, problem, signature="x", **wrong)

    assert problem.asked == []


def test_questions_ahead_are_what_the_search_will_ask():
    """The first is the next question; the others follow it, the likelier answer first."""

    def search(fails):
        return [1] if fails([1]) else [2] if fails([2]) else [3]

    assert ahead.upcoming(search, {}, 3) == [(1,), (2,)]
    assert ahead.upcoming(search, {(1,): True}, 3) == []
    assert ahead.run(search, lambda questions: [question == (2,) for question in questions], 2) == [2]


@pytest.mark.parametrize("seed", range(8))
def test_flaky_failure_is_minimised_too(seed):
    """At a failure rate of .6 the result still holds all that is needed, and little else."""
    needed = random.Random(seed).sample(range(300), 3)
    problem = Problem(300, needed, rate=0.6, seed=seed)
    result = minimise(problem, problem, signature="x", rate=0.6)

    assert set(needed) <= set(result.kept)
    assert len(result.kept) <= 5


def test_another_failure_is_not_this_failure():
    """A candidate that fails with another signature does not count as failing."""

    def test(candidate):
        return Outcome.bad("x" if {1, 5} <= set(candidate.kept) else "crash")

    assert minimise(Problem(20, ()), test, signature="x").kept == (1, 5)


def test_nothing_to_minimise_is_refused():
    """A scenario that does not fail is no start for a search."""
    with pytest.raises(TestbenchError, match="nothing to minimise"):
        minimise(Problem(5, ()), lambda _: Outcome.good(), signature="x")


def test_broken_bench_ends_the_search_with_its_reason():
    """Infra is never taken for "does not fail": the search ends and says why."""
    with pytest.raises(TestbenchError, match="disk full"):
        minimise(Problem(5, ()), lambda _: Outcome.infra("play", "disk full"), signature="x")


def test_result_that_does_not_fail_again_is_not_verified():
    """The last check is a real one."""
    problem = Problem(5, {2})

    assert not minimise(problem, problem, signature="x", verify=lambda _: Outcome.good()).verified


@pytest.mark.parametrize("rate", [1.0, 0.6])
def test_a_known_run_of_the_whole_is_not_made_again(rate):
    """The whole is the dearest candidate: what an earlier verdict saw of it is enough."""
    problem = Problem(40, {3, 17}, rate=rate)
    whole = problem.keep(range(40)).digest
    reduced = minimise(problem, problem, signature="x", rate=rate, known=Outcome.bad("x"))

    assert reduced.kept == (3, 17)
    assert whole not in problem.asked


def test_a_known_run_that_failed_otherwise_is_no_answer():
    """Another failure of the whole does not stand for the one that is looked for."""
    problem = Problem(8, {3})
    minimise(problem, problem, signature="x", known=Outcome.bad("y"))

    assert problem.asked[0] == problem.keep(range(8)).digest
