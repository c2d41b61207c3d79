"""Ticks, jobs, leases and the reaper, on virtual time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.application import Garant
from pipeline.database.base import EventRow
from pipeline.engine.dispatch import LEASE, Dispatcher, JobFunction, JobRetryError, RunningJob, TickFunction
from pipeline.engine.memory import MemoryEngine
from pipeline.engine.port import Tick
from pipeline.engine.reaper import GRACE, ring_overdue
from pipeline.engine.tables import JobRow, WakeupRow
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import ConflictError, GarantError
from testbench.errors import TestbenchError

SECOND = timedelta(seconds=1)


class Rig:
    """An application whose ticks and jobs the test gives."""

    def __init__(self, app: Garant) -> None:
        self.app = app
        self.engine = app.engine
        assert isinstance(self.engine, MemoryEngine)
        self.ticks: dict[str, TickFunction] = {}
        self.jobs: dict[str, JobFunction] = {}

    def dispatcher(self, worker: str = "w1") -> Dispatcher:
        return Dispatcher(self.app.unit, self.app.clock, worker=worker, ticks=self.ticks, jobs=self.jobs)

    def run(self) -> int:
        assert isinstance(self.engine, MemoryEngine)
        return self.engine.run_due(self.dispatcher())

    def start_job(self, **more: Any) -> None:
        with self.app.unit("test") as unit:
            unit.start_job("act", "effect-1", {"n": 1}, queue="mail", **more)

    def job(self) -> JobRow:
        with self.app.database.reading() as session:
            return session.scalars(select(JobRow)).one()

    def wakeup(self, kind: str, thing_id: str) -> WakeupRow:
        with self.app.database.reading() as session:
            row = session.get(WakeupRow, (kind, thing_id))
            assert row is not None
            return row


@pytest.fixture
def rig(app: Garant) -> Rig:
    return Rig(app)


def counting(
    calls: list[str], again: Callable[[UnitOfWork], datetime | None] = lambda _: None
) -> TickFunction:
    def tick(unit: UnitOfWork, thing_id: str) -> datetime | None:
        calls.append(thing_id)
        return again(unit)

    return tick


def test_a_tick_runs_once_however_often_it_is_delivered(rig: Rig) -> None:
    """The wake-up is consumed by the first delivery; the second finds nothing to do."""
    calls: list[str] = []
    rig.ticks["case"] = counting(calls)
    with rig.app.unit("test") as unit:
        unit.wake("case", "G-1")
    dispatcher = rig.dispatcher()
    tick = Tick(kind="case", thing_id="G-1", seq=1)
    dispatcher(tick)
    dispatcher(tick)

    assert calls == ["G-1"]


def test_a_tick_says_when_to_look_again(rig: Rig, clock: Any) -> None:
    """What the function returns is the next wake-up, and not before."""
    calls: list[str] = []
    rig.ticks["case"] = counting(calls, lambda unit: unit.now + 60 * SECOND if len(calls) < 2 else None)
    with rig.app.unit("test") as unit:
        unit.wake("case", "G-1")
    rig.run()
    clock.advance(59 * SECOND)
    rig.run()
    assert calls == ["G-1"]
    clock.advance(SECOND)
    rig.run()

    assert calls == ["G-1", "G-1"]


def test_an_earlier_wakeup_wins(rig: Rig, clock: Any) -> None:
    """A later wish does not delay an earlier bell; an earlier one brings the bell forward."""
    for seconds in (60, 90, 30):
        with rig.app.unit("test") as unit:
            unit.wake("case", "G-1", unit.now + seconds * SECOND)

    assert rig.wakeup("case", "G-1").due_at == clock.now + 30 * SECOND
    assert rig.wakeup("case", "G-1").seq == 2


def test_a_failing_tick_leaves_nothing_and_stays_due(rig: Rig) -> None:
    """On an exception the whole transaction is rolled back and the wake-up is still pending."""

    def tick(unit: UnitOfWork, thing_id: str) -> None:
        unit.record("case", thing_id, "half")
        raise ValueError("bad luck")

    rig.ticks["case"] = tick
    with rig.app.unit("test") as unit:
        unit.wake("case", "G-1")
    with pytest.raises(ValueError, match="bad luck"):
        rig.run()

    assert rig.wakeup("case", "G-1").pending
    with rig.app.database.reading() as session:
        assert session.scalars(select(EventRow)).all() == []


def test_a_conflict_is_decided_again(rig: Rig) -> None:
    """A row changed by somebody else in between: the tick looks again and decides on what is there now."""
    calls: list[str] = []

    def tick(unit: UnitOfWork, thing_id: str) -> None:
        calls.append(thing_id)
        if len(calls) == 1:
            raise ConflictError("changed by another")

    rig.ticks["case"] = tick
    with rig.app.unit("test") as unit:
        unit.wake("case", "G-1")
    rig.run()

    assert calls == ["G-1", "G-1"]
    assert not rig.wakeup("case", "G-1").pending


def test_a_job_is_done_and_its_owner_woken(rig: Rig) -> None:
    """The outcome is kept on the job's row, and the owner looks at it."""
    calls: list[str] = []
    rig.ticks["case"] = counting(calls)
    rig.jobs["act"] = lambda job: {"answer": job.args["n"]}
    rig.start_job(owner=("case", "G-1"))
    rig.run()

    assert (rig.job().state, rig.job().outcome, rig.job().attempts) == ("done", {"answer": 1}, 1)
    assert calls == ["G-1"]


def test_the_same_effect_twice_is_one_job(rig: Rig) -> None:
    """Asked for again, before and after it was done, the effect is not repeated."""
    acts: list[int] = []
    rig.jobs["act"] = lambda job: {"acts": acts.append(job.attempt)}
    rig.start_job()
    rig.start_job()
    rig.run()
    rig.start_job()
    rig.run()

    assert acts == [1]


def test_a_failing_job_is_tried_again_and_then_failed(rig: Rig, clock: Any) -> None:
    """With back-off up to its number of attempts; then it is failed with its reason, and the owner woken."""
    calls: list[str] = []
    attempts: list[int] = []

    def act(job: RunningJob) -> dict[str, Any]:
        attempts.append(job.attempt)
        raise OSError("no route to host")

    rig.ticks["case"] = counting(calls)
    rig.jobs["act"] = act
    rig.start_job(owner=("case", "G-1"), max_attempts=3)
    for _ in range(10):
        rig.run()
        clock.advance(10 * SECOND)

    assert attempts == [1, 2, 3]
    assert (rig.job().state, rig.job().error) == ("failed", "OSError: no route to host")
    assert calls == ["G-1"]


@pytest.mark.parametrize("kind", [GarantError, TestbenchError])
def test_a_refusal_is_told_in_its_own_words(
    rig: Rig, caplog: pytest.LogCaptureFixture, kind: type[Exception]
) -> None:
    """What a job refuses with says what to do; neither a class's name nor a stack stands before it."""

    def act(job: RunningJob) -> dict[str, Any]:
        raise kind("no tag 'v9': see `git tag`")

    rig.jobs["act"] = act
    rig.start_job(max_attempts=1)
    rig.run()

    assert (rig.job().state, rig.job().error) == ("failed", "no tag 'v9': see `git tag`")
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)]


def test_waiting_is_no_failure(rig: Rig, clock: Any) -> None:
    """A postponed start is tried again when it said, and does not use up the attempts."""
    starts: list[datetime] = []

    def act(job: RunningJob) -> dict[str, Any]:
        starts.append(clock.now)
        if len(starts) < 4:
            raise JobRetryError("the store is closed", after=60 * SECOND, counts=False)
        return {}

    rig.jobs["act"] = act
    rig.start_job(max_attempts=1)
    for _ in range(5):
        rig.run()
        clock.advance(60 * SECOND)

    assert [(start - starts[0]) // (60 * SECOND) for start in starts] == [0, 1, 2, 3]
    assert rig.job().state == "done"


def test_an_overtaken_attempt_does_not_count(rig: Rig, clock: Any) -> None:
    """A worker that slept past its lease finds its outcome refused: the newer attempt's stands."""
    engine = rig.engine
    assert isinstance(engine, MemoryEngine)

    def act(job: RunningJob) -> dict[str, Any]:
        if job.attempt == 1:  # this worker sleeps; another one takes over and finishes
            clock.advance(LEASE + GRACE + SECOND)
            with rig.app.unit("reaper") as unit:
                ring_overdue(unit)
            engine.run_due(rig.dispatcher("w2"))
        return {"by": job.attempt}

    rig.jobs["act"] = act
    rig.start_job()
    rig.run()

    assert rig.job().outcome == {"by": 2}
    assert rig.job().token == 2


def test_a_running_job_is_not_started_twice(rig: Rig) -> None:
    """The same bell delivered again while the job is at work does nothing."""
    starts: list[int] = []

    def act(job: RunningJob) -> dict[str, Any]:
        starts.append(job.attempt)
        rig.dispatcher("w2")(Tick(kind="job", thing_id="effect-1", seq=1))
        return {}

    rig.jobs["act"] = act
    rig.start_job()
    rig.run()

    assert starts == [1]


def test_progress_is_shown(rig: Rig) -> None:
    """What a job reports stands on its row while it works."""
    seen: list[dict[str, Any] | None] = []

    def act(job: RunningJob) -> dict[str, Any]:
        job.report("run 3 of 20", done=3, total=20)
        seen.append(rig.job().progress)
        return {}

    rig.jobs["act"] = act
    rig.start_job()
    rig.run()

    assert seen == [{"text": "run 3 of 20", "done": 3, "total": 20}]


def test_a_stopping_worker_hands_its_job_back(rig: Rig) -> None:
    """A long job ends at its next report and is at once another worker's, as a further attempt."""
    first, attempts = rig.dispatcher("w1"), []

    def act(job: RunningJob) -> dict[str, Any]:
        attempts.append(job.attempt)
        if job.attempt == 1:
            first.cancel_jobs()
            job.report("half-way")
        return {"by": job.attempt}

    rig.jobs["act"] = act
    rig.start_job(max_attempts=1)
    first(Tick(kind="job", thing_id="effect-1", seq=1))
    handed_back = rig.job().state
    rig.run()

    assert handed_back == "queued"
    assert attempts == [1, 2]
    assert rig.job().outcome == {"by": 2}


def test_a_job_beyond_its_time_is_a_failed_attempt(rig: Rig, clock: Any) -> None:
    """What takes longer than it may ends at its next report, and counts as an attempt."""

    def act(job: RunningJob) -> dict[str, Any]:
        clock.advance(11 * SECOND)
        job.cancelled.set()  # as the heartbeat does when the deadline has passed
        job.report("still at it")
        raise AssertionError("not reached")

    rig.jobs["act"] = act
    rig.start_job(max_attempts=1, time_limit=10 * SECOND)
    rig.run()

    assert rig.job().state == "failed"
    assert "longer than it may" in (rig.job().error or "")


def test_the_reaper_rings_a_lost_bell(rig: Rig, clock: Any) -> None:
    """What is overdue is rung under a new number; the old bell, should it turn up, does nothing."""
    calls: list[str] = []
    rig.ticks["case"] = counting(calls)
    with rig.app.unit("test") as unit:
        unit.wake("case", "G-1")
    engine = rig.engine
    assert isinstance(engine, MemoryEngine)
    lost = engine.run_due(lambda tick: None)  # delivered to a worker that died
    clock.advance(GRACE)
    with rig.app.unit("reaper") as unit:
        assert ring_overdue(unit) == []
    clock.advance(SECOND)
    with rig.app.unit("reaper") as unit:
        rung = ring_overdue(unit)
    rig.run()
    rig.dispatcher()(Tick(kind="case", thing_id="G-1", seq=1))

    assert lost == 1
    assert [tick.seq for tick in rung] == [2]
    assert calls == ["G-1"]


def test_an_old_bell_serves_a_new_ring(rig: Rig, clock: Any) -> None:
    """A long queue makes no bell stale: the first one delivered does the work, the re-rung one nothing."""
    calls: list[str] = []
    rig.ticks["case"] = counting(calls)
    with rig.app.unit("test") as unit:
        unit.wake("case", "G-1")
    clock.advance(GRACE + SECOND)
    with rig.app.unit("reaper") as unit:
        ring_overdue(unit)
    rig.dispatcher()(Tick(kind="case", thing_id="G-1", seq=1))
    rig.dispatcher()(Tick(kind="case", thing_id="G-1", seq=2))

    assert calls == ["G-1"]


def test_an_early_old_bell_does_nothing(rig: Rig, clock: Any) -> None:
    """A bell left over from before does not bring forward what is due later."""
    calls: list[str] = []
    rig.ticks["case"] = counting(calls, lambda unit: unit.now + 60 * SECOND if len(calls) < 2 else None)
    with rig.app.unit("test") as unit:
        unit.wake("case", "G-1")
    rig.run()
    rig.dispatcher()(Tick(kind="case", thing_id="G-1", seq=1))

    assert calls == ["G-1"]


def test_the_reaper_waits_longer_each_time(rig: Rig, clock: Any) -> None:
    """Rung 1, 2, 4 graces apart: a queue that is only long is not made longer and longer."""
    rig.ticks["case"] = counting([])
    with rig.app.unit("test") as unit:
        unit.wake("case", "G-1")
    begun = clock.now
    rings: list[float] = []
    while len(rings) < 4:
        clock.advance(SECOND)
        with rig.app.unit("reaper") as unit:
            if ring_overdue(unit):
                rings.append((clock.now - begun) // GRACE)

    assert rings == [1, 2, 4, 8]


def test_a_job_of_unknown_kind_waits_for_newer_code(rig: Rig) -> None:
    """A worker that does not know the kind leaves the job queued, for one that does."""
    rig.start_job()
    rig.run()

    assert rig.job().state == "queued"
    assert rig.wakeup("job", "effect-1").pending
