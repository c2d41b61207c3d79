"""Where to look next, and how sure we are (DESIGN section 7). Pure: it runs nothing.

A line of candidates 0..n-1 is given; the change came with one of 1..n-1 (0 is before it). Every run is an
observation (candidate, bad or not); from all of them follows how probable each candidate is to be the change.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from testbench import statistics

#: A "certain" failure is not taken for more certain than this: 20 of 20 runs do not exclude 1 in 100.
MOST_CERTAIN = 0.99
#: Below this confidence the answer is a range, not a name.
NAMED = 0.95
#: A flaky search goes on until one candidate (or an inseparable group) is this probable.
SETTLED = 0.995


@dataclass(frozen=True)
class Rates:
    """How often a run fails before the change and from it on."""

    before: float
    after: float

    @classmethod
    def of(cls, rate: float, *, fixed: bool) -> Rates:
        """For a defect of this failure rate: it appears with the change, or (``fixed``) disappears."""
        rate = min(max(rate, 0.02), MOST_CERTAIN)
        healthy = statistics.HEALTHY_RATE
        return cls(rate, healthy) if fixed else cls(healthy, rate)


@dataclass(frozen=True)
class Observation:
    """One run of one candidate that told something."""

    candidate: int
    bad: bool


def posterior(size: int, observations: Iterable[Observation], rates: Rates) -> list[float]:
    """Probability of each candidate to be the change; entry 0 is 0 (candidate 0 is before it)."""
    # weight[c] is moved by every run: runs below c are "before" for it, runs at or above c "after".
    steps = [0.0] * (size + 1)
    base = 0.0
    for observation in observations:
        after = math.log(rates.after if observation.bad else 1 - rates.after)
        before = math.log(rates.before if observation.bad else 1 - rates.before)
        base += after
        steps[observation.candidate + 1] += before - after
    logs, current = [-math.inf] * size, base
    for candidate in range(size):
        current += steps[candidate]
        if candidate:
            logs[candidate] = current
    highest = max(logs[1:])
    weights = [math.exp(value - highest) if value > -math.inf else 0.0 for value in logs]
    total = sum(weights)
    return [weight / total for weight in weights]


def best_question(chances: Sequence[float], allowed: Collection[int], rates: Rates) -> int | None:
    """The allowed candidate whose next run tells most; None when no run can tell anything."""
    best, most, cumulated = None, 1e-6, 0.0
    for candidate, chance in enumerate(chances):
        cumulated += chance
        if candidate in allowed:
            told = _information(cumulated, rates)
            if told > most:
                best, most = candidate, told
    return best


def _information(after: float, rates: Rates) -> float:
    """Bits that one run tells about "the change is at or before this candidate", of probability ``after``."""
    bad = after * rates.after + (1 - after) * rates.before
    return _entropy(bad) - after * _entropy(rates.after) - (1 - after) * _entropy(rates.before)


def _entropy(chance: float) -> float:
    if chance <= 0 or chance >= 1:
        return 0.0
    return -chance * math.log2(chance) - (1 - chance) * math.log2(1 - chance)


def groups(size: int, allowed: Collection[int]) -> list[range]:
    """Candidates that no allowed run can tell apart; each group ends at an allowed one (or at the end)."""
    result, start = [], 1
    for candidate in range(1, size):
        if candidate in allowed or candidate == size - 1:
            result.append(range(start, candidate + 1))
            start = candidate + 1
    return result


def likeliest_group(chances: Sequence[float], allowed: Collection[int]) -> tuple[range, float]:
    """The group with the highest probability, and that probability."""
    found = groups(len(chances), allowed)
    sums = [sum(chances[group.start : group.stop]) for group in found]
    best = max(range(len(found)), key=sums.__getitem__)
    return found[best], sums[best]


def middle_out(low: int, high: int) -> Iterable[int]:
    """All candidates strictly between, the middle first, then spread: a broken stretch is left at once.

    The order is that of the van der Corput sequence (1/2, 1/4, 3/4, 1/8, ...).
    """
    seen: set[int] = set()
    width, turn = high - low, 1
    while len(seen) < width - 1:
        part, scale, digits = 0.0, 0.5, turn
        while digits:
            part, scale, digits = part + scale * (digits & 1), scale / 2, digits >> 1
        candidate = low + max(1, min(width - 1, round(part * width)))
        turn += 1
        if candidate not in seen:
            seen.add(candidate)
            yield candidate
