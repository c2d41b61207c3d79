"""The part of a change that must reach an end whatever becomes of the connection that asked for it.

The change runs in a grandchild of the module: own session, no terminal, no inherited streams, deaf to SIGHUP,
SIGINT and SIGTERM. When SSH is cut, sshd and the module may die; the grandchild goes on to its end
or undoes itself, and its receipt tells. It never reports over a pipe: the receipt is the only result.
"""

import os
import select
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

_DEAF_TO = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def run_detached(work: Callable[[], None], log: Path, wait: float) -> bool:
    """Run ``work`` detached; return True when it has ended (well or not), False when ``wait`` seconds passed.

    What it prints, and a traceback when it breaks, goes to ``log``.
    """
    alive, held = os.pipe()
    child = os.fork()
    if child == 0:
        _become_worker(work, log, alive)
    os.close(held)
    try:
        os.waitpid(child, 0)
        # Nobody writes: the pipe becomes readable (end of file) when the worker, however it ends, is gone.
        ready, _, _ = select.select([alive], [], [], wait)
    finally:
        os.close(alive)
    return bool(ready)


def _become_worker(work: Callable[[], None], log: Path, alive: int) -> None:
    # Leaves by os._exit always: the caller's clean-up handlers (Ansible's among them) are not ours to run.
    try:
        os.close(alive)
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        for number in _DEAF_TO:
            # Not SIG_IGN: what we start would inherit it, and a product could not be ended any more.
            signal.signal(number, lambda *_: None)
        os.chdir("/")
        _leave_streams(log)
        work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _leave_streams(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for target, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(output)
