"""Where to look next, and how sure we are (DESIGN section 7). Pure: it runs nothing.

A line of candidates 0..n-1 is given; the change came with one of 1..n-1 (0 is before it). Every run is an
observation (candidate, bad or not); from all of them follows how probable each candidate is to be the change.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from testbench import statistics

#: A "certain" failure is not taken for more certain than this: 20 of 20 runs do not exclude 1 in 100.
MOST_CERTAIN = 0.99
#: Below this confidence the answer is a range, not a name.
NAMED = 0.95
#: A flaky search goes on until one candidate (or an inseparable group) is this probable. What follows is the
#: confirmation, whose runs count too: over 200 seeds .995 was right as often and took 5 % more runs, .95 less
#: often.
SETTLED = 0.98
#: So many questions of a round are planned together; the work doubles with each. More benches repeat them.
PLANNED = 6


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
    noise_after, noise_before = _entropy(rates.after), _entropy(rates.before)
    for candidate, chance in enumerate(chances):
        cumulated += chance
        if candidate in allowed:
            # Bits that one run tells about "the change is at or before this candidate".
            bad = cumulated * rates.after + (1 - cumulated) * rates.before
            told = _entropy(bad) - cumulated * noise_after - (1 - cumulated) * noise_before
            if told > most:
                best, most = candidate, told
    return best


def best_questions(chances: Sequence[float], allowed: Collection[int], rates: Rates, count: int) -> list[int]:
    """Up to ``count`` questions whose answers together tell most; the same candidate may be among them twice.

    Each is chosen for what it adds to those before it, whatever they will be answered (greedy, which for
    information is never far from the best set). Empty when no run can tell anything.
    """
    if count == 1:
        best = best_question(chances, allowed, rates)
        return [] if best is None else [best]
    chosen: list[int] = []
    # What may be answered to the chosen ones -> how probable that is together with each candidate.
    answers = [list(chances)]
    while len(chosen) < min(count, PLANNED):
        question = _most_added(answers, allowed, rates)
        if question is None:
            break
        chosen.append(question)
        answers = [part for joint in answers for part in _split(joint, question, rates)]
    return [chosen[place % len(chosen)] for place in range(count)] if chosen else []


def _most_added(answers: Sequence[Sequence[float]], allowed: Collection[int], rates: Rates) -> int | None:
    totals = [sum(joint) for joint in answers]
    cumulated = [list(accumulate(joint)) for joint in answers]
    known = sum(_surprise(total) for total in totals)
    noise_after, noise_before = _entropy(rates.after), _entropy(rates.before)
    best, most = None, 1e-6
    for candidate in range(len(answers[0])):
        if candidate not in allowed:
            continue
        joint, at_or_before = 0.0, 0.0
        for total, sums in zip(totals, cumulated, strict=True):
            after = sums[candidate]
            bad = after * rates.after + (total - after) * rates.before
            joint += _surprise(bad) + _surprise(total - bad)
            at_or_before += after
        told = joint - known - at_or_before * noise_after - (1 - at_or_before) * noise_before
        if told > most:
            best, most = candidate, told
    return best


def _split(joint: Sequence[float], question: int, rates: Rates) -> tuple[list[float], list[float]]:
    """The joint chances with a bad and with a good answer to the question."""
    bad = [
        chance * (rates.after if candidate <= question else rates.before)
        for candidate, chance in enumerate(joint)
    ]
    return bad, [chance - part for chance, part in zip(joint, bad, strict=True)]


def _surprise(chance: float) -> float:
    return -chance * math.log2(chance) if chance > 0 else 0.0


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


def credible(chances: Sequence[float], share: float) -> range:
    """The shortest stretch of candidates that together are at least so probable (``share`` of 1)."""
    best, start, total = range(1, len(chances)), 1, 0.0
    for stop in range(1, len(chances)):
        total += chances[stop]
        while start < stop and total - chances[start] >= share:
            total -= chances[start]
            start += 1
        if total >= share and stop + 1 - start < len(best):
            best = range(start, stop + 1)
    return best


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


def spread(size: int, count: int) -> list[int]:
    """Places 0..size-1: ``count`` that cut the line into equal parts first, then the others middle out."""
    cuts = [round((size + 1) * part / (count + 1)) - 1 for part in range(1, count + 1)]
    first = [place for place in dict.fromkeys(cuts) if 0 <= place < size]
    return [*first, *(place for place in middle_out(-1, size) if place not in first)]
