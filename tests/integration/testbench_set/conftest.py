"""The reference SET's releases, unpacked and ready to be played."""

from __future__ import annotations

import compileall
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from testbench.drivers.port import Build, Limits
from testbench.drivers.set10 import SetDriver
from testbench.outcomes import Outcome
from testbench.reference import build_history
from testbench.scenarios import Scenario

Play = Callable[[str, Scenario], Outcome]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference SET's history."""
    return build_history(tmp_path_factory.mktemp("reference") / "set10.git").repository


@pytest.fixture(scope="session")
def build(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Build]:
    """A release's build by its tag, made once."""
    made: dict[str, Build] = {}

    def of(tag: str) -> Build:
        if tag not in made:
            folder = tmp_path_factory.mktemp(tag)
            archive = subprocess.run(
                ["git", "-C", str(repository), "archive", tag], check=True, capture_output=True
            ).stdout
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(folder, filter="data")
            compileall.compile_dir(folder / "set10", quiet=2)
            made[tag] = Build(
                product="set10",
                asked=tag,
                resolved=tag,
                path=folder,
                python=Path(sys.executable),
                version=tag,
            )
        return made[tag]

    return of


@pytest.fixture
def play(build: Callable[[str], Build], tmp_path: Path) -> Play:
    """Plays a scenario on a release, each time in a workspace of its own, and proves that nothing is left."""
    count = 0

    def run(tag: str, scenario: Scenario) -> Outcome:
        nonlocal count
        count += 1
        workspace = tmp_path / f"run-{count}"
        workspace.mkdir()
        outcome = SetDriver().play(build(tag), scenario, workspace, Limits(seconds=60))
        assert _left_over(workspace) == []
        return outcome

    return run


def _left_over(workspace: Path) -> list[str]:
    """Processes that still use the workspace."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(workspace) in line:
            found.append(line)
    return found
