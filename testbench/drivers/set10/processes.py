"""Child processes of a run: each in its own process group, killed as a group, never outliving the bench."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testbench.drivers.port import Limits

#: util-linux: the kernel kills the child when the thread that plays the run dies, also by kill -9.
_SETPRIV = shutil.which("setpriv")
_DIES_WITH_US = (_SETPRIV, "--pdeathsig", "KILL", "--") if _SETPRIV else ()
#: How much of a process's stderr is looked at for the error's type.
_TAIL_BYTES = 16 * 1024
POLL_SECONDS = 0.002


class StartError(Exception):
    """A process did not come up; the text is the end of its stderr."""


class Child:
    """One process of the product: started, asked where it listens, killed with all its children."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, limits: Limits, env: dict[str, str]
    ) -> None:
        """Args: name: for people ("register 1"); folder: where its output goes, as NAME.out and NAME.err."""
        self.name = name
        self._command = list(command)
        self._folder = folder
        self._limits = limits
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._stem = name.replace(" ", "-")

    def start(self) -> None:
        """Start it; it may be started again after ``kill``."""
        with self.errors_file.open("ab") as errors:
            self._process = subprocess.Popen(
                [*_DIES_WITH_US, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=self._folder,
                env=self._env,
                start_new_session=True,
            )
        _limit(self._process.pid, self._limits)

    @property
    def errors_file(self) -> Path:
        """Where its stderr goes."""
        return self._folder / f"{self._stem}.err"

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """Kill its whole group and wait for it; nothing is left, whatever state it is in."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._process = None

    def errors(self) -> str:
        """The end of what it wrote to stderr."""
        try:
            with self.errors_file.open("rb") as stream:
                stream.seek(0, os.SEEK_END)
                stream.seek(max(0, stream.tell() - _TAIL_BYTES))
                return stream.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def first_line(self, deadline: float) -> dict[str, Any]:
        """The JSON object that a whole store prints when it is ready.

        Raises:
            StartError: it ended, printed something else, or nothing until ``deadline`` (monotonic seconds).
        """
        assert self._process is not None
        stdout = self._process.stdout
        assert stdout is not None
        buffer = b""
        while b"\n" not in buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                raise StartError(f"{self.name} was not ready in time; {self.errors()[-500:]}")
            chunk = os.read(stdout.fileno(), 4096)
            if not chunk:
                raise StartError(f"{self.name} ended at its start; {self.errors()[-500:]}")
            buffer += chunk
        return self._object(buffer.split(b"\n", 1)[0])

    def announced(self, file: Path, deadline: float) -> dict[str, Any]:
        """The JSON object in the file that a single component writes when it listens.

        Raises:
            StartError: as ``first_line``.
        """
        while True:
            try:
                return self._object(file.read_bytes())
            except FileNotFoundError:
                pass
            if self.exit_code is not None:
                raise StartError(f"{self.name} ended at its start; {self.errors()[-500:]}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} was not ready in time; {self.errors()[-500:]}")
            time.sleep(POLL_SECONDS)

    def _object(self, text: bytes) -> dict[str, Any]:
        try:
            record = json.loads(text)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise StartError(f"{self.name} did not say where it listens, but {text[:200]!r}")
        return record


def _limit(pid: int, limits: Limits) -> None:
    """From outside, not between fork and exec: runs are played by threads, where that can deadlock."""
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
