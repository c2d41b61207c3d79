"""Verdicts on synthetic runs."""

import itertools
import random

import pytest

from testbench.outcomes import Outcome
from testbench.verdicts.judge import judge
from testbench.verdicts.rules import Word

BAD, GOOD = Outcome.bad("sum"), Outcome.good()


def script(*outcomes):
    """A test that gives these outcomes, over and over."""
    cycle = itertools.cycle(outcomes)
    return lambda _attempt: next(cycle)


@pytest.mark.parametrize(
    ("outcomes", "word", "runs", "bad"),
    [
        ((BAD,), Word.REPRODUCED, 20, 20),
        ((GOOD,), Word.NOT_REPRODUCED, 22, 0),
        ((BAD, GOOD), Word.FLAKY, 20, 10),
        ((Outcome.infra("start"), BAD), Word.REPRODUCED, 2, 2),
        ((Outcome.infra("start", "disk"),), Word.CANNOT_RUN, 0, 0),
        ((Outcome.untestable("build", "broken"),), Word.CANNOT_RUN, 0, 0),
        ((GOOD, Outcome.infra("start")), Word.INCONCLUSIVE, 3, 0),
    ],
)
def test_verdict_word_and_counts(outcomes, word, runs, bad):
    """Certain: 20 runs; absent: 22; infra and untestable never count as good."""
    verdict = judge(script(*outcomes))

    assert (verdict.word, verdict.runs, verdict.bad) == (word, runs, bad)


def test_not_reproduced_says_what_the_runs_exclude():
    """22 good runs exclude 12.8 % (rounded up), and the verdict says so."""
    assert "12.8 %" in judge(script(GOOD)).reason


def test_untestable_build_is_asked_once():
    """A build that cannot be tested stays so; asking again would only cost."""
    verdict = judge(script(Outcome.untestable("build", "no compiler")))

    assert len(verdict.outcomes) == 1
    assert "no compiler" in verdict.reason


def test_majority_signature_counts():
    """Without a wanted signature the most frequent one is the defect; the others are no runs of it."""
    verdict = judge(script(BAD, BAD, Outcome.bad("crash")))

    assert (verdict.signature, verdict.runs, verdict.bad) == ("sum", 20, 20)
    assert verdict.word is Word.FLAKY  # the scenario does not always show it


def test_only_other_failures_are_inconclusive():
    """A scenario that only fails in another way does not say that the defect is absent."""
    verdict = judge(script(Outcome.bad("crash")), signature="sum")

    assert verdict.word is Word.INCONCLUSIVE
    assert len(verdict.outcomes) == 60


@pytest.mark.parametrize(
    ("runs", "outcomes", "word"),
    [(3, (GOOD,), Word.NOT_REPRODUCED), (1, (BAD,), Word.REPRODUCED), (5, (GOOD, BAD), Word.FLAKY)],
)
def test_fixed_number_of_runs(runs, outcomes, word):
    """--runs N means N runs, and the verdict on these."""
    verdict = judge(script(*outcomes), runs=runs)

    assert (len(verdict.outcomes), verdict.word) == (runs, word)


def test_rare_failure_is_inconclusive_not_absent():
    """One failure in many runs is neither shown nor excluded."""
    verdict = judge(script(*[GOOD] * 59, BAD), runs=None, signature="sum")
    seen_late = judge(script(*[GOOD] * 15, BAD, *[GOOD] * 200))

    assert verdict.word is Word.NOT_REPRODUCED  # the failure would have come after the 22nd run
    assert seen_late.word is Word.INCONCLUSIVE
    assert "1 of" in seen_late.reason


def test_zero_runs_are_refused():
    """A verdict on nothing is not given."""
    with pytest.raises(ValueError, match="1 or more"):
        judge(script(GOOD), runs=0)


@pytest.mark.parametrize("benches", [2, 3, 5])
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_several_benches_change_no_verdict(benches, rate):
    """K runs at once: the verdict of the same runs one by one, with at most K - 1 runs more."""
    dice = random.Random(7)
    outcomes = [Outcome.bad("x") if dice.random() < rate else Outcome.good() for _ in range(200)]
    made, widths = [], []

    def together(attempts):
        widths.append(len(attempts))
        return [ask(attempt) for attempt in attempts]

    def ask(attempt):
        made.append(attempt)
        return outcomes[attempt]

    alone = judge(outcomes.__getitem__)
    verdict = judge(ask, benches=benches, test_all=together)

    assert verdict == alone
    assert made == list(range(len(made)))
    assert len(made) <= len(alone.outcomes) + benches - 1
    assert max(widths) == benches
    made.clear()
    assert len(judge(ask, runs=7, benches=benches, test_all=together).outcomes) == 7 == len(made)
