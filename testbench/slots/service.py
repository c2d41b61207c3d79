"""Slots of one machine, kept in a file of SQLite so that several processes share them safely.

    with slots.hold(stop) as held:
        outcome = play()
    if not held.counts: ...          # another one has the slot: the result is refused

Decisions are those of ``testbench.slots.rules``, each in one transaction that holds the file's write lock.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from testbench.errors import TestbenchError
from testbench.slots import rules
from testbench.slots.rules import Reservation, Slot

#: How often one who waits looks again, in seconds.
LOOK = 0.1
#: How long a transaction waits for another process's, in seconds.
BUSY = 60.0
#: A slot with less than this free is not healthy.
LEAST_DISK = 64 * 1024**2
LEAST_MEMORY = 64 * 1024**2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS slot (number INTEGER PRIMARY KEY, token INTEGER NOT NULL DEFAULT 0,
    quarantine TEXT, since REAL);
CREATE TABLE IF NOT EXISTS reservation (id TEXT PRIMARY KEY, owner TEXT NOT NULL, priority INTEGER NOT NULL,
    asked_at REAL NOT NULL, beat_at REAL NOT NULL, slot INTEGER, token INTEGER);
"""


class SlotsError(TestbenchError):
    """No slot can be had; the message says why and how to get one."""


@dataclass
class Held:
    """A slot that is held, and afterwards whether the holder's result counts."""

    slot: int
    token: int
    counts: bool = False


def health(folder: Path) -> str | None:
    """Why no run should begin in ``folder`` now; None when all is well."""
    probe = folder / f"health-{uuid.uuid4().hex[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < LEAST_DISK:
            return f"the disk of {folder} is full ({free >> 20} MiB free)"
        probe.write_bytes(b"healthy")
        probe.unlink()
    except OSError as problem:
        return f"the workspace {folder} cannot be written: {problem.strerror or problem}"
    available = psutil.virtual_memory().available
    if available < LEAST_MEMORY:
        return f"no free memory ({available >> 20} MiB)"
    return None


class Slots:
    """The slots of one home.

    Args:
        home: folder of the bench.
        benches: how many slots there are at least; $TESTBENCH_SLOTS says how many there are at most.
        priority: of the reservations made here; higher ones get slots first.
        check: why no run should begin in a folder now, None when all is well.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        home: Path,
        benches: int = 1,
        *,
        priority: int = 0,
        check: Callable[[Path], str | None] = health,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._file = home / "slots.db"
        self._runs = home / "runs"
        most = os.environ.get("TESTBENCH_SLOTS", "")
        self.capacity = int(most) if most.isdigit() and int(most) else max(benches, os.cpu_count() or 1)
        self._priority, self._check, self._now = priority, check, now

    @contextlib.contextmanager
    def hold(self, stop: threading.Event | None = None) -> Iterator[Held]:
        """Wait for a healthy slot and hold it; ``counts`` of what is given is set at the end.

        Args:
            stop: set by another thread to end the wait.

        Raises:
            SlotsError: all slots are in quarantine, or the wait was ended.
        """
        id_ = uuid.uuid4().hex
        with self._transaction() as base:
            base.execute(
                "INSERT INTO reservation (id, owner, priority, asked_at, beat_at) VALUES (?, ?, ?, ?, ?)",
                (id_, _owner(os.getpid()), self._priority, self._now(), self._now()),
            )
        ended = threading.Event()
        beating = threading.Thread(target=self._beat, args=(id_, ended), name="heartbeat", daemon=True)
        beating.start()
        try:
            held = self._wait(id_, stop or threading.Event())
            yield held
            held.counts = self._counts(id_, held)
        finally:
            ended.set()
            with self._transaction() as base:
                base.execute("DELETE FROM reservation WHERE id = ?", (id_,))
            beating.join()

    def listed(self) -> tuple[list[Slot], list[Reservation]]:
        """All slots, and all reservations that count."""
        if not self._file.exists():
            return [Slot(number=number) for number in range(1, self.capacity + 1)], []
        with self._transaction() as base:
            reservations = _reservations(base)
            dead = _dead(reservations)
            living = [one for one in reservations if not rules.expired(one, self._now(), dead)]
            return _slots(base), living

    def release(self, number: int) -> None:
        """Give a slot out again after its quarantine.

        Raises:
            SlotsError: there is no such slot, or it is in no quarantine.
        """
        slots = {slot.number: slot for slot in self.listed()[0]}
        if number not in slots:
            raise SlotsError(f"there is no slot {number}; there are {', '.join(map(str, slots))}")
        if slots[number].quarantine is None:
            raise SlotsError(f"slot {number} is in no quarantine; `testbench slots list` shows which are")
        with self._transaction() as base:
            _save(base, rules.released(slots[number]))

    def _wait(self, id_: str, stop: threading.Event) -> Held:
        while True:
            held = self._granted(id_)
            if held is not None:
                cause = self._check(self._runs)
                if cause is None:
                    return held
                self._quarantine(id_, held, cause)
            elif stop.wait(LOOK):
                raise SlotsError("the wait for a slot was ended")

    def _granted(self, id_: str) -> Held | None:
        with self._transaction() as base:
            now, slots, reservations = self._now(), _slots(base, self.capacity), _reservations(base)
            dead = _dead(reservations)
            for one in reservations:
                # Its slot is free for others; the reservation itself goes, so a late result is refused.
                if one.id != id_ and rules.expired(one, now, dead):
                    base.execute("DELETE FROM reservation WHERE id = ?", (one.id,))
            if all(slot.quarantine for slot in slots):
                raise SlotsError(
                    f"no slot can be used: {slots[0].quarantine}; mend that, then give the slots back: "
                    "testbench slots release --all"
                )
            for grant in rules.grants(slots, reservations, now, dead):
                if grant.reservation == id_:
                    base.execute(
                        "UPDATE reservation SET slot = ?, token = ?, beat_at = ? WHERE id = ?",
                        (grant.slot, grant.token, now, id_),
                    )
                    base.execute("UPDATE slot SET token = ? WHERE number = ?", (grant.token, grant.slot))
                    return Held(grant.slot, grant.token)
        return None

    def _quarantine(self, id_: str, held: Held, cause: str) -> None:
        with self._transaction() as base:
            base.execute("UPDATE reservation SET slot = NULL, token = NULL WHERE id = ?", (id_,))
            slot = next(slot for slot in _slots(base) if slot.number == held.slot)
            _save(base, rules.quarantined(slot, cause, self._now()))

    def _counts(self, id_: str, held: Held) -> bool:
        with self._transaction() as base:
            own = next((one for one in _reservations(base) if one.id == id_), None)
            slot = next((slot for slot in _slots(base) if slot.number == held.slot), None)
            return rules.counts(own, slot, self._now())

    def _beat(self, id_: str, ended: threading.Event) -> None:
        while not ended.wait(rules.HEARTBEAT):
            with contextlib.suppress(sqlite3.Error), self._transaction() as base:
                base.execute("UPDATE reservation SET beat_at = ? WHERE id = ?", (self._now(), id_))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with contextlib.closing(sqlite3.connect(self._file, timeout=BUSY, isolation_level=None)) as base:
                # What is lost with the machine's power are the reservations of processes that are lost too.
                base.execute("PRAGMA synchronous = OFF")
                base.execute("BEGIN IMMEDIATE")
                for statement in _SCHEMA.strip().split(";\n"):
                    base.execute(statement)
                base.executemany(
                    "INSERT OR IGNORE INTO slot (number) VALUES (?)",
                    [(number,) for number in range(1, self.capacity + 1)],
                )
                yield base
                base.execute("COMMIT")
        except sqlite3.DatabaseError as problem:
            raise SlotsError(
                f"the slots in {self._file} cannot be read or written: {problem}; "
                "free the disk, or remove that file while nothing runs"
            ) from problem


def _slots(base: sqlite3.Connection, most: int | None = None) -> list[Slot]:
    rows = base.execute("SELECT number, token, quarantine, since FROM slot ORDER BY number").fetchall()
    return [Slot(number=row[0], token=row[1], quarantine=row[2], since=row[3]) for row in rows][:most]


def _save(base: sqlite3.Connection, slot: Slot) -> None:
    base.execute(
        "UPDATE slot SET quarantine = ?, since = ? WHERE number = ?",
        (slot.quarantine, slot.since, slot.number),
    )


def _reservations(base: sqlite3.Connection) -> list[Reservation]:
    names = ("id", "owner", "priority", "asked_at", "beat_at", "slot", "token")
    rows = base.execute(f"SELECT {', '.join(names)} FROM reservation").fetchall()  # noqa: S608 - our own names
    return [Reservation(**dict(zip(names, row, strict=True))) for row in rows]


def _owner(pid: int) -> str:
    """A process and when it began: ids are used again."""
    return f"{pid}@{psutil.Process(pid).create_time():.2f}"


def _dead(reservations: list[Reservation]) -> set[str]:
    dead = set()
    for owner in {one.owner for one in reservations}:
        try:
            living = _owner(int(owner.partition("@")[0])) == owner
        except psutil.NoSuchProcess:
            living = False
        except psutil.Error:
            living = True
        if not living:
            dead.add(owner)
    return dead
