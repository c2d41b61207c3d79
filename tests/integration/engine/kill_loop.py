"""Two workers do real work while one after another is killed with SIGKILL; then the world is counted.

Run by hand:  python tests/integration/engine/kill_loop.py --url sqlite:////tmp/k.db --world /tmp/k.log

Each thing takes STEPS steps. A step is one transition in the database and one job that acts on the world: it
appends one line to a file. The file knows nothing of our rows, so lines lost or doubled there are the
truth, whatever the rows say.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
import uuid
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import String, func, select
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database import Base, Database
from pipeline.database.base import EventRow, StatefulMixin
from pipeline.engine.dbos import DbosEngine
from pipeline.engine.dispatch import Dispatcher, RunningJob
from pipeline.engine.port import TICKS
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork, unit_of_work
from pipeline.engine.worker import Worker

STEPS = 40
WORKERS = 2
LEASE = timedelta(seconds=3)
GRACE = timedelta(seconds=1)
PAUSE = timedelta(milliseconds=300)


class ThingRow(StatefulMixin, Base):
    """A thing that goes through STEPS steps."""

    __tablename__ = "kill_loop_things"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    step: Mapped[int]


def now() -> datetime:
    return datetime.now(UTC)


def step(unit: UnitOfWork, thing_id: str) -> datetime | None:
    """One transition: begin the next step when the last one's job is done."""
    thing = unit.get(ThingRow, thing_id, called="thing")
    if thing.step > 0:
        job = unit.session.get(JobRow, f"{thing_id}/{thing.step}")
        assert job is not None
        assert job.state != "failed", job.error
        if job.state != "done":
            return None  # the job wakes us
    if thing.step == STEPS:
        thing.state = "over"
        unit.record("thing", thing_id, "over")
        return None
    thing.step += 1
    unit.record("thing", thing_id, "stepped", step=thing.step)
    at = unit.now + PAUSE
    owner = ("thing", thing_id)
    unit.start_job("act", f"{thing_id}/{thing.step}", {}, owner=owner, queue="mail", at=at, max_attempts=99)
    return None


class World:
    """A file that acts are appended to, one line each, in one write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def acts(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    def act(self, job: RunningJob) -> dict[str, Any]:
        if job.attempt > 1 and job.effect_id in self.acts():
            return {"found": True}  # an earlier attempt acted and died before it could say so
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{job.effect_id}\n".encode())
        os.close(descriptor)
        return {"found": False}


class Rig:
    """The parts of one process."""

    def __init__(self, url: str, world: Path) -> None:
        self.database = Database(url)
        self.engine = DbosEngine(self.database)
        self.world = World(world)

    def units(self, actor: str) -> AbstractContextManager[UnitOfWork]:
        return unit_of_work(
            self.database, self.engine, now=now(), actor=actor, new_id=lambda: uuid.uuid4().hex
        )

    def worker(self) -> Worker:
        dispatcher = Dispatcher(
            self.units,
            now,
            worker=f"w{os.getpid()}",
            ticks={"thing": step},
            jobs={"act": self.world.act},
            lease=LEASE,
        )
        return Worker(
            self.engine,
            dispatcher,
            self.units,
            queues={TICKS: 4, "mail": 4},
            grace=GRACE,
            reaper_interval_s=0.5,
        )

    def close(self) -> None:
        self.engine.stop(0)
        self.database.close()


def in_child(work: Any) -> int:
    """Fork and do the work there: the parent keeps no thread and no connection that a fork would spoil."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException:  # the child must never return into the parent's code
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        os._exit(1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--world", required=True, type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--things", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=600.0)
    options = parser.parse_args()
    dice = random.Random(options.seed)

    def seed() -> None:
        rig = Rig(options.url, options.world)
        Base.metadata.create_all(rig.database.engine)
        rig.engine.migrate()
        for number in range(options.things):
            with rig.units("seed") as unit:
                name = f"t{number}"
                at = unit.now
                unit.session.add(ThingRow(id=name, step=0, state="on", created_at=at, updated_at=at))
                unit.wake("thing", name)
        rig.close()

    def work() -> None:
        rig = Rig(options.url, options.world)
        with rig.worker():
            while True:
                time.sleep(60)

    def count() -> None:
        rig = Rig(options.url, options.world)
        with rig.database.reading() as session:
            over = session.scalar(select(func.count()).where(ThingRow.state == "over"))
            stepped = session.scalar(select(func.count()).where(EventRow.type == "stepped"))
            retried = session.scalar(select(func.count()).where(JobRow.attempts > 1))
        rig.close()
        acts = rig.world.acts()
        print(
            json.dumps(
                {
                    "things_over": over,
                    "steps": stepped,
                    "acts": len(acts),
                    "distinct_acts": len(set(acts)),
                    "jobs_started_again": retried,
                    "acts_at_last_kill": acts_at_last_kill,
                }
            ),
            flush=True,
        )
        os._exit(0 if over == options.things else 1)

    acts_at_last_kill = 0
    os.waitpid(in_child(seed), 0)
    workers = [in_child(work) for _ in range(WORKERS)]
    for _ in range(options.kills):
        time.sleep(dice.uniform(0.05, 0.6))
        victim = dice.randrange(WORKERS)
        os.kill(workers[victim], signal.SIGKILL)
        os.waitpid(workers[victim], 0)
        workers[victim] = in_child(work)
    acts_at_last_kill = len(World(options.world).acts())
    end = time.monotonic() + options.patience
    code = 1
    while code and time.monotonic() < end:
        time.sleep(2)
        code = os.waitstatus_to_exitcode(os.waitpid(in_child(count), 0)[1])
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
    return code


if __name__ == "__main__":
    sys.exit(main())
