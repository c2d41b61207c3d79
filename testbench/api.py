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
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from testbench.bisection import service as bisection
from testbench.bisection.service import Culprit, Find
from testbench.drivers.port import Limits, PlayedScenario
from testbench.drivers.registry import driver
from testbench.errors import TestbenchError
from testbench.minimisation.reducer import Reduced, minimise
from testbench.outcomes import Outcome
from testbench.products.cache import BuildCache
from testbench.products.description import Product, load_product
from testbench.products.errors import BuildFailedError, BuildInfraError, VersionError
from testbench.products.port import Resolved
from testbench.progress import Progress, silent
from testbench.verdicts.judge import judge
from testbench.verdicts.rules import Verdict
from testbench.verification import Verification, verify

Scenario = PlayedScenario


class Bench:
    """One product on the bench.

    Args:
        product: its description.
        home: folder of builds and workspaces; None takes $TESTBENCH_HOME or the user's cache folder.
        limits: what one run may use.
        progress: told where the work is.
    """

    def __init__(
        self,
        product: Product,
        *,
        home: Path | None = None,
        limits: Limits | None = None,
        progress: Progress = silent,
    ) -> None:
        self.product = product
        self.limits = limits or Limits()
        self.progress = progress
        self.builds = BuildCache.of(product, home, progress=progress)
        self.driver = driver(product.driver)
        self._workspaces = self.builds.home / "runs"
        _remove_abandoned(self._workspaces)

    @classmethod
    def open(
        cls,
        file: Path,
        *,
        home: Path | None = None,
        limits: Limits | None = None,
        progress: Progress = silent,
    ) -> Bench:
        """The bench for a product.yaml.

        Raises:
            UsageError: the file is wrong; the message names the field.
        """
        return cls(load_product(file), home=home, limits=limits, progress=progress)

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

    def play(self, scenario: Scenario, version: str, *, keep: Path | None = None) -> Outcome:
        """One run on one version; a build that fails is untestable, a machine that fails is infra.

        Args:
            scenario: what is played.
            version: tag, commit or version.
            keep: folder (not there yet) that gets what the run left: logs, observations.

        Raises:
            VersionError: there is no such version.
            SourceError: the repository, index or interpreter is not there.
        """
        self.resolve(version)
        try:
            with self.builds.use(version) as build, self._workspace() as workspace:
                outcome = self.driver.play(build, scenario, workspace, self.limits)
                if keep is not None:
                    shutil.copytree(workspace, keep, symlinks=True)
                return _without_places(outcome, {workspace: "{workspace}", build.path: "{build}"})
        except BuildFailedError as failure:
            return Outcome.untestable(failure.stage, str(failure))
        except BuildInfraError as failure:
            return Outcome.infra("build", str(failure))
        except VersionError as failure:
            # The name is fine, but the index has nothing of it for this interpreter.
            return Outcome.untestable("build", str(failure))

    def run(
        self, scenario: Scenario, version: str, *, runs: int | None = None, signature: str | None = None
    ) -> Verdict:
        """The verdict on one version: as many runs as the sequential test needs, or exactly ``runs``."""
        return judge(
            lambda _attempt: self.play(scenario, version),
            signature=signature,
            runs=runs,
            progress=self.progress,
        )

    def minimise(
        self, scenario: Scenario, version: str, *, verdict: Verdict | None = None
    ) -> Reduced[Scenario]:
        """The smallest scenario that fails in the same way on ``version``.

        Args:
            scenario: what is made smaller.
            version: a version on which it fails.
            verdict: of earlier runs on it, so that they are not made again.

        Raises:
            TestbenchError: it does not fail there, or says nothing about what may be left out.
        """
        reducible = self.driver.reducible(scenario)
        if reducible is None:
            raise TestbenchError(
                f"{scenario.name} does not say what may be left out; "
                "name a file in `minimise:` of scenario.yaml, or go on without minimising"
            )
        verdict = verdict or self.run(scenario, version)
        if not verdict.shown or verdict.signature is None:
            raise TestbenchError(
                f"nothing to minimise: {scenario.name} on {version} is {verdict.word.value}: {verdict.reason}"
            )
        return minimise(
            reducible,
            lambda candidate: self.play(candidate, version),
            signature=verdict.signature,
            rate=verdict.rate or 1.0,
            progress=self.progress,
        )

    def bisect(
        self,
        scenario: Scenario,
        *,
        good: str | None,
        bad: str,
        find: Find = "bad",
        verdict: Verdict | None = None,
    ) -> Culprit:
        """The release and commit that brought the defect (``find="fixed"``: that took it away).

        Args:
            scenario: what is played on each version.
            good: a version without the defect; None looks for one among the releases before ``bad``.
            bad: a version with it.
            find: what is looked for.
            verdict: on the bad version, so that its rate and signature need no further runs.

        Raises:
            WrongRangeError: the range was tested and is not what was said.
            VersionError: there is no such version.
        """
        known = verdict if verdict is not None and verdict.shown else None
        return bisection.bisect(
            self.builds.source,
            lambda version: self.play(scenario, version),
            good=good,
            bad=bad,
            find=find,
            signature=known.signature if known else None,
            rate=known.rate if known else None,
            progress=self.progress,
        )

    def verify_fix(
        self, scenario: Scenario, *, bad: str, new: str, rate: float, signature: str
    ) -> Verification:
        """Whether ``new`` is free of the defect that ``bad`` had: fixed, not-fixed or inconclusive."""
        return verify(
            lambda: self.play(scenario, bad),
            lambda: self.play(scenario, new),
            signature=signature,
            rate=rate,
            progress=self.progress,
        )

    def matrix(self, scenario: Scenario, versions: Sequence[str], *, signature: str) -> dict[str, Verdict]:
        """The verdict on each of several versions; for a bundle's table of results."""
        return {version: self.run(scenario, version, signature=signature) for version in versions}

    @contextlib.contextmanager
    def _workspace(self) -> Iterator[Path]:
        workspace = self._workspaces / f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        workspace.mkdir(parents=True)
        try:
            yield workspace
        finally:
            shutil.rmtree(workspace, ignore_errors=True)


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
