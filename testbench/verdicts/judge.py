"""Runs a test until the rules have enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from testbench import statistics
from testbench.outcomes import Kind, Outcome
from testbench.progress import Progress, Step, silent
from testbench.verdicts import rules


def judge(
    test: Callable[[int], Outcome],
    *,
    signature: str | None = None,
    runs: int | None = None,
    progress: Progress = silent,
    benches: int = 1,
    test_all: Callable[[Sequence[int]], Sequence[Outcome]] | None = None,
) -> rules.Verdict:
    """Call ``test(attempt)`` (0, 1, 2, ...) as often as the sequential test needs, and give the verdict.

    With ``benches`` runs at once at most ``benches - 1`` more are made than the test needed. Those do not
    count: the verdict is the one of the same runs made one after another.

    Args:
        test: one run on the build in question.
        signature: the failure looked for; another failure then is not a failure of this kind.
        runs: run exactly so often instead (infra failures are repeated, at most a few times).
        progress: told after each run.
        benches: how many runs may go on at once, with ``test_all``.
        test_all: several runs at once, for these attempts.

    Raises:
        ValueError: ``runs`` is below 1.
    """
    if runs is not None and runs < 1:
        raise ValueError(f"runs must be 1 or more, not {runs}")
    outcomes: list[Outcome] = []
    ahead: list[Outcome] = []
    while True:
        counts = rules.count(outcomes, signature)
        # An untestable build stays so: asking it again costs a run and says nothing new.
        hopeless = bool(outcomes) and all(o.kind is Kind.UNTESTABLE for o in outcomes)
        if hopeless or rules.enough(counts, runs):
            return rules.decide(outcomes, signature=signature, runs=runs)
        if ahead:
            outcomes.append(ahead.pop(0).looking_for(signature))
            continue
        if runs is not None:
            goal = runs
        elif counts.bad:
            goal = statistics.RUNS_FOR_RATE
        else:
            goal = statistics.CAP
        progress(
            Step("run", f"run {len(outcomes) + 1}: {counts.bad} bad so far", len(outcomes), goal),
        )
        # Nobody knows whether the version can be tested at all before its first run.
        width = max(1, min(benches, goal - len(outcomes))) if outcomes and test_all else 1
        attempts = range(len(outcomes), len(outcomes) + width)
        ahead = list(test_all(attempts)) if test_all and width > 1 else [test(len(outcomes))]
