"""Turns "does it still fail with these elements?" into runs: a memo, tries, several benches, second thoughts.

A candidate of a flaky failure is tried until it fails once or has had its tries, which is cheap but easily
fooled: among 21 tries of a candidate that no longer fails a false alarm is not rare, and what is built on it
has lost an element that is needed. So an answer "fails" stands on trial until a candidate made from it has
been seen to fail often enough. The trial is held when the search first meets a "no": a run of "yes" proves
itself. An answer that does not stand it is corrected, and the search begins again, all else being known.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Generic

from testbench import statistics
from testbench.drivers.port import Reducible, S
from testbench.errors import TestbenchError
from testbench.outcomes import Kind, Outcome
from testbench.progress import Progress, Step, silent
from testbench.statistics import Decision

#: A candidate that fails only sometimes is tried until it would have shown with this confidence.
CONFIDENCE = 0.99
#: Accepted probability that a candidate which does not fail stands its trial. There are dozens of trials.
DOUBT = 0.0003
#: A trial that has not decided by then is lost.
MOST_RUNS = 200
#: A failure is never taken for rarer or more certain than this: a false alarm would weigh as much.
RAREST, MOST_CERTAIN = 0.02, 0.99
#: The bench may fail so often in a row before the work is given up.
INFRA_TRIES = 3

Test = Callable[[S], Outcome]
#: Several runs at once; outcomes in the order of the candidates, which may be there several times.
TestAll = Callable[[Sequence[S]], Sequence[Outcome]]


class RefutedError(Exception):
    """A candidate that was taken for failing does not fail; ask everything again (the memo answers)."""


@dataclass
class _Seen:
    """What the runs of one content have shown."""

    fails: bool | None = None
    bad: int = 0
    good: int = 0


class Asker(Generic[S]):
    """Answers the search, and counts what that costs.

    Args:
        reducible: makes candidates from indices.
        test: one run of a candidate.
        signature: the failure looked for.
        rate: how often the whole fails (above 0, at most 1).
        benches: how many runs may go on at once, with ``test_all``.
    """

    def __init__(
        self,
        reducible: Reducible[S],
        test: Test[S],
        signature: str,
        rate: float,
        *,
        benches: int = 1,
        test_all: TestAll[S] | None = None,
        progress: Progress = silent,
    ) -> None:
        self._reducible, self._test, self._test_all = reducible, test, test_all
        self._signature, self._progress = signature, progress
        self.certain = rate == 1
        self._rate = min(max(rate, RAREST), MOST_CERTAIN)
        self.tries = 1 if self.certain else statistics.runs_to_see(self._rate, CONFIDENCE)
        self.width = benches if test_all is not None else 1
        #: Questions that took a run, runs, elements replayed in them, and how often the search had to wait.
        self.calls = self.runs = self.events = self.rounds = 0
        #: The first run that failed with the signature: one of the whole.
        self.shown: Outcome | None = None
        self._smallest = len(reducible.elements)
        self._digests: dict[bytes, str] = {}
        self._seen: dict[str, _Seen] = {}
        #: Content and indices of answers "fails" not proved yet; each was made from the one before.
        self._on_trial: dict[str, tuple[int, ...]] = {}
        self._proved: set[str] = set()

    def whole_fails(self, patience: int, known: Outcome | None = None) -> bool:
        """Whether everything together fails; it is known to, so it gets ``patience`` times the tries.

        A run of it that is ``known`` to have failed is taken for the answer: the whole is the dearest of all.
        """
        everything = range(len(self._reducible.elements))
        if known is not None and known.looking_for(self._signature).is_bad:
            digest, _ = self._look_up(everything)
            self._seen[digest] = _Seen(True, bad=1)
            self._proved.add(digest)
            self.shown = known
            return True
        answer = self._answer(everything, self.tries * patience)
        self._proved.update(self._seen)
        return answer

    def fails(self, kept: Sequence[int]) -> bool:
        """Whether it still fails with only these elements.

        Raises:
            RefutedError: an earlier answer was wrong.
            TestbenchError: the bench keeps failing.
        """
        was_asked = self.calls
        answer = self._answer(kept, self.tries)
        digest = self._digests[_key(kept)]
        if answer and not self.certain and digest not in self._proved:
            self._on_trial[digest] = tuple(kept)
        elif not answer and self.calls > was_asked:
            self.prove()
        return answer

    def all_fail(self, questions: Sequence[Sequence[int]]) -> list[bool]:
        """``fails`` of several at once, one run each; for a certain failure only."""
        fresh: dict[str, tuple[S, int]] = {}
        for kept in questions:
            digest, candidate = self._look_up(kept)
            if digest not in self._seen and digest not in fresh:
                fresh[digest] = (candidate or self._reducible.keep(kept), len(kept))
        self.calls += len(fresh)
        outcomes = self._runs(list(fresh.values())) if fresh else []
        for (digest, (_, size)), outcome in zip(fresh.items(), outcomes, strict=True):
            self._seen[digest] = _Seen(outcome.is_bad)
            self._tell(outcome.is_bad, size)
        return [self._seen[self._digests[_key(kept)]].fails is True for kept in questions]

    def prove(self) -> None:
        """Hold the trial of the last answer "fails", if it is open; what it was made from is proved with it.

        Raises:
            RefutedError: it does not fail, or much more rarely than the whole.
        """
        if not self._on_trial:
            return
        digest, kept = next(reversed(self._on_trial.items()))
        seen, candidate = self._seen[digest], self._reducible.keep(kept)
        while (decision := self._decision(seen)) is Decision.UNDECIDED and seen.bad + seen.good < MOST_RUNS:
            least = statistics.runs_to_decision(seen.bad, seen.good, p1=self._rate, alpha=DOUBT)
            self._try(candidate, len(kept), seen, least)
        if decision is Decision.SHOWN:
            self._proved.update(self._on_trial)
            self._on_trial.clear()
        else:
            seen.fails = False
            self._on_trial.clear()
            raise RefutedError

    def _decision(self, seen: _Seen) -> Decision:
        return statistics.sequential_test(seen.bad, seen.good, p1=self._rate, alpha=DOUBT)

    def _look_up(self, kept: Sequence[int]) -> tuple[str, S | None]:
        """The content's digest; making a candidate of thousands of elements takes time, so only once."""
        key = _key(kept)
        digest = self._digests.get(key)
        if digest is not None:
            return digest, None
        candidate = self._reducible.keep(kept)
        self._digests[key] = candidate.digest
        return candidate.digest, candidate

    def _answer(self, kept: Sequence[int], tries: int) -> bool:
        digest, candidate = self._look_up(kept)
        seen = self._seen.setdefault(digest, _Seen())
        if seen.fails is None:
            self.calls += 1
            candidate = candidate or self._reducible.keep(kept)
            left = tries
            while left and not seen.bad:
                made = min(left, self.width)
                # What cannot be tested once cannot be tested at all.
                left = left - made if self._try(candidate, len(kept), seen, made) else 0
            seen.fails = seen.bad > 0
            self._tell(seen.fails, len(kept))
        return seen.fails

    def _try(self, candidate: S, size: int, seen: _Seen, runs: int) -> bool:
        """At most ``runs`` runs, ``width`` at most; False when it cannot be tested."""
        outcomes = self._runs([(candidate, size)] * min(runs, self.width))
        seen.bad += sum(outcome.is_bad for outcome in outcomes)
        seen.good += sum(not outcome.is_bad for outcome in outcomes)
        return all(outcome.kind is not Kind.UNTESTABLE for outcome in outcomes)

    def _runs(self, candidates: Sequence[tuple[S, int]]) -> list[Outcome]:
        """One run of each (candidate, size); what the bench itself spoiled is played again."""
        outcomes: dict[int, Outcome] = {}
        for _ in range(INFRA_TRIES):
            open_ = [place for place in range(len(candidates)) if place not in outcomes]
            if not open_:
                break
            self.rounds += 1
            self.runs += len(open_)
            self.events += sum(candidates[place][1] for place in open_)
            for place, outcome in zip(open_, self._round([candidates[p][0] for p in open_]), strict=True):
                if outcome.kind is Kind.INFRA:
                    failed = outcome
                else:
                    outcomes[place] = outcome.looking_for(self._signature)
                    if self.shown is None and outcomes[place].is_bad:
                        self.shown = outcomes[place]
        if len(outcomes) < len(candidates):
            raise TestbenchError(
                f"minimisation stopped: the bench failed {INFRA_TRIES} times in a row "
                f"({failed.stage}: {failed.detail}); mend that and start again"
            )
        return [outcomes[place] for place in range(len(candidates))]

    def _round(self, candidates: Sequence[S]) -> Sequence[Outcome]:
        if self._test_all is None or len(candidates) == 1:
            return [self._test(candidate) for candidate in candidates]
        return self._test_all(candidates)

    def _tell(self, failed: bool, size: int) -> None:
        if failed:
            self._smallest = min(self._smallest, size)
        whole = len(self._reducible.elements)
        self._progress(Step("minimise", f"{self._smallest} of {whole} elements left", self.calls))


def _key(kept: Sequence[int]) -> bytes:
    return blake2b(array("L", kept).tobytes(), digest_size=16).digest()
