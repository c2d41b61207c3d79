"""The bench as a Python API: what the command line and other services call.

    bench = Bench.open(Path("product.yaml"))
    scenario = bench.load(Path("scenario"))
    verdict = bench.run(scenario, "v1.4.0")
    reduced = bench.minimise(scenario, "v1.4.0", verdict=verdict)
    culprit = bench.bisect(reduced.scenario, good="v1.2.0", bad="v1.4.0", verdict=verdict)

A scenario is the driver's own object; only its driver looks inside.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from testbench.bisection import service as bisection
from testbench.bisection.service import Culprit, Find
from testbench.drivers.port import Build, Limits, PlayedScenario
from testbench.drivers.registry import driver
from testbench.errors import TestbenchError
from testbench.journal import Journal, kept
from testbench.minimisation.reducer import Reduced, minimise
from testbench.outcomes import Outcome
from testbench.products.cache import BuildCache
from testbench.products.description import Product, load_product
from testbench.products.errors import BuildFailedError, BuildInfraError, VersionError
from testbench.products.port import Resolved
from testbench.progress import Progress, Step, silent
from testbench.session import Session
from testbench.slots.service import Slots
from testbench.verdicts.judge import judge
from testbench.verdicts.rules import Verdict
from testbench.verification import Verification, verify
from testbench.watching import Watch

Scenario = PlayedScenario


class Bench:
    """One product on the bench.

    Args:
        product: its description.
        home: folder of builds and workspaces; None takes $TESTBENCH_HOME or the user's cache folder.
        limits: what one run may use.
        progress: told where the work is; with several benches from their threads.
        benches: how many runs of one command go on at once.
        fresh: begin every command anew, also one that was broken off.
        priority: of this bench's runs where several programs wait for slots; higher ones first.
    """

    def __init__(
        self,
        product: Product,
        *,
        home: Path | None = None,
        limits: Limits | None = None,
        progress: Progress = silent,
        benches: int = 1,
        fresh: bool = False,
        priority: int = 0,
    ) -> None:
        if benches < 1:
            raise ValueError(f"benches must be 1 or more, not {benches}")
        self.product = product
        self.limits = limits or Limits()
        self.progress = progress
        self.benches = benches
        self.fresh = fresh
        self.builds = BuildCache.of(product, home, progress=progress)
        self.driver = driver(product.driver)
        self._workspaces = self.builds.home / "runs"
        self._slots = Slots(self.builds.home, benches, priority=priority)
        #: Set when the program is broken off: nobody waits for a slot then.
        self._stopping = threading.Event()
        #: What versions that are taken to be right showed, by scenario and version.
        self._rights: dict[tuple[str, str], Any] = {}
        self._rights_locks: dict[tuple[str, str], threading.Lock] = {}
        self._rights_lock = threading.Lock()
        _remove_abandoned(self._workspaces)

    @classmethod
    def open(
        cls,
        file: Path,
        *,
        home: Path | None = None,
        limits: Limits | None = None,
        progress: Progress = silent,
        benches: int = 1,
        fresh: bool = False,
        priority: int = 0,
    ) -> Bench:
        """The bench for a product.yaml.

        Raises:
            UsageError: the file is wrong; the message names the field.
        """
        return cls(
            load_product(file),
            home=home,
            limits=limits,
            progress=progress,
            benches=benches,
            fresh=fresh,
            priority=priority,
        )

    def load(self, path: Path) -> Scenario:
        """Read a scenario (UsageError when it is wrong)."""
        loaded: Scenario = self.driver.load(path)
        return loaded

    def resolve(self, version: str) -> Resolved:
        """What a version is exactly (VersionError when there is none of that name)."""
        return self.builds.source.resolve(version)

    def versions(self) -> list[str]:
        """The product's releases, oldest first."""
        return self.builds.source.versions()

    def play(
        self, scenario: Scenario, version: str, *, keep: Path | None = None, against: str | None = None
    ) -> Outcome:
        """One run on one version; a build that fails is untestable, a machine that fails is infra.

        Args:
            scenario: what is played.
            version: tag, commit or version.
            keep: folder (not there yet) that gets what the run left: logs, observations.
            against: a version that is taken to be right: what differs from it is a failure too. None takes
                the one that the scenario names, if it does.

        Raises:
            VersionError: there is no such version.
            SourceError: the repository, index or interpreter is not there.
        """
        self.resolve(version)
        against = against or self.driver.against(scenario)
        right = None
        if against is not None:
            right = self._right(scenario, against)
            if isinstance(right, Outcome):
                return right

        def played(build: Build, workspace: Path) -> Outcome:
            outcome: Outcome = self.driver.play(build, scenario, workspace, self.limits, right)
            if keep is not None:
                shutil.copytree(workspace, keep, symlinks=True)
            return _without_places(outcome, {workspace: "{workspace}", build.path: "{build}"})

        outcome: Outcome = self._on_slot(version, played)
        return outcome

    def run(
        self,
        scenario: Scenario,
        version: str,
        *,
        runs: int | None = None,
        signature: str | None = None,
        against: str | None = None,
    ) -> Verdict:
        """The verdict on one version: as many runs as the sequential test needs, or exactly ``runs``.

        A call that was broken off (kill -9) goes on with the runs that it had made, when it is made again.
        """
        parts = ["run", self.resolve(version).id, runs, signature]
        with self._session(scenario, parts, against) as session:
            return self._verdict(session, scenario, version, runs, signature)

    def minimise(
        self,
        scenario: Scenario,
        version: str,
        *,
        verdict: Verdict | None = None,
        against: str | None = None,
    ) -> Reduced[Scenario]:
        """The smallest scenario that fails in the same way on ``version``.

        Args:
            scenario: what is made smaller.
            version: a version on which it fails.
            verdict: of earlier runs on it, so that they are not made again.
            against: as for ``play``.

        Raises:
            TestbenchError: it does not fail there, or says nothing about what may be left out.
        """
        reducible = self.driver.reducible(scenario)
        if reducible is None:
            raise TestbenchError(
                f"{scenario.name} does not say what may be left out; "
                "name a file in `minimise:` of scenario.yaml, or go on without minimising"
            )
        given = [verdict.signature, verdict.rate] if verdict else None
        with self._session(scenario, ["minimise", self.resolve(version).id, given], against) as session:
            verdict = verdict or self._verdict(session, scenario, version, None, None)
            if not verdict.shown or verdict.signature is None:
                raise TestbenchError(
                    f"nothing to minimise: {scenario.name} on {version} is {verdict.word.value}: "
                    f"{verdict.reason}"
                )
            return minimise(
                reducible,
                lambda candidate: session.one((candidate, version)),
                signature=verdict.signature,
                rate=verdict.rate or 1.0,
                progress=self.progress,
                benches=self.benches,
                test_all=lambda candidates: session.all([(one, version) for one in candidates]),
                known=next((one for one in verdict.outcomes if one.signature == verdict.signature), None),
            )

    def bisect(
        self,
        scenario: Scenario,
        *,
        good: str | None,
        bad: str,
        find: Find = "bad",
        verdict: Verdict | None = None,
        against: str | None = None,
    ) -> Culprit:
        """The release and commit that brought the defect (``find="fixed"``: that took it away).

        Args:
            scenario: what is played on each version.
            good: a version without the defect; None looks for one among the releases before ``bad``.
            bad: a version with it.
            find: what is looked for.
            verdict: on the bad version, so that its rate and signature need no further runs.
            against: as for ``play``.

        Raises:
            WrongRangeError: the range was tested and is not what was said.
            VersionError: there is no such version.
        """
        known = verdict if verdict is not None and verdict.shown else None
        ends = [self.resolve(end).id if end is not None else None for end in (good, bad)]
        parts = ["bisect", *ends, find, [known.signature, known.rate] if known else None]
        with self._session(scenario, parts, against) as session:
            return bisection.bisect(
                self.builds.source,
                lambda version: session.one((scenario, version)),
                good=good,
                bad=bad,
                find=find,
                signature=known.signature if known else None,
                rate=known.rate if known else None,
                progress=self.progress,
                benches=self.benches,
                play_all=lambda versions: session.all([(scenario, one) for one in versions]),
            )

    def verify_fix(
        self, scenario: Scenario, *, bad: str, new: str, rate: float, signature: str
    ) -> Verification:
        """Whether ``new`` is free of the defect that ``bad`` had: fixed, not-fixed or inconclusive.

        Both sides are played now, in this session, so nothing of a broken-off call is taken.
        """
        session = self._new_session(Journal(), None)
        return verify(
            lambda runs: session.all([(scenario, bad)] * runs),
            lambda runs: session.all([(scenario, new)] * runs),
            signature=signature,
            rate=rate,
            progress=self.progress,
            benches=self.benches,
        )

    def matrix(self, scenario: Scenario, versions: Sequence[str], *, signature: str) -> dict[str, Verdict]:
        """The verdict on each of several versions; for a bundle's table of results."""
        return {version: self.run(scenario, version, signature=signature) for version in versions}

    def _verdict(
        self, session: Session, scenario: Scenario, version: str, runs: int | None, signature: str | None
    ) -> Verdict:
        return judge(
            lambda _attempt: session.one((scenario, version)),
            signature=signature,
            runs=runs,
            progress=self.progress,
            benches=self.benches,
            test_all=lambda attempts: session.all([(scenario, version)] * len(attempts)),
        )

    @contextlib.contextmanager
    def _session(self, scenario: Scenario, parts: list[Any], against: str | None) -> Iterator[Session]:
        """The runs of one command, with its journal: everything that decides what it asks is in its name."""
        right = against or self.driver.against(scenario)
        whole = {
            "command": parts,
            "scenario": scenario.digest,
            "product": [self.product.name, self.product.driver, self.product.recipe],
            "against": self.resolve(right).id if right else None,
            "limits": asdict(self.limits),
            "bench": metadata.version("garant"),
        }
        with kept(self.builds.home, whole, fresh=self.fresh) as journal:
            if journal.found:
                text = f"going on after {journal.found} run(s) that a broken-off start has made"
                self.progress(Step("resume", text))
            yield self._new_session(journal, against)

    def _new_session(self, journal: Journal, against: str | None) -> Session:
        return Session(
            lambda question: self.play(*question, against=against),
            lambda question: f"{question[0].digest} {self.resolve(question[1]).id}",
            journal,
            self.benches,
            self.builds.home,
            self._stopping,
        )

    def _right(self, scenario: Scenario, against: str) -> Any:
        """What the version that is taken to be right shows; an untestable or infra outcome when nothing.

        Kept for the life of the bench, and found out once also when several runs need it.
        """
        key = (scenario.digest, self.resolve(against).id)
        with self._rights_lock:
            lock = self._rights_locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._rights:
                seen = self._on_slot(
                    against,
                    lambda build, workspace: self.driver.observe(build, scenario, workspace, self.limits),
                )
                if isinstance(seen, Outcome):
                    return replace(seen, stage="against", detail=f"{against}: {seen.detail}")
                if seen is None:
                    return Outcome.untestable("against", f"{scenario.name} cannot be played on {against}")
                self._rights[key] = seen
            return self._rights[key]

    def _on_slot(self, version: str, work: Callable[[Build, Path], Any]) -> Any:
        """``work`` on a build, in a slot and under limits; an outcome when that cannot be or was ended."""
        try:
            with self.builds.use(version) as build, self._slots.hold(self._stopping) as held:
                with self._workspace() as workspace, Watch(workspace, self.limits) as watch:
                    begun = time.monotonic()
                    result = work(build, workspace)
                seconds = time.monotonic() - begun
            if not held.counts:
                return Outcome.infra(
                    "slot", f"slot {held.slot} was taken over during the run, so its result is refused"
                )
            if watch.reached:
                name, seen = watch.reached
                return Outcome.bad(
                    f"{name} limit",
                    f"the run was ended: {seen}; --{name} SIZE allows more",
                    expected=f"the run keeps its {name} limit",
                    seen=seen,
                    seconds=seconds,
                )
        except BuildFailedError as failure:
            return Outcome.untestable(failure.stage, str(failure))
        except BuildInfraError as failure:
            return Outcome.infra("build", str(failure))
        except VersionError as failure:
            # The name is fine, but the index has nothing of it for this interpreter.
            return Outcome.untestable("build", str(failure))
        return result

    @contextlib.contextmanager
    def _workspace(self) -> Iterator[Path]:
        workspace = self._workspaces / f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        workspace.mkdir(parents=True)
        try:
            yield workspace
        finally:
            shutil.rmtree(workspace, ignore_errors=True)


def same_defect(one: Verdict, other: Verdict) -> bool:
    """Whether two verdicts (of any scenarios, on any versions of one product) show the same defect.

    A signature names the rule that was broken and how, never the data, so it is the defect's identity.
    """
    return one.shown and other.shown and one.signature is not None and one.signature == other.signature


def _without_places(outcome: Outcome, places: dict[Path, str]) -> Outcome:
    """The outcome with this machine's folders taken out of its texts; reports travel."""
    changed: dict[str, Any] = {}
    for name in ("detail", "expected", "seen"):
        text = getattr(outcome, name)
        for place, word in places.items():
            text = text.replace(str(place), word)
        changed[name] = text
    return replace(outcome, **changed)


def _remove_abandoned(workspaces: Path) -> None:
    """Remove what killed benches left; a living one's folder carries its process id."""
    for workspace in workspaces.glob("*-*"):
        pid = workspace.name.split("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(workspace, ignore_errors=True)
