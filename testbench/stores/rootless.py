"""Stores for an ordinary user: the whole fleet, routers included, inside one user and network namespace.

Two ways in:

* ``reexec_inside_user_namespace()``: a program that makes stores, uses them and takes them down (the demo, a
  test run) calls it first thing and continues inside. When the program ends, everything ends with it.
* a holder process that keeps the namespaces between commands: ``testbench stores up`` starts it, the other
  commands and ``testbench stores exec -- COMMAND`` enter it, ``down`` ends it.

Inside, the program is root of that namespace only, and the code is the same as for root. Needs uidmap and a
range in /etc/subuid and /etc/subgid: sshd separates its privileges by changing to a second user.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import psutil

from testbench.stores import holder, processes
from testbench.stores.detect import detect_mode
from testbench.stores.errors import StartError
from testbench.stores.isolated import COLLECTED_S
from testbench.stores.state import StateDir

_KINDS = ("--user", "--net", "--mount", "--pid", "--uts", "--ipc")
_UNSHARE = (
    "unshare",
    *_KINDS,
    "--map-auto",
    "--map-root-user",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--",
)
_HOLDER = (sys.executable, "-I", "-S", holder.__file__)


def needs_user_namespace() -> bool:
    """True when the caller is neither root nor already root of a user namespace."""
    return os.geteuid() != 0


def reexec_inside_user_namespace(argv: Sequence[str] | None = None) -> None:
    """Run this program again inside a user namespace of its own; returns only where that is not needed.

    Root, and a program already inside, go on as they are. An ordinary user's process becomes the
    ``unshare`` that runs ``argv`` (default: the same command line) and ends with its exit code. The program
    sees itself as root of the namespace, with the caller's files, and no network but its stores'.

    Raises:
        ModeUnavailableError: this machine refuses it; the message says what is missing and what brings it.

    """
    if not needs_user_namespace():
        return
    detect_mode().choose("runit")
    command = [*_UNSHARE, *_HOLDER, *(argv if argv is not None else [sys.executable, *sys.orig_argv[1:]])]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvp(command[0], command)  # noqa: S606 - the same program goes on inside


def holder_of(state: StateDir) -> int | None:
    """The holder process of this state directory when it runs, else None."""
    return processes.recorded_pid(state.holder)


def start_holder(state: StateDir) -> int:
    """Make the namespaces of this state directory and note their holder; returns its process number.

    Raises:
        ModeUnavailableError, StartError: with the reason.

    """
    detect_mode().choose("runit")
    state.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    outer = subprocess.Popen(
        [*_UNSHARE, *_HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert outer.stdin is not None
    assert outer.stdout is not None
    assert outer.stderr is not None
    with outer.stdin, outer.stdout, outer.stderr:
        if outer.stdout.readline() != "ready\n":
            raise StartError(f"the user namespace could not be made: {outer.stderr.read().strip()}")
        inner = psutil.Process(outer.pid).children()[0].pid
        state.holder.write_text(f"{inner} {processes.start_time(inner)}\n")
        outer.stdin.write("keep\n")
    outer.returncode = 0  # it is meant to outlive this process: no warning when the handle goes
    return inner


def end_holder(state: StateDir) -> bool:
    """End the holder and with it every process, link and mount of the fleet; False when there was none."""
    pid = holder_of(state)
    if pid is None:
        return False
    outer = psutil.Process(pid).ppid()
    processes.end([pid])
    if outer > 1:
        processes.end([outer], COLLECTED_S)
    return True


def can_enter() -> bool:
    """True when this machine lets this user make such a namespace."""
    return any(check.mode == "runit" and check.available for check in detect_mode().checks)


def inside(pid: int, argv: Sequence[str]) -> list[str]:
    """The command line that runs ``argv`` inside the holder's namespaces, in the same folder."""
    return [
        "nsenter",
        f"--target={pid}",
        *_KINDS,
        "--preserve-credentials",
        "--",
        "env",
        f"--chdir={Path.cwd()}",
        *argv,
    ]


def enter(pid: int, argv: Sequence[str]) -> NoReturn:
    """Continue as ``argv`` inside the holder's namespaces."""
    command = inside(pid, argv)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvp(command[0], command)  # noqa: S606 - the same program goes on inside


def same_command() -> list[str]:
    """The command line of this program, to run it again inside."""
    return [sys.executable, *sys.orig_argv[1:]]
