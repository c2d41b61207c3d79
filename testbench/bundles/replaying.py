"""Plays a bundle again: on the version that has the defect, or on another one.

What is trusted of a foreign bundle: its sums are checked first; its data is data. But product.yaml holds
shell lines, a `command` scenario holds a program, and pytest runs test_reproduction.py: replay a bundle only
when you would run a program from whoever gave it to you. ``product=`` (``--product FILE``) takes the recipe
from you.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbench.api import Bench
from testbench.bundles.hashes import check_sums
from testbench.bundles.schema import Case, load_case
from testbench.drivers.port import Limits
from testbench.errors import UsageError
from testbench.outcomes import Outcome
from testbench.progress import Progress, Step, silent
from testbench.statistics import excluded_rate, runs_to_see
from testbench.verdicts.rules import SILENT_RUNS, count
from testbench.verification import LEAST_RUNS


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a bundle showed on one version."""

    case: Case
    version: str
    #: True: the defect showed. False: enough clean runs. None: it cannot be told.
    present: bool | None
    outcomes: tuple[Outcome, ...]

    def report(self) -> str:
        """For people: what was expected and what was seen."""
        counts = count(self.outcomes, self.case.signature)
        head = f"{self.case.title}\n  product:   {self.case.product} {self.version}"
        if self.present is False:
            percent = excluded_rate(counts.good)
            return (
                f"{head}\n  result:    absent: {counts.good} clean runs "
                f"(a failure rate of {percent:.0%} or more is excluded)"
            )
        if self.present is None:
            last = self.outcomes[-1]
            return (
                f"{head}\n  result:    cannot be told: {last.kind.value}"
                f" ({last.signature or last.stage})\n{_indented(last.detail)}"
            )
        bad = next(outcome for outcome in self.outcomes if outcome.is_bad)
        return (
            f"{head}\n  result:    the defect shows (run {len(self.outcomes)})"
            f"\n  signature: {bad.signature}"
            f"\n  expected:  {bad.expected or self.case.expected}"
            f"\n  seen:      {bad.seen or self.case.seen}\n{_indented(bad.detail)}"
        )

    def as_json(self) -> dict[str, Any]:
        """A JSON object of it."""
        return {
            "case": self.case.id,
            "title": self.case.title,
            "version": self.version,
            "present": self.present,
            "runs": len(self.outcomes),
            "outcomes": [outcome.as_json() for outcome in self.outcomes],
        }


def replay(
    bundle: Path,
    *,
    version: str | None = None,
    product: Path | None = None,
    home: Path | None = None,
    limits: Limits | None = None,
    progress: Progress = silent,
) -> Replay:
    """Play a bundle until its defect shows, or was absent often enough for its failure rate (95 %).

    Args:
        bundle: its folder.
        version: the version to play on; the one that has the defect when None.
        product: a product.yaml to take instead of the bundle's own.
        home, limits, progress: as for ``Bench``.

    Raises:
        TamperedError: the bundle is not as it was written.
        UsageError: it is no bundle, or ``product`` describes another product.
        VersionError, SourceError: the version cannot be had.
    """
    case = load_case(bundle)
    check_sums(bundle)
    bench = Bench.open(product or bundle / "product.yaml", home=home, limits=limits, progress=progress)
    if bench.product.name != case.product:
        raise UsageError(f"{product} describes {bench.product.name!r}, the bundle is of {case.product!r}")
    scenario = bench.load(bundle / "scenario")
    # A tag may have been moved since; the commit is what failed.
    chosen = version or case.bad_id
    shown_as = version or case.bad_version
    runs = max(LEAST_RUNS, runs_to_see(case.rate))
    outcomes: list[Outcome] = []
    while True:
        counts = count(outcomes, case.signature)
        present = True if counts.bad else (False if counts.good >= runs else None)
        gave_up = counts.infra + counts.other >= SILENT_RUNS or counts.untestable
        if present is not None or gave_up:
            return Replay(case=case, version=shown_as, present=present, outcomes=tuple(outcomes))
        progress(Step("replay", f"run {len(outcomes) + 1} on {shown_as}", counts.good, runs))
        outcomes.append(bench.play(scenario, chosen).looking_for(case.signature))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()[-40:])
