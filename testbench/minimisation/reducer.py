"""Makes a scenario small: whole units first, then elements, layer by layer, to 1-minimal (DESIGN section 7).

An engine over a callable: it plays nothing itself, so it runs on synthetic problems as on real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic

from testbench.drivers.port import Element, Layer, Reducible, S, Suspecting
from testbench.errors import TestbenchError
from testbench.minimisation import ahead, slices
from testbench.minimisation.asking import Asker, RefutedError, TestAll
from testbench.outcomes import Outcome
from testbench.progress import Progress, silent

#: The whole scenario is known to fail, so it gets so many times more tries before it is called good.
PATIENCE = 3


@dataclass(frozen=True, kw_only=True)
class Reduced(Generic[S]):
    """A minimised scenario and what it cost."""

    scenario: S
    #: Indices into the original's elements.
    kept: tuple[int, ...]
    #: Elements before and after, in all and by layer.
    before: int
    after: int
    layers: dict[str, tuple[int, int]]
    signature: str
    #: Questions asked (a memo answers repeated ones), runs that they took, elements replayed in these runs.
    oracle_calls: int
    runs: int
    events_replayed: int
    #: How often the search had to wait: for one run, or for several at once.
    rounds: int
    #: Whether the result showed the failure again at the end, outside of the search.
    verified: bool

    def as_json(self) -> dict[str, Any]:
        """The fields that ``testbench minimise --json`` promises."""
        return {
            "before": self.before,
            "after": self.after,
            "layers": {name: list(counts) for name, counts in self.layers.items()},
            "oracle_calls": self.oracle_calls,
            "runs": self.runs,
            "events_replayed": self.events_replayed,
            "rounds": self.rounds,
            "signature": self.signature,
            "verified": self.verified,
        }


def minimise(
    reducible: Reducible[S],
    test: Callable[[S], Outcome],
    *,
    signature: str,
    rate: float = 1.0,
    verify: Callable[[S], Outcome] | None = None,
    progress: Progress = silent,
    benches: int = 1,
    test_all: TestAll[S] | None = None,
    known: Outcome | None = None,
) -> Reduced[S]:
    """The fewest elements that still fail with ``signature``; no single one of them can be left out.

    Args:
        reducible: what may be left out.
        test: one run of a candidate.
        signature: the failure; another one does not count as failing.
        rate: how often the whole scenario fails (above 0, at most 1); decides how often a candidate is tried.
        verify: one run on a fresh bench for the last check; ``test`` when not given.
        progress: told after each question.
        benches: how many runs may go on at once. A certain failure's next questions are then guessed and
            asked ahead; a flaky one's tries are made together.
        test_all: makes several runs at once, one for each candidate; without it there is one bench.
        known: a run of the whole that failed with the signature; without it the whole is played first.

    Raises:
        TestbenchError: the whole scenario does not fail like that, or the bench keeps failing.
        ValueError: the rate is not above 0 and at most 1, or benches is below 1.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"failure rate {rate} must be above 0 and at most 1")
    if benches < 1:
        raise ValueError(f"benches must be 1 or more, not {benches}")
    elements = reducible.elements
    asker = Asker(reducible, test, signature, rate, benches=benches, test_all=test_all, progress=progress)
    if not asker.whole_fails(PATIENCE, known):
        raise TestbenchError(
            f"nothing to minimise: it did not fail with {signature!r} in {asker.runs} run(s) of the whole; "
            "run it again for a verdict (testbench run) and give its rate"
        )
    while True:
        try:
            kept = _searched(reducible, asker)
            asker.prove()
            break
        except RefutedError:
            continue
    result = reducible.keep(kept)
    return Reduced(
        scenario=result,
        kept=tuple(kept),
        before=len(elements),
        after=len(kept),
        layers=_layers(elements, kept),
        signature=signature,
        oracle_calls=asker.calls,
        runs=asker.runs,
        events_replayed=asker.events,
        rounds=asker.rounds,
        verified=_verify(result, verify or test, signature, asker.tries * PATIENCE, certain=asker.certain),
    )


def _searched(reducible: Reducible[S], asker: Asker[S]) -> list[int]:
    elements = reducible.elements
    kept = _suspected(reducible, asker) or list(range(len(elements)))
    for layer in Layer:
        for depth in range(_depth(elements, layer)):
            kept = _drop_units(elements, kept, layer, depth, asker)
        own = [index for index in kept if elements[index].layer is layer]
        kept = _drop(kept, own, asker)
    return _asked(partial(slices.one_minimal, kept), list, asker)


def _asked(
    search: ahead.Search, kept_with: Callable[[Sequence[int]], list[int]], asker: Asker[S]
) -> list[int]:
    """The result of a search over atoms; ``kept_with`` gives the elements that stay with some of them."""
    if asker.certain and asker.width > 1:
        return ahead.run(
            search, lambda questions: asker.all_fail([kept_with(q) for q in questions]), asker.width
        )
    return search(lambda atoms: asker.fails(kept_with(atoms)))


def _suspected(reducible: Reducible[S], asker: Asker[S]) -> list[int] | None:
    """The first guess from the whole's own failure that fails too; None when there is none.

    The price of a question is what is replayed, and the first halvings of a day replay the most.
    """
    if not isinstance(reducible, Suspecting) or asker.shown is None:
        return None
    guesses = (list(guess) for guess in reducible.suspected(asker.shown))
    return next((guess for guess in guesses if asker.fails(guess)), None)


def _depth(elements: Sequence[Element], layer: Layer) -> int:
    """How deep units are nested ("shift:1/receipt:4" is 2)."""
    return max((e.unit.count("/") + 1 for e in elements if e.layer is layer and e.unit), default=0)


def _drop_units(
    elements: Sequence[Element], kept: Sequence[int], layer: Layer, depth: int, asker: Asker[S]
) -> list[int]:
    """Leave out whole units of one nesting depth."""
    units: dict[str, list[int]] = {}
    for index in kept:
        element = elements[index]
        if element.layer is layer and element.unit:
            name = "/".join(element.unit.split("/")[: depth + 1])
            units.setdefault(name, []).append(index)
    members = list(units.values())
    # Units of one element each are what the next stage tries anyway.
    if len(members) < 2 or all(len(unit) == 1 for unit in members):
        return list(kept)
    others = set(kept) - {index for unit in members for index in unit}

    def kept_with(chosen: Sequence[int]) -> list[int]:
        return sorted(others | {index for unit in chosen for index in members[unit]})

    return kept_with(_asked(partial(slices.reduce, range(len(members))), kept_with, asker))


def _drop(kept: Sequence[int], own: Sequence[int], asker: Asker[S]) -> list[int]:
    """Leave out single elements of ``own``; the others of ``kept`` stay."""
    others = set(kept) - set(own)

    def kept_with(atoms: Sequence[int]) -> list[int]:
        return sorted(others | set(atoms))

    return kept_with(_asked(partial(slices.reduce, own), kept_with, asker))


def _layers(elements: Sequence[Element], kept: Sequence[int]) -> dict[str, tuple[int, int]]:
    counts = {}
    for layer in Layer:
        before = sum(element.layer is layer for element in elements)
        if before:
            counts[layer.name.lower()] = (before, sum(elements[index].layer is layer for index in kept))
    return counts


def _verify(scenario: S, test: Callable[[S], Outcome], signature: str, tries: int, *, certain: bool) -> bool:
    """Once more, from nothing: a certain failure must show twice in a row, another one within its tries."""
    shown = (test(scenario).looking_for(signature).is_bad for _ in range(2 if certain else tries))
    return all(shown) if certain else any(shown)
