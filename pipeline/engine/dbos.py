"""The engine port over DBOS Transact, on SQLite or PostgreSQL. The only place that imports DBOS.

What was measured on 3.4 and is heeded here (DESIGN section 3): a unique executor id per process start (with
the default one a step ran twice), a constant application version (else old work is never picked up), the
portable JSON serializer, bounded threads. DBOS keeps its tables in the same database as ours, so that a
tick is enqueued in the transaction that caused it.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer
from sqlalchemy import Engine as SqlEngine
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session

from pipeline.database import Database
from pipeline.database.connection import SQLITE_BUSY_TIMEOUT_MS
from pipeline.engine.port import Tick, TickHandler

_APPLICATION = "garant"
#: Constant on purpose: DBOS hands work only to the version that enqueued it; our rows carry the state.
_APPLICATION_VERSION = "1"
_WORKFLOW = "garant.tick"
_SCHEMA = "dbos"
_POLL_S = 0.2
_STATES_OVER = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]

logging.getLogger("dbos").setLevel(logging.ERROR)


class DbosEngine:
    """Durable ticks in the database given. Enqueueing works in any process; delivering needs ``start``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own = _engine_for_dbos(database)
        self._client: DBOSClient | None = None
        self._running = False

    def migrate(self) -> None:
        """Create or upgrade DBOS's own tables (``garant db upgrade`` calls this)."""
        DBOS(config=self._config())
        try:
            DBOS.launch()
        finally:
            DBOS.destroy(destroy_registry=True)

    def enqueue(self, session: Session, tick: Tick, *, queue: str, delay_seconds: float) -> None:
        """Put the tick on the queue as part of the caller's transaction."""
        options: dict[str, Any] = {
            "workflow_name": _WORKFLOW,
            "queue_name": queue,
            "workflow_id": tick.key,
            "app_version": _APPLICATION_VERSION,
        }
        if delay_seconds > 0:
            options["delay_seconds"] = delay_seconds
        self._enqueuer().enqueue_in_transaction(session, options, tick.kind, tick.thing_id, tick.seq)  # type: ignore[arg-type]

    def start(self, handler: TickHandler, queues: Mapping[str, int]) -> None:
        """Begin to deliver."""
        DBOS(config=self._config(threads=sum(queues.values()) + 4))

        @DBOS.workflow(name=_WORKFLOW)
        def _tick(kind: str, thing_id: str, seq: int) -> None:
            handler(Tick(kind=kind, thing_id=thing_id, seq=seq))

        DBOS.listen_queues(list(queues))
        DBOS.launch()
        for name, at_once in queues.items():
            DBOS.register_queue(
                name, worker_concurrency=at_once, polling_interval_sec=_POLL_S, on_conflict="always_update"
            )
        self._running = True

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Stop delivering; wait for running ticks up to the timeout."""
        if self._running:
            self._running = False
            DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=int(timeout_seconds))
        if self._client is not None:
            self._client.destroy()
            self._client = None
        self._own.dispose()

    def purge(self, older_than_seconds: float) -> int:
        """Drop finished ticks, so that the tables stay small; returns how many."""
        before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - older_than_seconds))
        client = self._enqueuer()
        over = client.list_workflows(
            status=_STATES_OVER, end_time=before, limit=1000, load_input=False, load_output=False
        )
        if over:
            client.delete_workflows([workflow.workflow_id for workflow in over])
        return len(over)

    def _enqueuer(self) -> DBOSClient:
        if self._client is None:
            self._client = DBOSClient(
                system_database_engine=self._own,
                dbos_system_schema=_SCHEMA,
                serializer=DBOSPortableJSONSerializer(),
                application_name=_APPLICATION,
                lazy=True,
            )
        return self._client

    def _config(self, threads: int = 4) -> DBOSConfig:
        return DBOSConfig(
            name=_APPLICATION,
            system_database_url=self._database.url.render_as_string(hide_password=False),
            system_database_engine=self._own,
            dbos_system_schema=_SCHEMA,
            application_version=_APPLICATION_VERSION,
            executor_id=uuid.uuid4().hex,
            serializer=DBOSPortableJSONSerializer(),
            max_executor_threads=threads,
            use_listen_notify=False,
            log_level="ERROR",
            console_log_level="ERROR",
        )


def _engine_for_dbos(database: Database) -> SqlEngine:
    if not database.is_sqlite:
        return create_engine(database.url, pool_size=20, pool_pre_ping=True)
    engine = create_engine(database.url, pool_size=20, max_overflow=20)

    # DBOS begins its SQLite transactions itself; ours are begun by an event, so it gets an engine of its own
    # on the same file. It never sets WAL: without it readers and the writer block each other.
    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        connection.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine
