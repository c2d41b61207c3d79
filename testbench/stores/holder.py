"""PID 1 of the user namespace that an ordinary user's stores live in. Standard library only, run by its path.

``holder.py`` prints ``ready``, waits for ``keep`` on stdin, and then stays until it is killed; with it goes
everything in the namespace. Its maker says ``keep`` when it has noted the holder in the state directory: a
maker that is killed before that takes the holder with it, so none is ever forgotten.
``holder.py COMMAND ...`` runs the command inside and ends with its exit code.

In both cases it collects the exit codes of orphans, which is what a PID 1 is for: the hosts' own PIDs 1
become its children, and would otherwise stay as zombies.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _collect(until: int | None) -> int:
    """Collect children for ever, or until that one has ended; returns its exit code."""
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            signal.sigwait({signal.SIGCHLD})
            continue
        if pid == until:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main(arguments: list[str]) -> int:
    """Hold the namespace, or run the command in it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    if not arguments:
        print("ready", flush=True)
        if sys.stdin.readline() != "keep\n":
            return 1
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        return _collect(None)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.execvp(arguments[0], arguments)  # noqa: S606 - runs the caller's own command

    def forward(number: int, frame: FrameType | None) -> None:
        del frame
        os.kill(child, number)

    # A terminal sends Ctrl-C to the whole group; forwarding covers a signal sent to this process alone.
    for number in FORWARDED:
        signal.signal(number, forward)
    return _collect(child)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
