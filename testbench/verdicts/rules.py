"""When to run again, and what the runs say (DESIGN sections 4 and 7). Pure: no run is made here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from testbench import statistics
from testbench.outcomes import Kind, Outcome
from testbench.statistics import Decision

#: A build that says "untestable" or a bench that fails this often ends the attempt.
SILENT_RUNS = 3


class Word(StrEnum):
    """The five verdicts."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not-reproduced"
    FLAKY = "flaky"
    INCONCLUSIVE = "inconclusive"
    CANNOT_RUN = "cannot-run"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many of the runs showed what; ``bad`` are those with the signature that counts."""

    bad: int
    good: int
    other: int
    untestable: int
    infra: int
    signature: str | None

    @property
    def telling(self) -> int:
        """Runs that the failure rate rests on."""
        return self.bad + self.good


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the runs say together."""

    word: Word
    #: Runs that tell (good or bad with the signature); the rate is bad of these.
    runs: int
    bad: int
    #: Failure rate and its 95 % Wilson interval; None when nothing was told.
    rate: float | None
    interval: tuple[float, float] | None
    signature: str | None
    outcomes: tuple[Outcome, ...]
    #: One sentence for people: why this verdict, and what to do when there is something to do.
    reason: str

    @property
    def shown(self) -> bool:
        """Whether the defect was seen: always or sometimes."""
        return self.word in (Word.REPRODUCED, Word.FLAKY)

    def as_json(self) -> dict[str, Any]:
        """The fields that ``testbench run --json`` promises (without the version, which the caller knows)."""
        return {
            "verdict": self.word.value,
            "runs": self.runs,
            "bad": self.bad,
            "rate": None if self.rate is None else round(self.rate, 4),
            "interval": None if self.interval is None else [round(end, 4) for end in self.interval],
            "signature": self.signature,
            "outcomes": [outcome.as_json() for outcome in self.outcomes],
            "reason": self.reason,
        }


def count(outcomes: Sequence[Outcome], signature: str | None = None) -> Counts:
    """Count the runs; with no signature given, the most frequent one (the first seen of equals) counts."""
    kinds = Counter(outcome.kind for outcome in outcomes)
    if signature is None:
        seen = Counter(outcome.signature for outcome in outcomes if outcome.kind is Kind.BAD)
        signature = seen.most_common(1)[0][0] if seen else None
    bad = sum(outcome.kind is Kind.BAD and outcome.signature == signature for outcome in outcomes)
    return Counts(
        bad=bad,
        good=kinds[Kind.GOOD],
        other=kinds[Kind.BAD] + kinds[Kind.DIFFERENT_FAILURE] - bad,
        untestable=kinds[Kind.UNTESTABLE],
        infra=kinds[Kind.INFRA],
        signature=signature,
    )


def enough(counts: Counts, runs: int | None = None) -> bool:
    """Whether no further run is needed: ``runs`` are done, or the test and the rate have enough."""
    if counts.untestable >= SILENT_RUNS or counts.infra >= SILENT_RUNS:
        return True
    if runs is not None:
        return counts.telling + counts.other + counts.untestable >= runs
    if counts.telling + counts.other >= statistics.CAP:
        return True
    decision = statistics.sequential_test(counts.bad, counts.good)
    if decision is Decision.SHOWN:
        return counts.telling >= statistics.RUNS_FOR_RATE
    return decision is Decision.REJECTED


def decide(outcomes: Sequence[Outcome], *, signature: str | None = None, runs: int | None = None) -> Verdict:
    """The verdict on these runs.

    Args:
        outcomes: all runs, in order.
        signature: the failure looked for; None takes the most frequent one.
        runs: how many were asked for by a person; None when the sequential test decided.
    """
    counts = count(outcomes, signature)
    word, reason = _word(counts, runs)
    if word is Word.CANNOT_RUN:
        last = next(o for o in reversed(outcomes) if not o.tells) if outcomes else None
        detail = f": {last.stage}: {last.detail}" if last else ""
        reason += detail
    telling = counts.telling
    return Verdict(
        word=word,
        runs=telling,
        bad=counts.bad,
        rate=counts.bad / telling if telling else None,
        interval=statistics.wilson_interval(counts.bad, telling) if telling else None,
        signature=counts.signature if counts.bad else signature,
        outcomes=tuple(outcomes),
        reason=reason,
    )


def _word(counts: Counts, runs: int | None) -> tuple[Word, str]:
    if counts.telling + counts.other == 0:
        return Word.CANNOT_RUN, "no run could say anything about the product"
    seen = f"{counts.bad} of {counts.telling} runs failed"
    shown = statistics.sequential_test(counts.bad, counts.good) is Decision.SHOWN
    if not shown and max(counts.infra, counts.untestable) >= SILENT_RUNS:
        return Word.INCONCLUSIVE, (
            f"{seen}, then the bench or the build gave no answer "
            f"({counts.infra} infra, {counts.untestable} untestable); mend that and run again"
        )
    if counts.bad == 0 and counts.other:
        return Word.INCONCLUSIVE, f"{counts.other} runs failed in another way; look at their signatures"
    if counts.bad == 0:
        # Rounded up: 12.7 % excluded may be called 13 %, never 12 %.
        percent = math.ceil(statistics.excluded_rate(counts.good) * 1000) / 10
        return Word.NOT_REPRODUCED, (
            f"{counts.good} good run(s) exclude a failure rate of {percent:.1f} % or more (95 %)"
        )
    if runs is None and not shown:
        return (
            Word.INCONCLUSIVE,
            f"{seen}: too few to tell a defect from a false alarm; run more (--runs 200)",
        )
    if counts.good == 0 and counts.other == 0:
        return Word.REPRODUCED, f"all {counts.bad} runs failed"
    also = f"; {counts.other} more failed in another way" if counts.other else ""
    return Word.FLAKY, seen + also
