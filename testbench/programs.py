"""Runs one program under limits and leaves nothing of it behind: builds, smoke tests, command scenarios."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Environment variable that every process of a run inherits; how those that left the group are found.
MARK = "TESTBENCH_RUN"
#: Between asking a program to end and killing it, in seconds.
GRACE = 1.0
#: How far a process's start time (counted from boot) may be off the wall clock, in seconds.
CLOCK_DRIFT = 60.0


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    #: Exit code; minus the signal's number when a signal ended it.
    code: int
    timed_out: bool
    #: Wall time in seconds.
    seconds: float


def run_program(
    argv: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path | None = None,
    seconds: float,
    memory_bytes: int | None = None,
    file_bytes: int | None = None,
) -> Ended:
    """Run it in ``folder`` with exactly this environment; then end everything that it started.

    Args:
        argv: program and arguments; no shell reads them.
        folder: its working folder.
        environment: the whole environment (the mark is added).
        stdout: file that its output is appended to; stderr too when no other file is given.
        stderr: file for its errors.
        seconds: wall time after which it is killed.
        memory_bytes: data of each process; None for no limit.
        file_bytes: size of any file written; None for no limit.

    Raises:
        OSError: the program cannot be started, or a file cannot be written.
    """
    mark = f"{os.getpid()}-{uuid.uuid4().hex}"
    # ulimit in a shell that becomes the program: a preexec function would be unsafe beside threads. Data, not
    # address space: JavaScript and Java engines reserve far more of the latter than they use.
    # A limit that is already lower stays.
    limits = f"ulimit -d {memory_bytes // 1024} 2>/dev/null || :; " if memory_bytes else ""
    limits += f"ulimit -f {file_bytes // 512} 2>/dev/null || :; " if file_bytes else ""
    if contained():
        # Not exec: process 1 of a namespace does not die of its own signals, so the program must not be it.
        wrapped = [*contained(), "/bin/sh", "-c", f'{limits}"$@"; exit $?', "sh", *argv]
    else:
        wrapped = ["/bin/sh", "-c", f'{limits}exec "$@"', "sh", *argv] if limits else list(argv)
    started = time.monotonic()
    with contextlib.ExitStack() as files:
        out = files.enter_context(stdout.open("ab"))
        err = files.enter_context(stderr.open("ab")) if stderr else out
        process = subprocess.Popen(
            wrapped,
            cwd=folder,
            env={**environment, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            timed_out = not _ends_within(process, seconds)
            code = -signal.SIGKILL if timed_out else _plain(process.wait())
        finally:
            # Also on Ctrl-C: nothing that we started outlives us.
            _end_group(process)
            _end_marked(mark, started_after=time.time() - (time.monotonic() - started) - CLOCK_DRIFT)
    return Ended(code, timed_out, time.monotonic() - started)


@functools.cache
def contained() -> tuple[str, ...]:
    """What to put before a program so that nothing of it can stay: empty where the machine does not allow it.

    A process-id and mount namespace of its own: whatever the program starts (daemons without any mark, double
    forks), and every mount, ends with it. It also ends when we are killed. 5 ms a program.
    """
    programs = shutil.which("setpriv"), shutil.which("unshare")
    if not all(programs):
        return ()
    setpriv, unshare = map(str, programs)
    before = (
        *(setpriv, "--pdeathsig", "KILL", "--"),
        *(unshare, "--fork", "--pid", "--mount-proc", "--kill-child=KILL", "--"),
    )
    try:
        probe = subprocess.run([*before, "/bin/true"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return before if probe.returncode == 0 else ()


def _plain(code: int) -> int:
    """A program that a signal ended: minus its number, also where a shell says 128 + number."""
    return 128 - code if contained() and 128 < code <= 128 + signal.NSIG else code


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait without polling: ``Popen.wait(timeout)`` sleeps up to 50 ms past the end, often half of a run."""
    descriptor = os.pidfd_open(process.pid)
    try:
        waiting = select.poll()  # select() fails in a process with more than 1,024 files
        waiting.register(descriptor, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GRACE)
    # The leader may be gone while its children are not.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_marked(mark: str, started_after: float) -> None:
    """Kill what left the process group (daemons); young processes only, so that few environments are read."""
    if contained():
        return
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.create_time() >= started_after and process.environ().get(MARK) == mark:
                process.kill()
