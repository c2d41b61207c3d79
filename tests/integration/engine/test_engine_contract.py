"""One contract for every engine: in memory, DBOS on SQLite, DBOS on PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from pipeline.database import Database
from pipeline.engine.dbos import DbosEngine
from pipeline.engine.memory import MemoryEngine
from pipeline.engine.port import TICKS, Engine, Tick

PATIENCE_S = 20.0


class Collector:
    """Counts what is delivered."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self._changed = threading.Condition()

    def __call__(self, tick: Tick) -> None:
        with self._changed:
            self.ticks.append(tick)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Tick]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ticks) >= count, PATIENCE_S), self.ticks
            return list(self.ticks)


@pytest.fixture(params=["memory", "dbos"])
def engine(request: pytest.FixtureRequest, database: Database) -> Iterator[Engine]:
    made: Engine
    if request.param == "memory":
        made = MemoryEngine(lambda: datetime.now(UTC))
    else:
        made = DbosEngine(database)
        made.migrate()
    yield made
    made.stop(1)


def tick(number: int = 1, kind: str = "case") -> Tick:
    return Tick(kind=kind, thing_id="G-1", seq=number)


def settled(collector: Collector, seconds: float = 1.5) -> list[Tick]:
    """What has been delivered after a while in which nothing more should be."""
    time.sleep(seconds)
    return list(collector.ticks)


def test_a_committed_tick_is_delivered(engine: Engine, database: Database) -> None:
    """What was enqueued in a committed transaction is delivered."""
    collector = Collector()
    with database.transaction() as session:
        engine.enqueue(session, tick(), queue=TICKS, delay_seconds=0)
    engine.start(collector, {TICKS: 2})

    assert collector.wait(1) == [tick()]


def test_a_rolled_back_tick_never_was(engine: Engine, database: Database) -> None:
    """On rollback nothing is delivered; a later tick shows that the engine is alive."""
    collector = Collector()
    engine.start(collector, {TICKS: 2})

    def roll_back() -> None:
        with database.transaction() as session:
            engine.enqueue(session, tick(1), queue=TICKS, delay_seconds=0)
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        roll_back()
    with database.transaction() as session:
        engine.enqueue(session, tick(2), queue=TICKS, delay_seconds=0)

    assert collector.wait(1) == [tick(2)]
    assert settled(collector) == [tick(2)]


def test_the_same_tick_twice_is_one(engine: Engine, database: Database) -> None:
    """A tick's key is its identity, within one transaction and across two."""
    collector = Collector()
    for _ in range(2):
        with database.transaction() as session:
            engine.enqueue(session, tick(), queue=TICKS, delay_seconds=0)
            engine.enqueue(session, tick(), queue=TICKS, delay_seconds=0)
    engine.start(collector, {TICKS: 2})
    collector.wait(1)

    assert settled(collector) == [tick()]


def test_a_delayed_tick_waits(engine: Engine, database: Database) -> None:
    """A delayed tick comes after one that is due at once, and not before its time."""
    collector = Collector()
    begun = time.monotonic()
    with database.transaction() as session:
        engine.enqueue(session, tick(1), queue=TICKS, delay_seconds=2)
        engine.enqueue(session, tick(2), queue=TICKS, delay_seconds=0)
    engine.start(collector, {TICKS: 2})
    delivered = collector.wait(2)

    assert delivered == [tick(2), tick(1)]
    assert time.monotonic() - begun >= 2


def test_stop_is_final_and_idempotent(engine: Engine, database: Database) -> None:
    """After stop nothing is delivered, and stopping again does no harm."""
    collector = Collector()
    engine.start(collector, {TICKS: 2})
    engine.stop(5)
    with database.transaction() as session:
        engine.enqueue(session, tick(), queue=TICKS, delay_seconds=0)
    engine.stop(5)

    assert settled(collector) == []


def test_a_failing_handler_does_not_stop_the_others(engine: Engine, database: Database) -> None:
    """An exception in one tick leaves the engine delivering."""
    collector = Collector()

    def handler(delivered: Tick) -> None:
        if delivered.seq == 1:
            raise ValueError("bad luck")
        collector(delivered)

    with database.transaction() as session:
        engine.enqueue(session, tick(1), queue=TICKS, delay_seconds=0)
        engine.enqueue(session, tick(2), queue=TICKS, delay_seconds=0)
    engine.start(handler, {TICKS: 2})

    assert collector.wait(1) == [tick(2)]


Purge = Callable[[float], int]


def test_finished_ticks_can_be_purged(engine: Engine, database: Database) -> None:
    """Purging forgets what is over and only that: the delayed tick is still delivered."""
    collector = Collector()
    with database.transaction() as session:
        engine.enqueue(session, tick(1), queue=TICKS, delay_seconds=0)
        engine.enqueue(session, tick(2), queue=TICKS, delay_seconds=3)
    engine.start(collector, {TICKS: 2})
    collector.wait(1)
    end = time.monotonic() + PATIENCE_S
    purged = 0
    while purged == 0 and time.monotonic() < end:
        purged = engine.purge(-60)
        time.sleep(0.1)

    assert purged == 1
    assert collector.wait(2) == [tick(1), tick(2)]
