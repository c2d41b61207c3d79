"""Processes and cgroups of a fleet: finding and ending them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from testbench.stores.errors import StoresError

END_WAIT_S = 10.0


def cgroup2_mount() -> Path | None:
    """Where this machine's cgroup v2 hierarchy is (also beside v1 ones), or None."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 "):
                return Path(fields.split()[4])
    return None


def start_time(pid: int) -> str | None:
    """Start time of a running process in clock ticks since boot; None when it is gone or a zombie.

    Number and start time together name a process: a number alone is given again to another one.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def recorded_pid(pid_file: Path) -> int | None:
    """The process noted in ``pid_file`` when it is still that process, else None."""
    try:
        number, started = pid_file.read_text().split()
    except (OSError, ValueError):
        return None
    return int(number) if start_time(int(number)) == started else None


def in_namespaces(inodes: set[int]) -> list[int]:
    """Processes whose network namespace is one of these."""
    wanted = {f"net:[{inode}]" for inode in inodes}
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry.name}/ns/net") in wanted:
                    found.append(int(entry.name))
    return found


def in_cgroup(cgroup: Path) -> list[int]:
    """Processes in this cgroup and those below."""
    found: list[int] = []
    for folder, _, _ in os.walk(cgroup):
        with contextlib.suppress(OSError):
            found += [int(line) for line in (Path(folder) / "cgroup.procs").read_text().split()]
    return [pid for pid in found if pid > 0]


def end(pids: Iterable[int], collected_s: float = 0.0) -> None:
    """Kill these processes and wait until they have ended; raises StoresError naming those that do not.

    A zombie has ended: it holds nothing, and the last to become one in a host is its PID 1. ``collected_s``:
    the longest wait for the zombies to go too (seconds), for a machine's init may be slow to collect them.
    """
    waiting = set(pids)
    for pid in waiting:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    while True:
        for pid in waiting:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # only when it is our own child; its parent collects it otherwise
        waiting = {pid for pid in waiting if Path(f"/proc/{pid}").exists()}
        running = sorted(pid for pid in waiting if start_time(pid) is not None)
        passed = time.monotonic() - began
        if not waiting or (not running and passed >= collected_s):
            return
        if running and passed > END_WAIT_S:
            raise StoresError(f"processes {running} do not end; see `ps -o pid,stat,wchan,args`")
        time.sleep(0.005)


def make_cgroup(path: Path) -> None:
    """Make the cgroup and those above it."""
    path.mkdir(parents=True, exist_ok=True)


def remove_cgroup(path: Path, keep: bool = False) -> None:
    """Remove the cgroup with all below it (they must be empty of processes); ``keep``: only what is below."""
    for folder, _, _ in os.walk(path, topdown=False):
        if not (keep and Path(folder) == path):
            _remove_empty(Path(folder))


def _remove_empty(path: Path) -> None:
    # A cgroup stays busy for a moment after its last process is gone.
    deadline = time.monotonic() + END_WAIT_S
    while True:
        try:
            path.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise StoresError(
                    f"cgroup {path} stays busy; see its cgroup.procs and run `down` again"
                ) from None
            time.sleep(0.005)
