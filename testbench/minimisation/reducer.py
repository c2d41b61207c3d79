"""Makes a scenario small: whole units first, then elements, layer by layer, to 1-minimal (DESIGN section 7).

An engine over a callable: it plays nothing itself, so it runs on synthetic problems as on real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from testbench import statistics
from testbench.drivers.port import Element, Layer, Reducible, S, Suspecting
from testbench.errors import TestbenchError
from testbench.minimisation import slices
from testbench.outcomes import Kind, Outcome
from testbench.progress import Progress, Step, silent

#: A candidate that fails only sometimes is tried until it would have shown with this confidence.
CONFIDENCE = 0.99
#: The whole scenario is known to fail, so it gets so many times more tries before it is called good.
PATIENCE = 3
#: The bench may fail so often in a row before the work is given up.
INFRA_TRIES = 3


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
            "signature": self.signature,
            "verified": self.verified,
        }


class _Asker(Generic[S]):
    """Turns "does it still fail with these elements?" into runs; never asks the same content twice."""

    def __init__(
        self,
        reducible: Reducible[S],
        test: Callable[[S], Outcome],
        signature: str,
        tries: int,
        progress: Progress,
    ) -> None:
        self.reducible = reducible
        self.test = test
        self.signature = signature
        self.tries = tries
        self.progress = progress
        self.memo: dict[str, bool] = {}
        self.calls = self.runs = self.events = 0
        self.smallest = len(reducible.elements)
        #: The last run that failed with the signature.
        self.shown: Outcome | None = None

    def fails(self, kept: Sequence[int], patience: int = 1) -> bool:
        candidate = self.reducible.keep(kept)
        known = self.memo.get(candidate.digest)
        if known is not None:
            return known
        self.calls += 1
        answer = any(self.run(candidate, len(kept)).is_bad for _ in range(self.tries * patience))
        self.memo[candidate.digest] = answer
        if answer:
            self.smallest = min(self.smallest, len(kept))
        self.progress(
            Step("minimise", f"{self.smallest} of {len(self.reducible.elements)} elements left", self.calls)
        )
        return answer

    def run(self, candidate: S, size: int) -> Outcome:
        for _ in range(INFRA_TRIES):
            self.runs += 1
            self.events += size
            outcome = self.test(candidate).looking_for(self.signature)
            if outcome.is_bad:
                self.shown = outcome
            if outcome.kind is not Kind.INFRA:
                return outcome
        raise TestbenchError(
            f"minimisation stopped: the bench failed {INFRA_TRIES} times in a row "
            f"({outcome.stage}: {outcome.detail}); mend that and start again"
        )


def minimise(
    reducible: Reducible[S],
    test: Callable[[S], Outcome],
    *,
    signature: str,
    rate: float = 1.0,
    verify: Callable[[S], Outcome] | None = None,
    progress: Progress = silent,
) -> Reduced[S]:
    """The fewest elements that still fail with ``signature``; no single one of them can be left out.

    Args:
        reducible: what may be left out.
        test: one run of a candidate.
        signature: the failure; another one does not count as failing.
        rate: how often the whole scenario fails (above 0, at most 1); decides how often a candidate is tried.
        verify: one run on a fresh bench for the last check; ``test`` when not given.
        progress: told after each question.

    Raises:
        TestbenchError: the whole scenario does not fail like that, or the bench keeps failing.
        ValueError: the rate is not above 0 and at most 1.
    """
    elements = reducible.elements
    tries = statistics.runs_to_see(rate, CONFIDENCE)
    asker = _Asker(reducible, test, signature, tries, progress)
    everything = list(range(len(elements)))
    if not asker.fails(everything, PATIENCE):
        raise TestbenchError(
            f"nothing to minimise: it did not fail with {signature!r} in {asker.runs} run(s) of the whole; "
            "run it again for a verdict (testbench run) and give its rate"
        )
    kept = _suspected(reducible, asker) or everything
    for layer in Layer:
        for depth in range(_depth(elements, layer)):
            kept = _drop_units(elements, kept, layer, depth, asker.fails)
        own = [index for index in kept if elements[index].layer is layer]
        kept = _drop(kept, own, asker.fails)
    kept = slices.one_minimal(kept, asker.fails)
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
        verified=_verify(result, verify or test, signature, tries * PATIENCE, certain=rate == 1),
    )


def _suspected(reducible: Reducible[S], asker: _Asker[S]) -> list[int] | None:
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
    elements: Sequence[Element], kept: Sequence[int], layer: Layer, depth: int, fails: slices.Fails
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

    chosen = slices.reduce(range(len(members)), lambda units_: fails(kept_with(units_)))
    return kept_with(chosen)


def _drop(kept: Sequence[int], own: Sequence[int], fails: slices.Fails) -> list[int]:
    """Leave out single elements of ``own``; the others of ``kept`` stay."""
    others = set(kept) - set(own)
    chosen = slices.reduce(own, lambda atoms: fails(sorted(others | set(atoms))))
    return sorted(others | set(chosen))


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
