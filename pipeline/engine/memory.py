"""The engine in memory: for tests on virtual time and for tools that need no durability."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import event
from sqlalchemy.orm import Session

from pipeline.engine.port import Tick, TickHandler

log = logging.getLogger(__name__)


class MemoryEngine:
    """Ticks in a heap, ordered by the instant they are due by the clock given.

    Nothing runs by itself unless started: tests call ``run_due`` after moving their clock. ``start``
    delivers in a thread by the same clock, for whoever needs a live engine without durability.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._heap: list[tuple[datetime, int, str, Tick]] = []
        self._order = itertools.count()
        self._keys: set[str] = set()
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def enqueue(self, session: Session, tick: Tick, *, queue: str, delay_seconds: float) -> None:
        """Put the tick on the queue when the session's transaction commits."""
        due = self._clock() + timedelta(seconds=delay_seconds)

        @event.listens_for(session, "after_commit", once=True)
        def _committed(_session: Session) -> None:
            with self._lock:
                if tick.key not in self._keys:
                    self._keys.add(tick.key)
                    heapq.heappush(self._heap, (due, next(self._order), queue, tick))
                    self._lock.notify_all()

    def next_due(self) -> datetime | None:
        """When the earliest tick is due, or None when there is none."""
        with self._lock:
            return self._heap[0][0] if self._heap else None

    def run_due(self, handler: TickHandler, *, limit: int = 10_000) -> int:
        """Deliver every tick that is due by the clock, in order; returns how many.

        Raises:
            RuntimeError: more than ``limit`` ticks ran: something wakes itself without end.
        """
        for count in range(limit):
            tick = self._pop_due()
            if tick is None:
                return count
            handler(tick)
        raise RuntimeError(f"more than {limit} ticks at one instant: a tick that always wakes itself")

    def start(self, handler: TickHandler, queues: Mapping[str, int]) -> None:
        """Deliver in one thread until stopped (every queue is listened to)."""
        self._stopping = False
        self._thread = threading.Thread(
            target=self._deliver, args=(handler,), name="memory-engine", daemon=True
        )
        self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Stop delivering and wait for the running tick."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            self._thread = None

    def purge(self, older_than_seconds: float) -> int:
        """Nothing is kept of finished ticks but their keys; forget those."""
        with self._lock:
            live = {tick.key for _, _, _, tick in self._heap}
            gone = len(self._keys) - len(live)
            self._keys = live
            return gone

    def _pop_due(self) -> Tick | None:
        with self._lock:
            if self._heap and self._heap[0][0] <= self._clock():
                return heapq.heappop(self._heap)[3]
            return None

    def _deliver(self, handler: TickHandler) -> None:
        while True:
            with self._lock:
                if self._stopping:
                    return
                if not self._heap or self._heap[0][0] > self._clock():
                    self._lock.wait(0.02)
                    continue
            tick = self._pop_due()
            if tick is not None:
                try:
                    handler(tick)
                except Exception:  # one bad tick must not silence the others
                    log.exception("tick %s", tick.key)
