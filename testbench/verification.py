"""Is it fixed? Two-sided: the new build is clean often enough AND the old one still shows the defect.

Source: DESIGN section 7, "Fixed means".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from testbench import statistics
from testbench.outcomes import Kind, Outcome
from testbench.progress import Progress, Step, silent
from testbench.verdicts.rules import SILENT_RUNS, Counts, count

#: A "certain" defect is looked for this often too: its rate rests on few runs.
LEAST_RUNS = 2


class FixWord(StrEnum):
    """What the two sides say together."""

    FIXED = "fixed"
    NOT_FIXED = "not-fixed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The answer, with what each side showed."""

    word: FixWord
    new_bad: int
    new_runs: int
    old_bad: int
    old_runs: int
    reason: str
    outcomes: tuple[Outcome, ...]

    def as_json(self) -> dict[str, Any]:
        """A JSON object of everything but the outcomes."""
        return {
            "verdict": self.word.value,
            "new": {"bad": self.new_bad, "runs": self.new_runs},
            "old": {"bad": self.old_bad, "runs": self.old_runs},
            "reason": self.reason,
        }


#: So many runs of one build, made at once where there are benches.
Play = Callable[[int], Sequence[Outcome]]


def verify(
    play_old: Play,
    play_new: Play,
    *,
    signature: str,
    rate: float,
    progress: Progress = silent,
    benches: int = 1,
) -> Verification:
    """Compare the build that had the defect with a new one, in this session.

    Args:
        play_old: so many runs on the build that showed the defect.
        play_new: so many runs on the new build.
        signature: the failure.
        rate: how often the old build failed (above 0, at most 1); .4 asks for 6 clean runs, .05 for 59.
        benches: how many runs are asked for at once.

    Raises:
        ValueError: the rate is not above 0 and at most 1.
    """
    runs = max(LEAST_RUNS, statistics.runs_to_see(rate))
    new_outcomes = _side(play_new, signature, runs, "new build", progress, benches)
    new = count(new_outcomes, signature)
    # The old side is played also when the new one failed: a report says what both did.
    old_outcomes = _side(play_old, signature, runs, "old build", progress, benches)
    old = count(old_outcomes, signature)
    word, reason = _decide(new, old, runs)
    return Verification(
        word=word,
        new_bad=new.bad,
        new_runs=new.telling,
        old_bad=old.bad,
        old_runs=old.telling,
        reason=reason,
        outcomes=(*new_outcomes, *old_outcomes),
    )


def _side(
    play: Play, signature: str, runs: int, name: str, progress: Progress, benches: int
) -> list[Outcome]:
    """Run one side until it fails, or was clean ``runs`` times, or gives no answer."""
    outcomes: list[Outcome] = []
    while True:
        counts = count(outcomes, signature)
        silent_runs = counts.infra + counts.untestable + counts.other
        if counts.bad or counts.good >= runs or silent_runs >= SILENT_RUNS:
            return outcomes
        if any(outcome.kind is Kind.UNTESTABLE for outcome in outcomes):
            return outcomes
        progress(Step("verify", f"{name}: {counts.good} clean of {runs}", counts.good, runs))
        # A build that cannot be tested shows that in its first run.
        width = min(benches, runs - counts.good) if outcomes else 1
        outcomes += [outcome.looking_for(signature) for outcome in play(width)]


def _decide(new: Counts, old: Counts, runs: int) -> tuple[FixWord, str]:
    if new.bad:
        return FixWord.NOT_FIXED, f"the new build fails in the same way (run {new.telling})"
    if new.other:
        return FixWord.INCONCLUSIVE, "the new build fails in another way; look at its signature"
    if new.good < runs:
        return FixWord.INCONCLUSIVE, "the new build cannot be tested; see the outcomes"
    if not old.bad:
        return FixWord.INCONCLUSIVE, (
            f"the old build did not show the defect in {old.good} runs of this session, so the clean new one "
            "proves nothing; look for what changed around the bench"
        )
    return FixWord.FIXED, f"{new.good} clean runs of the new build, and the old one still fails"
