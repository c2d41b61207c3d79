"""The two-sided rule for fixes."""

import itertools

import pytest

from testbench.outcomes import Outcome
from testbench.verification import FixWord, verify

BAD, GOOD = Outcome.bad("x"), Outcome.good()


def side(*outcomes):
    cycle = itertools.cycle(outcomes)
    return lambda runs: [next(cycle) for _ in range(runs)]


@pytest.mark.parametrize(
    ("old", "new", "rate", "word", "new_runs"),
    [
        (side(BAD), side(GOOD), 1.0, FixWord.FIXED, 2),
        (side(GOOD, BAD), side(GOOD), 0.4, FixWord.FIXED, 6),
        (side(GOOD, BAD), side(GOOD), 0.05, FixWord.FIXED, 59),
        (side(BAD), side(GOOD, BAD), 0.4, FixWord.NOT_FIXED, 2),
        (side(GOOD), side(GOOD), 0.4, FixWord.INCONCLUSIVE, 6),
        (side(BAD), side(Outcome.bad("y")), 1.0, FixWord.INCONCLUSIVE, 0),
        (side(BAD), side(Outcome.untestable("build")), 1.0, FixWord.INCONCLUSIVE, 0),
        (side(BAD), side(Outcome.infra("play")), 1.0, FixWord.INCONCLUSIVE, 0),
        (side(Outcome.infra("play")), side(GOOD), 1.0, FixWord.INCONCLUSIVE, 2),
    ],
)
def test_fixed_needs_a_clean_new_build_and_an_old_one_that_still_fails(old, new, rate, word, new_runs):
    """n(p) clean runs by DESIGN's table AND the old build's failure in this session; else inconclusive."""
    result = verify(old, new, signature="x", rate=rate)

    assert (result.word, result.new_runs) == (word, new_runs)
