"""Synthetic failures for the minimisers: which elements they need, and in what company."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from testbench.drivers.port import Element
from testbench.outcomes import Outcome

FAILURE, OTHER_FAILURE = "wrong total", "crash"


@dataclass(frozen=True)
class Kept:
    """A candidate: nothing but the numbers of its elements."""

    kept: tuple[int, ...]
    name: str = "synthetic"

    @property
    def size(self) -> int:
        return len(self.kept)

    @property
    def digest(self) -> str:
        return repr(self.kept)


@dataclass(kw_only=True)
class Problem:
    """A failure that shows while ``shows`` holds for the kept elements; with ``rate`` and false alarms."""

    elements: Sequence[Element]
    shows: Callable[[set[int]], bool]
    #: Elements of the smallest result.
    smallest: int
    #: Whether another failure hides it.
    hides: Callable[[set[int]], bool] = lambda kept: False
    rate: float = 1.0
    alarms: float = 0.0
    seed: int = 0
    runs: int = 0
    events: int = 0
    _dice: random.Random = field(init=False)
    _last: Kept | None = None
    _state: tuple[bool, bool] = (False, False)

    def __post_init__(self) -> None:
        self._dice = random.Random(f"runs {self.seed}")

    def keep(self, indices: Sequence[int]) -> Kept:
        return Kept(tuple(indices))

    def truth(self, kept: Sequence[int]) -> bool:
        """Whether it can fail like that at all."""
        chosen = set(kept)
        return self.shows(chosen) and not self.hides(chosen)

    def play(self, candidate: Kept) -> Outcome:
        """One run."""
        self.runs += 1
        self.events += candidate.size
        if candidate is not self._last:
            # A flaky candidate is played many times; what it holds stays the same.
            self._last, kept = candidate, set(candidate.kept)
            self._state = (self.hides(kept), self.shows(kept))
        hidden, shown = self._state
        if hidden:
            return Outcome.bad(OTHER_FAILURE)
        chance = self.rate if shown else self.alarms
        return Outcome.bad(FAILURE) if self._dice.random() < chance else Outcome.good()

    def is_right(self, kept: Sequence[int]) -> bool:
        """It fails, and loses that with any one element."""
        return self.truth(kept) and not any(self.truth([k for k in kept if k != gone]) for gone in kept)


def plain(count: int) -> list[Element]:
    """Elements of no unit."""
    return [Element(str(number), "") for number in range(count)]


def scattered(size: int, needed: int, seed: int, *, rate: float = 1.0, alarms: float = 0.0) -> Problem:
    """So many needed, anywhere."""
    wanted = set(random.Random(seed).sample(range(size), needed))
    return Problem(
        elements=plain(size), shows=wanted.issubset, smallest=needed, rate=rate, alarms=alarms, seed=seed
    )


def clustered(seed: int) -> Problem:
    """10 needed in two places of 1,000."""
    chance = random.Random(seed)
    first, second = sorted(chance.sample(range(100), 2))
    wanted = {10 * place + number for place in (first, second) for number in range(5)}
    return Problem(elements=plain(1000), shows=wanted.issubset, smallest=10, seed=seed)


def either(seed: int) -> Problem:
    """One certain element, and one of two others."""
    needed, one, other = random.Random(seed).sample(range(1000), 3)
    return Problem(
        elements=plain(1000),
        shows=lambda kept: needed in kept and (one in kept or other in kept),
        smallest=2,
        seed=seed,
    )


def ordered(seed: int) -> Problem:
    """Any one of 20 after any one of 20 others, as a sale after a price change."""
    chosen = random.Random(seed).sample(range(1000), 40)
    causes, effects = chosen[:20], chosen[20:]

    def shows(kept: set[int]) -> bool:
        first = min((cause for cause in causes if cause in kept), default=1000)
        return any(effect > first for effect in effects if effect in kept)

    return Problem(elements=plain(1000), shows=shows, smallest=2, seed=seed)


def nested(seed: int) -> Problem:
    """20 shifts of 50 receipts of 4 events, and 300 goods: 3 events of two receipts and a good are needed."""
    chance = random.Random(seed)
    elements = [Element("event", f"shift:{n // 200}/receipt:{n // 4}") for n in range(4000)]
    first, second = chance.sample(range(1000), 2)
    wanted = {4 * first, 4 * first + chance.randrange(1, 4), 4 * second + chance.randrange(4)}
    return Problem(elements=elements, shows=wanted.issubset, smallest=3, seed=seed)


def propped(seed: int) -> Problem:
    """3 needed of 1,000; 50 others crash the program when the element that they rest on is left out."""
    chance = random.Random(seed)
    wanted = set(chance.sample(range(1000), 3))
    rests = [tuple(sorted(chance.sample(range(1000), 2))) for _ in range(50)]

    def hides(kept: set[int]) -> bool:
        return any(upper in kept and lower not in kept for lower, upper in rests)

    needed = set(wanted)
    while more := {lower for lower, upper in rests if upper in needed} - needed:
        needed |= more
    return Problem(elements=plain(1000), shows=wanted.issubset, hides=hides, smallest=len(needed), seed=seed)


def dependent() -> Iterator[tuple[str, Callable[[int], Problem]]]:
    """Failures that are not simply "these elements", by name."""
    yield "10 needed in two clusters", clustered
    yield "one, and one of two others", either
    yield "any of 20 after any of 20", ordered
    yield "3 in 2 of 1,000 receipts", nested
    yield "3, and 50 props that crash", propped
