"""The wired application: settings, database, engine, and every subject's ticks and jobs in one place."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from sqlalchemy import inspect

from pipeline.database import Database
from pipeline.engine.dbos import DbosEngine
from pipeline.engine.dispatch import Dispatcher
from pipeline.engine.port import Engine
from pipeline.engine.unit import UnitOfWork, unit_of_work
from pipeline.engine.worker import DEFAULT_QUEUES, Worker
from pipeline.errors import ConflictError, GarantError
from pipeline.products.service import product_name, watch
from pipeline.settings import Settings
from pipeline.wiring import job_functions, tick_functions


def system_clock() -> datetime:
    """The present instant. The only place that asks the machine; everything below gets it passed in."""
    return datetime.now(UTC)


def random_id() -> str:
    """A short random identifier (64 bits)."""
    return secrets.token_hex(8)


class Garant:
    """What a command, the web and a worker hold in their hands."""

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database | None = None,
        engine: Engine | None = None,
        clock: Callable[[], datetime] = system_clock,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self.settings = settings
        self.database = database or Database(settings.database)
        self.engine: Engine = engine or DbosEngine(self.database)
        self.clock = clock
        self.new_id = new_id

    @contextmanager
    def unit(self, actor: str) -> Iterator[UnitOfWork]:
        """One transaction of one use case, at the present instant."""
        with unit_of_work(
            self.database, self.engine, now=self.clock(), actor=actor, new_id=self.new_id
        ) as unit:
            yield unit

    def dispatcher(self, worker: str | None = None) -> Dispatcher:
        """What delivers ticks and jobs to the subjects' functions."""
        name = worker or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        return Dispatcher(
            self.unit, self.clock, worker=name, ticks=tick_functions(self), jobs=job_functions(self)
        )

    def worker(self, queues: Mapping[str, int] = DEFAULT_QUEUES) -> Worker:
        """A worker for the queues given; start it once per process.

        From the first worker on that finds a product in the settings, its repository is watched.
        """
        if self.settings.product is not None and self.settings.product.is_file():
            with suppress(ConflictError), self.unit("worker:start") as unit:
                watch(unit, product_name(self.settings))
        return Worker(self.engine, self.dispatcher(), self.unit, queues=queues)

    def require_schema(self) -> None:
        """Raise with the next action when the database has not been made or upgraded."""
        self.database.check()
        if not inspect(self.database.engine).has_table("wakeups"):
            where = self.database.url.render_as_string(hide_password=True)
            raise GarantError(f"database {where} is empty: run `garant db upgrade` first")

    def wait_until(
        self, done: Callable[[], bool], *, seconds: float, what: str, poll_seconds: float = 0.2
    ) -> None:
        """Wait for the workers to bring something about.

        Raises:
            GarantError: it did not happen in the time given.
        """
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise GarantError(
                    f"{what}: not done after {seconds:.0f} s. Is a worker running? (`garant worker`)"
                )
            time.sleep(poll_seconds)

    def close(self) -> None:
        """Give connections back and stop the engine."""
        self.engine.stop()
        self.database.close()
