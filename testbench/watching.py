"""Watches one run from beside it: memory of all its processes together, and size of its workspace.

A driver limits each process and each file by itself; this looks at their sums, whichever driver plays.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import psutil

from testbench.drivers.port import Limits

#: Between two looks, in seconds; a look that takes long is followed by a longer rest.
INTERVAL = 0.2
#: A look may cost this part of the time.
SHARE = 0.1


class Watch:
    """Ends a run that reaches a limit; a context manager around ``Driver.play``."""

    def __init__(self, workspace: Path, limits: Limits) -> None:
        self._workspace = workspace
        self._limits = limits
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name=f"watch {workspace.name}", daemon=True)
        #: "memory" or "disk" when that limit was reached, with what was seen; None otherwise.
        self.reached: tuple[str, str] | None = None

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self.reached is None and kind is None:
            # A short run may fill the disk between two looks.
            self.reached = self._disk()

    def _look(self) -> None:
        rest = INTERVAL
        while not self._over.wait(rest):
            begun = time.monotonic()
            self.reached = self._memory() or self._disk()
            if self.reached:
                # Until the driver is back: what is killed may be started again by another part of the run.
                end_processes(self._workspace)
                rest = INTERVAL
                while not self._over.wait(rest):
                    end_processes(self._workspace)
                return
            rest = max(INTERVAL, (time.monotonic() - begun) / SHARE)

    def _memory(self) -> tuple[str, str] | None:
        limit = self._limits.memory_bytes
        processes = list(processes_in(self._workspace))
        if sum(_memory(process, shared=True) for process in processes) <= limit:
            return None
        # Resident pages count once for each process that has them; the true sum costs more to find.
        used = sum(_memory(process, shared=False) for process in processes)
        if used <= limit:
            return None
        return "memory", f"{used >> 20} MiB in {len(processes)} processes, {limit >> 20} MiB are allowed"

    def _disk(self) -> tuple[str, str] | None:
        limit = self._limits.disk_bytes
        used = size_of(self._workspace)
        if used <= limit:
            return None
        return "disk", f"{used >> 20} MiB in the run's workspace, {limit >> 20} MiB are allowed"


def processes_in(folder: Path) -> Iterator[psutil.Process]:
    """Processes that we started in ``folder``, and everything that they started."""
    inside = f"{folder}{os.sep}"
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if f"{child.cwd()}{os.sep}".startswith(inside) or child.environ().get("HOME", "").startswith(
                inside
            ):
                yield child
                yield from child.children(recursive=True)


def end_processes(folder: Path) -> None:
    """Kill the processes of ``processes_in``."""
    for process in processes_in(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()


def size_of(folder: Path) -> int:
    """Bytes on disk of everything in ``folder``; files that vanish meanwhile count nothing."""
    total, waiting = 0, [folder]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
    return total


def _memory(process: psutil.Process, *, shared: bool) -> int:
    try:
        return int(process.memory_info().rss if shared else process.memory_full_info().pss)
    except psutil.Error:
        return 0
