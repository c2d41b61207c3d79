"""The figures that every verdict rests on."""

import pytest

from testbench.statistics import (
    Decision,
    excluded_rate,
    runs_to_decision,
    runs_to_see,
    sequential_test,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("rate", "runs"),
    [(0.4, 6), (0.2, 14), (0.1, 29), (0.05, 59), (1.0, 1), (0.99, 1), (0.95, 1), (0.94, 2)],
)
def test_runs_to_see_is_the_table_of_the_design(rate, runs):
    """n(p) for 95 % is what DESIGN section 7 tabulates."""
    assert runs_to_see(rate) == runs


@pytest.mark.parametrize("rate", [0, -0.1, 1.01])
def test_runs_to_see_refuses_impossible_rates(rate):
    """A rate that no defect can have is an error, not a number of runs."""
    with pytest.raises(ValueError, match="failure rate"):
        runs_to_see(rate)


@pytest.mark.parametrize(
    ("bad", "good", "decision"),
    [
        (1, 0, Decision.UNDECIDED),
        (2, 0, Decision.SHOWN),
        (0, 21, Decision.UNDECIDED),
        (0, 22, Decision.REJECTED),
        (1, 22, Decision.UNDECIDED),
        (2, 6, Decision.SHOWN),
        (2, 7, Decision.UNDECIDED),
    ],
)
def test_sequential_test_decides_when_the_design_says(bad, good, decision):
    """Two failures in a row show a defect, 22 good runs reject one."""
    assert sequential_test(bad, good) is decision


@pytest.mark.parametrize(
    ("bad", "good", "runs"), [(0, 0, 2), (1, 0, 1), (2, 0, 0), (0, 21, 1), (0, 10, 3), (0, 22, 0)]
)
def test_so_many_runs_may_be_made_at_once(bad, good, runs):
    """Fewer than this cannot decide, whatever they show."""
    assert runs_to_decision(bad, good) == runs


@pytest.mark.parametrize(
    ("bad", "runs", "low", "high"),
    # From the closed formula, computed by hand for z = 1.96.
    [(20, 20, 0.8389, 1.0), (0, 22, 0.0, 0.1487), (7, 20, 0.1812, 0.5671), (0, 0, 0.0, 1.0)],
)
def test_wilson_interval(bad, runs, low, high):
    """The interval is Wilson's: never outside of 0..1, and not a point where all runs agree."""
    assert wilson_interval(bad, runs) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_refuses_impossible_counts():
    """More failures than runs is a mistake of the caller."""
    with pytest.raises(ValueError, match="not possible"):
        wilson_interval(3, 2)


def test_excluded_rate_is_the_inverse_of_runs_to_see():
    """22 clean runs exclude 12.7 %; nothing run excludes nothing."""
    assert excluded_rate(22) == pytest.approx(0.1273, abs=1e-4)
    assert runs_to_see(excluded_rate(22)) == 22
    assert excluded_rate(0) == 1.0
