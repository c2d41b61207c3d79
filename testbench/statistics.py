"""The statistics of runs that pass or fail: pure functions, standard library only (DESIGN section 7)."""

from __future__ import annotations

import math
from enum import StrEnum

#: Sequential test: failure rate of a healthy build (false alarms), and the smallest rate worth finding.
HEALTHY_RATE = 0.01
DEFECT_RATE = 0.2
#: Accepted probability of calling a healthy build bad, and of missing a defect of ``DEFECT_RATE``.
ERROR = 0.01
#: A sequential test that has not decided by then is ended.
CAP = 60
#: Runs that a stored failure rate rests on, at least.
RUNS_FOR_RATE = 20
#: Two-sided 95 % of the normal distribution.
Z95 = 1.959963984540054


class Decision(StrEnum):
    """What a sequential test says so far."""

    SHOWN = "shown"
    REJECTED = "rejected"
    UNDECIDED = "undecided"


def sequential_test(
    bad: int,
    good: int,
    *,
    p0: float = HEALTHY_RATE,
    p1: float = DEFECT_RATE,
    alpha: float = ERROR,
    beta: float = ERROR,
) -> Decision:
    """Wald's SPRT on the counts so far: is the failure rate p1 rather than p0?

    With the defaults two failures in a row show a defect, and 22 good runs in a row reject one.
    """
    evidence = bad * math.log(p1 / p0) + good * math.log((1 - p1) / (1 - p0))
    if evidence >= math.log((1 - beta) / alpha):
        return Decision.SHOWN
    if evidence <= math.log(beta / (1 - alpha)):
        return Decision.REJECTED
    return Decision.UNDECIDED


def runs_to_decision(
    bad: int,
    good: int,
    *,
    p0: float = HEALTHY_RATE,
    p1: float = DEFECT_RATE,
    alpha: float = ERROR,
    beta: float = ERROR,
) -> int:
    """The fewest further runs with which ``sequential_test`` can decide; so many may be made at once.

    0 when it has decided.
    """

    def decided(more_bad: int, more_good: int) -> bool:
        counts = (bad + more_bad, good + more_good)
        return sequential_test(*counts, p0=p0, p1=p1, alpha=alpha, beta=beta) is not Decision.UNDECIDED

    runs = 0
    while not decided(runs, 0) and not decided(0, runs):
        runs += 1
    return runs


def wilson_interval(bad: int, runs: int, z: float = Z95) -> tuple[float, float]:
    """The Wilson score interval of a rate (95 % by default); (0, 1) when nothing was run.

    Raises:
        ValueError: more failures than runs, or negative counts.
    """
    if not 0 <= bad <= runs:
        raise ValueError(f"{bad} failures of {runs} runs are not possible counts")
    if runs == 0:
        return 0.0, 1.0
    rate = bad / runs
    centre = (rate + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * math.sqrt(rate * (1 - rate) / runs + z * z / (4 * runs * runs)) / (1 + z * z / runs)
    # The ends are exact at 0 and 1; floating point would leave 1e-17 there.
    low = 0.0 if bad == 0 else max(0.0, centre - half)
    high = 1.0 if bad == runs else min(1.0, centre + half)
    return low, high


def excluded_rate(runs: int, confidence: float = 0.95) -> float:
    """The failure rate that ``runs`` good runs in a row exclude; 1.0 when nothing was run."""
    if runs <= 0:
        return 1.0
    return float(1 - (1 - confidence) ** (1 / runs))


def runs_to_see(rate: float, confidence: float = 0.95) -> int:
    """Runs needed so that a defect of this failure rate shows at least once with ``confidence``.

    At 95 %: .4 needs 6, .2 needs 14, .1 needs 29, .05 needs 59. A rate of 1 needs one.

    Raises:
        ValueError: the rate is not above 0 and at most 1.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"failure rate {rate} must be above 0 and at most 1")
    if rate == 1:
        return 1
    # 1e-9: (1 - .6)^5 must not become 6 runs because of the last binary digit.
    return max(1, math.ceil(math.log(1 - confidence) / math.log(1 - rate) - 1e-9))
