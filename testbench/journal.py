"""The journal of a command: outcomes of its finished runs, so that it can go on after a kill -9.

    HOME/journals/KEY.jsonl     one line a finished run, on the disk before the next question is asked
    HOME/journals/KEY.lock      held while the command runs

KEY is a digest of everything that decides what the command would ask and see. A command that ended with an
answer needs its journal no more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from testbench.outcomes import Kind, Outcome

#: A journal that nobody went on with for so long (seconds) is removed; the oldest go first above the size.
AGE = 14 * 24 * 3600.0
SIZE = 64 * 1024**2


class Journal:
    """What was seen, by question; each outcome is given once, in the order in which it was seen."""

    def __init__(self, file: Path | None = None) -> None:
        """Args: file: where it is kept; None keeps nothing."""
        self._file = file
        self._lock = threading.Lock()
        self._seen: dict[str, list[Outcome]] = defaultdict(list)
        #: Finished runs that an earlier start of the command left here.
        self.found = 0
        #: Whether the bench itself failed in the last run: such a command is worth going on with.
        self.failed = False
        if file is not None and file.exists():
            self._read(file)

    def take(self, question: str) -> Outcome | None:
        """The next outcome of this question that was seen before; None when it must be played."""
        with self._lock:
            seen = self._seen.get(question)
            return seen.pop(0) if seen else None

    def add(self, question: str, outcome: Outcome) -> None:
        """Remember a finished run; it is on the disk when this returns. Infra says nothing and is not kept.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            self.failed = outcome.kind is Kind.INFRA
            if self._file is None or self.failed:
                return
            line = json.dumps({"question": question, "outcome": outcome.as_json()}, ensure_ascii=False)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())

    def _read(self, file: Path) -> None:
        whole = 0
        for line in file.read_bytes().splitlines(keepends=True):
            try:
                if not line.endswith(b"\n"):
                    break
                record = json.loads(line)
                self._seen[record["question"]].append(Outcome.from_json(record["outcome"]))
            except (ValueError, KeyError, TypeError):
                break
            whole += len(line)
            self.found += 1
        # A line that the kill cut off would spoil the one that is written after it.
        os.truncate(file, whole)


@contextlib.contextmanager
def kept(home: Path, parts: Any, *, fresh: bool = False) -> Iterator[Journal]:
    """The journal of the command that ``parts`` (plain JSON values) describe.

    It is removed when the block ends with an answer or a refusal, and kept when it was broken off. While
    another process works on the same command, this one goes without a journal.

    Args:
        home: folder of the bench.
        parts: everything that decides what the command asks and sees.
        fresh: begin anew, whatever is there.
    """
    folder = home / "journals"
    folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
    file, lock = folder / f"{key}.jsonl", FileLock(folder / f"{key}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield Journal()
        return
    try:
        if fresh:
            file.unlink(missing_ok=True)
        purge(folder, time.time())
        journal = Journal(file)
        try:
            yield journal
        except Exception:
            if not journal.failed:
                file.unlink(missing_ok=True)
            raise
        file.unlink(missing_ok=True)
    finally:
        lock.release()


def purge(folder: Path, now: float, *, age: float = AGE, size: int = SIZE) -> list[Path]:
    """Remove journals that are too old, then the oldest until all together keep the size; gives what went.

    Args:
        folder: where they are.
        now: seconds since the epoch.
        age: seconds since the last run was written.
        size: bytes.
    """
    found = []
    for file in folder.glob("*.jsonl"):
        with contextlib.suppress(OSError):
            status = file.stat()
            found.append((status.st_mtime, status.st_size, file))
    total, gone = sum(one[1] for one in found), []
    for written, length, file in sorted(found):
        if now - written <= age and total <= size:
            break
        with contextlib.suppress(Timeout), FileLock(file.with_suffix(".lock"), timeout=0):
            file.unlink(missing_ok=True)
            file.with_suffix(".lock").unlink(missing_ok=True)
            total -= length
            gone.append(file)
    return gone
