"""What happens when a bell rings: a tick of a thing, or a start of a job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from pipeline.engine.port import Tick
from pipeline.engine.tables import JobRow, WakeupRow
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import ConflictError, GarantError
from testbench.errors import TestbenchError

log = logging.getLogger(__name__)

#: How long a worker may be silent before its job is another's to take over.
LEASE = timedelta(seconds=30)
#: Waits between attempts of a failed job; the last one repeats.
BACKOFF = tuple(timedelta(seconds=s) for s in (1, 5, 30, 120, 600))

#: Decides for one thing, in the transaction given, by pure rules; returns when to look again (None: never).
TickFunction = Callable[[UnitOfWork, str], datetime | None]


class JobRetryError(Exception):
    """A job's handler says: not now. The world is as it was before; try again after the wait given.

    A postponed start does not count as an attempt when ``counts`` is false (the store is closed, the
    index lags): waiting is no failure.
    """

    def __init__(self, reason: str, *, after: timedelta, counts: bool = True) -> None:
        super().__init__(reason)
        self.after = after
        self.counts = counts


class LeaseLostError(Exception):
    """The job is no longer this worker's: it was overtaken, its time is over, or the worker stops.

    Raised by ``RunningJob.report``, so that a handler that reports unwinds by itself, and lets go of what it
    holds on its way out.
    """


@dataclass(kw_only=True)
class RunningJob:
    """One attempt at a job, outside any transaction.

    Attributes:
        attempt: 1 for the first. Higher: an earlier attempt may have acted, so look at the world first.
        deadline: when this attempt must be over (aware, UTC).
        cancelled: set when the lease is lost or the worker stops; long handlers that do not report look at it
            between steps.
    """

    effect_id: str
    kind: str
    args: dict[str, Any]
    attempt: int
    token: int
    deadline: datetime
    note: Callable[[str, int, dict[str, Any]], None]
    cancelled: threading.Event = field(default_factory=threading.Event)

    def report(self, text: str, *, done: float | None = None, total: float | None = None) -> None:
        """Show what the job is doing.

        Raises:
            LeaseLostError: it is not to go on.
        """
        if self.cancelled.is_set():
            raise LeaseLostError(f"job {self.effect_id}: attempt {self.attempt} is not to go on")
        self.note(self.effect_id, self.token, {"text": text, "done": done, "total": total})


#: Touches the world; returns the outcome (JSON). Raises JobRetryError to be called again, anything else is
#: a failure, tried again with back-off up to the job's ``max_attempts``.
JobFunction = Callable[[RunningJob], dict[str, Any]]


class Units(Protocol):
    """Opens a unit of work at the present instant."""

    def __call__(self, actor: str) -> AbstractContextManager[UnitOfWork]:
        """The unit for ``actor``."""


class Dispatcher:
    """Delivers ticks to the functions that decide, and starts of jobs to those that act."""

    def __init__(
        self,
        units: Units,
        clock: Callable[[], datetime],
        *,
        worker: str,
        ticks: Mapping[str, TickFunction],
        jobs: Mapping[str, JobFunction],
        lease: timedelta = LEASE,
    ) -> None:
        self._units = units
        self._clock = clock
        self._actor = f"worker:{worker}"
        self._worker = worker
        self._ticks = ticks
        self._jobs = jobs
        self._lease = lease
        self._running: dict[tuple[str, int], RunningJob] = {}
        self._lock = threading.Lock()

    def cancel_jobs(self) -> None:
        """Have running jobs end early: this worker stops, another one goes on with them."""
        with self._lock:
            for running in self._running.values():
                running.cancelled.set()

    def __call__(self, tick: Tick) -> None:
        """Do what the tick asks for, once; a stale tick does nothing."""
        if tick.kind == "job":
            self._run_job(tick)
            return
        function = self._ticks.get(tick.kind)
        if function is None:
            log.error("no tick function for kind %s (%s): older code?", tick.kind, tick.key)
            return
        for attempt in (1, 2, 3):
            try:
                with self._units(self._actor) as unit:
                    if _consume(unit, tick):
                        again = function(unit, tick.thing_id)
                        if again is not None:
                            unit.wake(tick.kind, tick.thing_id, again)
                return
            except ConflictError:
                # A person or another tick changed the row between our read and our write. Rules look at
                # the row as it is, so deciding again is all there is to do.
                if attempt == 3:
                    raise

    def _run_job(self, tick: Tick) -> None:
        running = self._lease_job(tick)
        if running is None:
            return
        with self._lock:
            self._running[running.effect_id, running.token] = running
        try:
            self._run_leased(running)
        finally:
            with self._lock:
                del self._running[running.effect_id, running.token]

    def _run_leased(self, running: RunningJob) -> None:
        with _Heartbeat(self, running):
            try:
                function = self._jobs[running.kind]
                outcome = function(running)
            except JobRetryError as retry:
                self._finish(running, retry_after=retry.after, error=str(retry), counts=retry.counts)
                return
            except LeaseLostError as cancelled:
                self._hand_back(running, str(cancelled))
                return
            except (GarantError, TestbenchError) as refusal:
                # Its message names the thing, its state and the next action; a stack would only hide that.
                log.warning("job %s: %s", running.effect_id, refusal)
                self._finish(running, error=str(refusal))
                return
            except Exception as error:  # any failure of the handler is the job's, not the worker's
                log.exception("job %s failed at attempt %d", running.effect_id, running.attempt)
                self._finish(running, error=f"{type(error).__name__}: {error}")
                return
        self._finish(running, outcome=outcome)

    def _lease_job(self, tick: Tick) -> RunningJob | None:
        with self._units(self._actor) as unit:
            wakeup = _current(unit, tick)
            if wakeup is None:
                return None
            job = unit.get(JobRow, tick.thing_id, called="job")
            if job.state in ("done", "failed") or job.kind not in self._jobs:
                wakeup.pending = job.kind not in self._jobs and job.state not in ("done", "failed")
                return None
            if job.state == "running" and job.lease_until is not None and job.lease_until > unit.now:
                return None  # the same tick delivered twice: the first is still at work
            job.state, job.worker = "running", self._worker
            job.attempts += 1
            job.token += 1
            job.lease_until = unit.now + self._lease
            job.updated_at = unit.now
            wakeup.reap_at = job.lease_until  # the reaper rings again only when the lease has run out
            return RunningJob(
                effect_id=job.effect_id,
                kind=job.kind,
                args=job.args,
                attempt=job.attempts,
                token=job.token,
                deadline=unit.now + timedelta(seconds=job.time_limit_s),
                note=self.note_progress,
            )

    def beat(self, running: RunningJob) -> None:
        """Extend the lease; ``cancelled`` is set when it is no longer ours or its time is over."""
        with self._units(self._actor) as unit:
            job = unit.get(JobRow, running.effect_id, called="job")
            if job.token != running.token or job.state != "running":
                running.cancelled.set()
                return
            if unit.now >= running.deadline:
                running.cancelled.set()  # not extended: after the lease another worker takes over
                return
            job.lease_until = unit.now + self._lease
            wakeup = unit.get(WakeupRow, ("job", running.effect_id), called="wake-up")
            wakeup.reap_at = job.lease_until

    def note_progress(self, effect_id: str, token: int, progress: dict[str, Any]) -> None:
        """Show what the job is doing (text, done, total)."""
        with self._units(self._actor) as unit:
            job = unit.get(JobRow, effect_id, called="job")
            if job.token == token:
                job.progress = progress
                job.updated_at = unit.now

    def _hand_back(self, running: RunningJob, reason: str) -> None:
        """Let another worker begin a further attempt at once; the world is not known to be untouched."""
        if self._clock() >= running.deadline:
            self._finish(running, error=f"{reason}: it took longer than it may")
            return
        with self._units(self._actor) as unit:
            job = unit.get(JobRow, running.effect_id, called="job")
            if job.token != running.token:
                return  # overtaken: it is another's already
            unit.get(WakeupRow, ("job", running.effect_id), called="wake-up").pending = False
            job.state, job.lease_until, job.worker, job.updated_at = "queued", None, None, unit.now
            unit.session.flush()
            unit.wake("job", job.effect_id, queue=job.queue)

    def _finish(
        self,
        running: RunningJob,
        *,
        outcome: dict[str, Any] | None = None,
        error: str | None = None,
        retry_after: timedelta | None = None,
        counts: bool = True,
    ) -> None:
        with self._units(self._actor) as unit:
            job = unit.get(JobRow, running.effect_id, called="job")
            if job.token != running.token:
                log.warning("job %s: outcome of an overtaken attempt is not taken", running.effect_id)
                return
            wakeup = unit.get(WakeupRow, ("job", running.effect_id), called="wake-up")
            wakeup.pending = False
            job.lease_until, job.worker, job.updated_at, job.error = None, None, unit.now, error
            if error is not None and not counts:
                job.attempts -= 1
            if error is not None and job.attempts < job.max_attempts:
                job.state = "queued"
                wait = retry_after or BACKOFF[min(job.attempts, len(BACKOFF)) - 1]
                unit.session.flush()
                unit.wake("job", job.effect_id, unit.now + wait, queue=job.queue)
                return
            job.state, job.outcome = ("failed", None) if error is not None else ("done", outcome)
            unit.record("job", job.effect_id, job.state, reason=error, outcome=outcome)
            if job.owner_kind and job.owner_id:
                unit.wake(job.owner_kind, job.owner_id)


class _Heartbeat:
    """Beats while the handler works, in a thread of its own."""

    def __init__(self, dispatcher: Dispatcher, running: RunningJob) -> None:
        self._dispatcher, self._running = dispatcher, running
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{running.effect_id}", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        every = self._dispatcher._lease.total_seconds() / 3
        while not self._stop.wait(every):
            try:
                self._dispatcher.beat(self._running)
            except Exception:  # the database may be away for a moment; the lease tells in the end
                log.exception("heartbeat of job %s", self._running.effect_id)


def _current(unit: UnitOfWork, tick: Tick) -> WakeupRow | None:
    # Any bell will do for a wake-up that is due, also an older one: were only the newest good, a reaper that
    # rings faster than the queue is worked off would make every bell stale before its turn. The newest bell
    # is good even a moment before its time, for the queue's clock and ours differ by milliseconds.
    row = unit.session.get(WakeupRow, (tick.kind, tick.thing_id), with_for_update=True)
    if row is None or not row.pending:
        return None
    return row if row.seq == tick.seq or row.due_at <= unit.now else None


def _consume(unit: UnitOfWork, tick: Tick) -> bool:
    row = _current(unit, tick)
    if row is None:
        return False
    row.pending = False
    unit.session.flush()
    return True
