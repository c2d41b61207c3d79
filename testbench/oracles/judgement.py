"""All oracles of a scenario over what one run made visible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from testbench.oracles import (
    bonus,
    cards,
    days,
    differential,
    exports,
    health,
    imports,
    marks,
    prices,
    promotions,
    receipts,
    reports,
    restrictions,
    returns,
    shifts,
    stated,
)
from testbench.oracles.findings import Finding, ordered
from testbench.oracles.observations import Observations
from testbench.oracles.stated import Statement

INVARIANTS: dict[str, Callable[[Observations], Iterator[Finding]]] = {
    health.NAME: health.check,
    shifts.NAME: shifts.check,
    receipts.NAME: receipts.check,
    exports.NAME: exports.check,
    days.NAME: days.check,
    reports.NAME: reports.check,
    imports.NAME: imports.check,
    prices.NAME: prices.check,
    returns.NAME: returns.check,
    promotions.NAME: promotions.check,
    restrictions.NAME: restrictions.check,
    cards.NAME: cards.check,
    bonus.NAME: bonus.check,
    marks.NAME: marks.check,
}
#: A crash explains everything after it; what was stated is what the engineer came for; a wrong receipt
#: explains a wrong Z report, and a second open shift whatever its receipts lack.
ORDER = (health.NAME, stated.NAME, *list(INVARIANTS)[1:], differential.NAME)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a run."""

    invariants: Sequence[str] = tuple(INVARIANTS)
    statements: Sequence[Statement] = ()
    #: What the version that is taken to be right showed, for the differential oracle.
    right: Observations | None = None
    #: The signature that is looked for; it is named first.
    looks_for: str | None = None


def judge(seen: Observations, question: Question) -> list[Finding]:
    """One finding per signature, primary first; empty when everything is right."""
    findings: list[Finding] = []
    for name in INVARIANTS:
        if name in question.invariants:
            findings += INVARIANTS[name](seen)
    findings += stated.check(seen, question.statements)
    if question.right is not None:
        findings += differential.check(seen, question.right)
    return ordered(findings, ORDER, question.looks_for)
