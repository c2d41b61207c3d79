"""The driver of the product `set`: provision -> health -> load -> play -> observe -> destroy (DESIGN 7)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from pathlib import Path

from testbench.drivers.port import Build, Limits
from testbench.drivers.set10 import memory, suspicion
from testbench.drivers.set10.observing import Observer
from testbench.drivers.set10.player import Over, Player
from testbench.drivers.set10.processes import StartError
from testbench.drivers.set10.provision import Store
from testbench.drivers.set10.reduction import Reduction
from testbench.drivers.set10.wire import OutOfTimeError
from testbench.oracles import Finding, Observations, Question, Statement, differential, judge
from testbench.outcomes import Outcome
from testbench.scenarios import folder
from testbench.scenarios.schema import Event, Scenario, Stated

OBSERVATIONS_FILE = "observations.json"
FINDINGS_FILE = "findings.json"
_SHOWN_FINDINGS = 10


class SetDriver:
    """``testbench.drivers.port.Driver`` for SET 10: real processes, public interfaces only."""

    def load(self, path: Path) -> Scenario:
        """Read a scenario's folder or its scenario.json.

        Raises:
            ScenarioError: it cannot be read or is not valid (a UsageError).
        """
        return folder.read(path)

    def write(self, scenario: Scenario, target: Path) -> None:
        """Write scenario.json and documents/ into ``target``."""
        folder.write(scenario, target)

    def reducible(self, scenario: Scenario) -> Reduction:
        """What may be left out: events, then goods in documents, then registers."""
        return Reduction(scenario)

    def play(
        self,
        build: Build,
        scenario: Scenario,
        workspace: Path,
        limits: Limits,
        right: Observations | None = None,
    ) -> Outcome:
        """Play it once and judge it; see the port.

        Args:
            right: what the version that is taken to be right showed (``observe`` gives it); with it the
                differential oracle looks too.
        """
        begun = time.monotonic()
        result = self._observed(build, scenario, workspace, limits)
        seconds = time.monotonic() - begun
        if isinstance(result, Outcome):
            return result
        findings = judge(result, question(scenario, right))
        _leave(workspace, result, findings)
        if not findings:
            return Outcome.good(seconds=seconds, events=scenario.size)
        primary = findings[0]
        told = [finding.text for finding in findings[:_SHOWN_FINDINGS]]
        told.append(suspicion.unit_line(primary.where, result.units))
        detail = "\n".join(line for line in told if line)
        return Outcome.bad(
            primary.signature,
            detail,
            expected=f"{primary.where}: {primary.expected}",
            seen=f"{primary.where}: {primary.seen}",
            seconds=seconds,
            events=scenario.size,
        )

    def observe(
        self, build: Build, scenario: Scenario, workspace: Path, limits: Limits
    ) -> Observations | None:
        """Play it once without judging; None when the build cannot be played."""
        result = self._observed(build, scenario, workspace, limits)
        return result if isinstance(result, Observations) else None

    def against(self, scenario: Scenario) -> str | None:
        """``oracle.differential.version`` of the scenario."""
        differential_ = scenario.oracle.differential
        return differential_.version if differential_ else None

    def _observed(
        self, build: Build, scenario: Scenario, workspace: Path, limits: Limits
    ) -> Observations | Outcome:
        begun = time.monotonic()
        try:
            with memory.place(workspace) as place, Store(build, scenario, place, limits) as store:
                return _played(store, scenario)
        except OutOfTimeError:
            # Not bad, and not infra: another attempt would last as long.
            return Outcome.untestable(
                "time",
                f"the run of {scenario.size} elements was not over in {limits.seconds:g} s although the "
                "product answers; give it more time (--timeout), or a smaller scenario",
                seconds=time.monotonic() - begun,
            )
        except StartError as problem:
            return Outcome.untestable("start", str(problem)[:1000], seconds=time.monotonic() - begun)
        except OSError as problem:
            where = problem.filename or "the workspace"
            return Outcome.infra(
                "provision", f"{where}: {problem.strerror}", seconds=time.monotonic() - begun
            )


def question(scenario: Scenario, right: Observations | None = None) -> Question:
    """What the scenario's oracle asks, in the oracles' own terms."""
    oracle = scenario.oracle
    return Question(
        invariants=oracle.invariants,
        statements=[statement for stated in oracle.stated for statement in _statements(stated)],
        right=right,
        looks_for=oracle.looks_for,
    )


def _played(store: Store, scenario: Scenario) -> Observations:
    player = Player(store, scenario)
    observer = Observer(store, scenario, player)
    points = {point.after: point.name for point in scenario.observe}
    is_complete = False
    try:
        for events in _moments(scenario.events):
            if len(events) == 1:
                player.play(events[0])
            else:
                player.play_together(events)
            for event in events:
                if event.seq in points:
                    observer.look_at_prices(points[event.seq])
        observer.finish()
        is_complete = not player.note_ended()
    except Over:
        pass
    return observer.observations(is_complete)


def _moments(events: Sequence[Event]) -> Iterator[list[Event]]:
    """The events one by one, and those that are played together in one list."""
    for together, group in groupby(events, key=lambda event: event.together):
        if together is None:
            yield from ([event] for event in group)
        else:
            yield list(group)


def _statements(stated: Stated) -> Sequence[Statement]:
    about = "receipt" if stated.receipt else "z" if stated.z else "price"
    subject = stated.receipt or stated.z or stated.price or ""
    given = {name: getattr(stated, name) for name in ("total", "discount", "vat", "net", "value")}
    return [
        Statement(
            about=about, subject=subject, what=what, value=Decimal(value) * 100, register=stated.register_
        )
        for what, value in given.items()
        if value is not None
    ]


def _leave(workspace: Path, seen: Observations, findings: Sequence[Finding]) -> None:
    """What people and the bundle want to see afterwards, beside the product's own logs."""
    # One line: the indented form is made by Python instead of C, four seconds for a day of a large store.
    normal = json.dumps(differential.normalised(seen), sort_keys=True, ensure_ascii=False)
    (workspace / OBSERVATIONS_FILE).write_text(normal + "\n", encoding="utf-8")
    found = [
        {
            "signature": finding.signature,
            "where": finding.where,
            "expected": finding.expected,
            "seen": finding.seen,
        }
        for finding in findings
    ]
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (workspace / FINDINGS_FILE).write_text(text + "\n", encoding="utf-8")
