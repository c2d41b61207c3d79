"""A worker: an engine that delivers, a dispatcher, a reaper beside them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from datetime import timedelta

from pipeline.engine.dispatch import Dispatcher, Units
from pipeline.engine.port import TICKS, Engine
from pipeline.engine.reaper import GRACE, ring_overdue

log = logging.getLogger(__name__)

#: Queues and how many ticks of each one worker runs at once. Bench and rollout jobs start processes of
#: their own, so there are few of them; mail and tracker calls mostly wait.
DEFAULT_QUEUES: Mapping[str, int] = {
    TICKS: 8,
    "mail": 8,
    "tracker": 2,
    "diagnosis": 2,
    "bench": 1,
    "rollout": 2,
}
#: Seconds between two looks of the reaper, and the age at which finished ticks are dropped.
REAPER_INTERVAL_S = 5.0
PURGE_AFTER_S = 3600.0


class Worker:
    """Runs until stopped. Start it once per process (DBOS is one per process)."""

    def __init__(
        self,
        engine: Engine,
        dispatcher: Dispatcher,
        units: Units,
        *,
        queues: Mapping[str, int] = DEFAULT_QUEUES,
        grace: timedelta = GRACE,
        reaper_interval_s: float = REAPER_INTERVAL_S,
    ) -> None:
        self._engine, self._dispatcher, self._units = engine, dispatcher, units
        self._queues, self._grace, self._interval = queues, grace, reaper_interval_s
        self._stop = threading.Event()
        self._reaper = threading.Thread(target=self._reap, name="reaper", daemon=True)

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to work."""
        self._engine.start(self._dispatcher, self._queues)
        self._reaper.start()

    def stop(self) -> None:
        """Finish what is short (up to 10 seconds), hand back what is long, and stop."""
        self._stop.set()
        self._dispatcher.cancel_jobs()
        self._reaper.join()
        self._engine.stop()

    def _reap(self) -> None:
        while not self._stop.is_set():
            try:
                with self._units("worker:reaper") as unit:
                    for tick in ring_overdue(unit, grace=self._grace):
                        log.info("rang again for %s", tick.key)
                self._engine.purge(PURGE_AFTER_S)
            except Exception:  # the database may be away for a moment; the next look is soon
                log.exception("reaper")
            self._stop.wait(self._interval)
