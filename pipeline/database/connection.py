"""One engine per process: SQLite in WAL by default, PostgreSQL for many machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from pipeline.errors import UnavailableError

#: How long a writer waits for another one on SQLite (milliseconds) before it gives up.
SQLITE_BUSY_TIMEOUT_MS = 30_000
_BEGIN = "garant_begin"


class Database:
    """The database by its URL (``sqlite:///FILE`` or ``postgresql+psycopg://...``).

    Raises:
        UnavailableError: on ``check()``, when the server does not answer or the file cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if self.url.database:
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = create_engine(self.url, pool_size=20, max_overflow=20, pool_timeout=60)
            _tune_sqlite(self.engine)
        else:
            self.engine = create_engine(self.url, pool_size=20, max_overflow=20, pool_pre_ping=True)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        reading = self.engine.execution_options(**{_BEGIN: "BEGIN"}) if self.is_sqlite else self.engine
        self._readers = sessionmaker(reading, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction: committed at the end of the block, rolled back on any exception."""
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A consistent view for lists, pages and reports: takes no write lock, and writes nothing."""
        with self._readers() as session:
            yield session

    def check(self) -> None:
        """Raise ``UnavailableError`` when the database cannot be reached."""
        try:
            with self.engine.connect():
                pass
        except OperationalError as error:
            where = self.url.render_as_string(hide_password=True)
            raise UnavailableError(
                f"database {where} does not answer: {error.orig}. Start it, or set `database_url`"
            ) from error

    def close(self) -> None:
        """Give all connections back; a closed database may be used again (it reconnects)."""
        self.engine.dispose()


def _tune_sqlite(engine: Engine) -> None:
    # WAL lets readers work while one writes; NORMAL is durable against kill -9 (not against power loss of
    # the last transactions). BEGIN IMMEDIATE takes the write lock at once: a deferred transaction that
    # reads first and then writes fails with SQLITE_BUSY without waiting when another one wrote in between.
    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN IMMEDIATE"))
