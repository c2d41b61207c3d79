"""The published ways to minimise a list, to compare ours with. Each takes atoms and ``fails``, as ours does.

None of them knows flaky failures: ``fails`` decides how often it tries.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Fails = Callable[[Sequence[int]], bool]
Minimiser = Callable[[Sequence[int], Fails], list[int]]


def ddmin(atoms: Sequence[int], fails: Fails) -> list[int]:
    """Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002: parts, complements."""
    live, parts = list(atoms), 2
    while len(live) >= 2:
        chunks = _chunks(live, parts)
        found = next((chunk for chunk in chunks if fails(chunk)), None)
        if found is not None:
            live, parts = found, 2
            continue
        # With two parts the complements are the parts.
        complements = _complements(chunks) if parts > 2 else iter(())
        found = next((complement for complement in complements if fails(complement)), None)
        if found is not None:
            live, parts = found, max(parts - 1, 2)
        elif parts >= len(live):
            break
        else:
            parts = min(2 * parts, len(live))
    return live


def _chunks(live: list[int], parts: int) -> list[list[int]]:
    cuts = [round(len(live) * part / parts) for part in range(parts + 1)]
    return [live[low:high] for low, high in itertools.pairwise(cuts)]


def _complements(chunks: list[list[int]]) -> Iterator[list[int]]:
    for place in range(len(chunks)):
        yield [atom for other, chunk in enumerate(chunks) if other != place for atom in chunk]


def quickxplain(atoms: Sequence[int], fails: Fails) -> list[int]:
    """Junker, "QUICKXPLAIN", 2004: for failures that need certain elements (monotone)."""

    def explain(background: list[int], is_new: bool, open_: list[int]) -> list[int]:
        if is_new and fails(sorted(background)):
            return []
        if len(open_) == 1:
            return open_
        half = len(open_) // 2
        first, second = open_[:half], open_[half:]
        from_second = explain(background + first, bool(first), second)
        from_first = explain(background + from_second, bool(from_second), first)
        return from_first + from_second

    return [] if not atoms or fails([]) else sorted(explain([], False, list(atoms)))


def prefix_search(atoms: Sequence[int], fails: Fails) -> list[int]:
    """The shortest failing beginning by halving; its last element is needed; again with that one given."""
    needed: list[int] = []
    open_ = list(atoms)
    while not fails(sorted(needed)):
        low, high = 0, len(open_)
        while high - low > 1:
            middle = (low + high) // 2
            if fails(sorted([*open_[:middle], *needed])):
                high = middle
            else:
                low = middle
        needed.append(open_[high - 1])
        open_ = open_[: high - 1]
    return sorted(needed)


def probdd(first: float) -> Minimiser:
    """Wang et al., "Probabilistic Delta Debugging", 2021; ``first`` is every element's first probability."""

    def minimise(atoms: Sequence[int], fails: Fails) -> list[int]:
        chances = dict.fromkeys(atoms, first)
        while True:
            # The least probable ones, as many as promise most: their number times the chance that all can go.
            order = sorted((chance, atom) for atom, chance in chances.items() if chance < 1)
            best, gain, all_free, slice_ = 0.0, 0.0, 1.0, 0
            for number, (chance, _) in enumerate(order, 1):
                all_free *= 1 - chance
                gain = number * all_free
                if gain <= best:
                    break
                best, slice_ = gain, number
            tried = {atom for _, atom in order[:slice_]}
            if not tried:
                return sorted(chances)
            if fails([atom for atom in chances if atom not in tried]):
                chances = {atom: chance for atom, chance in chances.items() if atom not in tried}
                continue
            all_free = math.prod(1 - chances[atom] for atom in tried)
            for atom in tried:
                # One alone that cannot go is needed; rounding must not leave it at .999...
                chances[atom] = 1.0 if len(tried) == 1 else min(1.0, chances[atom] / (1 - all_free))

    return minimise


def cdd(first: float) -> Minimiser:
    """Zhang et al., "Toward a Better Understanding of Probabilistic Delta Debugging", 2025: by a counter."""

    def minimise(atoms: Sequence[int], fails: Fails) -> list[int]:
        live, chance = list(atoms), first
        while True:
            size = min(len(live), max(1, _best_size(chance)))
            place = 0
            while place < len(live):
                without = live[:place] + live[place + size :]
                if fails(without):
                    live = without
                else:
                    place += size
            if size <= 1:
                return live
            chance = min(0.999, chance / (1 - (1 - chance) ** size))

    return minimise


def _best_size(chance: float) -> int:
    """The number s that makes s (1 - p)^s largest."""
    about = -1 / math.log(1 - chance)
    low = max(1, math.floor(about))
    return max(low, low + 1, key=lambda size: size * (1 - chance) ** size)


def picire(atoms: Sequence[int], fails: Fails) -> list[int]:
    """The package picire (a parallel ddmin in use at fuzzers), in its single-process form."""
    from picire.config_splitters import ZellerSplit
    from picire.dd import DD
    from picire.outcome import Outcome

    def test(config: Sequence[int], _identity: object) -> Any:
        return Outcome.FAIL if fails(config) else Outcome.PASS

    found: list[int] = DD(test, split=ZellerSplit())(list(atoms))
    return found


def minimisers() -> dict[str, Minimiser]:
    """All of them by name; picire only where it is installed."""
    found: dict[str, Minimiser] = {
        "ddmin": ddmin,
        "ProbDD p0=.1": probdd(0.1),
        "ProbDD p0=.003": probdd(0.003),
        "CDD p0=.1": cdd(0.1),
        "CDD p0=.003": cdd(0.003),
        "QuickXplain": quickxplain,
        "prefix search": prefix_search,
    }
    if importlib.util.find_spec("picire"):
        found["picire"] = picire
    return found
