"""A run's files are in memory while it lasts; what people look at is in its workspace afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbench.drivers.set10 import memory

HOLD = """
import sys
from pathlib import Path
from testbench.drivers.set10 import memory
with memory.place(Path(sys.argv[1])) as place:
    (place / "data").write_text("left by a killed bench")
    print(place.resolve(), flush=True)
    sys.stdin.read()
"""

needs_memory = pytest.mark.skipif(
    memory._root(memory.MEMORY) is None, reason="this machine has no /dev/shm with 1 GiB free"
)


@needs_memory
def test_logs_come_back_and_nothing_is_left(tmp_path: Path) -> None:
    """The folder in memory is gone after the run, its logs are in the workspace."""
    with memory.place(tmp_path) as place:
        (place / "server.log").write_text("log")
        (place / "set.db").write_text("database")
        real = place.resolve()

    assert not real.exists()
    assert not real.with_suffix(".lock").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["server.log"]


@needs_memory
def test_what_a_killed_bench_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """kill -9 leaves the folder; a living bench's folder is never touched."""
    for name in ("killed", "alive", "next"):
        (tmp_path / name).mkdir()
    command = [sys.executable, "-c", HOLD]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    killed = subprocess.Popen([*command, str(tmp_path / "killed")], **pipes)  # type: ignore[call-overload]
    alive = subprocess.Popen([*command, str(tmp_path / "alive")], **pipes)  # type: ignore[call-overload]
    places = [Path(process.stdout.readline().strip()) for process in (killed, alive)]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    was_there = places[0].exists()
    with memory.place(tmp_path / "next"):
        seen = [place.exists() for place in places]
    alive.communicate("")

    assert was_there
    assert seen == [False, True]
    assert not places[1].exists()


def test_without_memory_the_workspace_is_used(tmp_path: Path) -> None:
    """A machine that has none plays on its disk."""
    with memory.place(tmp_path, memory=tmp_path / "none") as place:
        assert place == tmp_path
