"""The unit of work: one transaction of one use case, with its instant and its actor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from pipeline.database import Database
from pipeline.database.base import Base, EventRow
from pipeline.engine.port import TICKS, Engine, Tick
from pipeline.engine.tables import JobRow, WakeupRow
from pipeline.errors import ConflictError, NotFoundError

Row = TypeVar("Row", bound=Base)


@dataclass(kw_only=True)
class UnitOfWork:
    """What a service works with. Everything done through it is committed together or not at all.

    Attributes:
        session: the SQLAlchemy session of the transaction.
        now: the instant of the use case (aware, UTC); no service asks another clock.
        actor: who acts, as in ``EventRow.actor``.
        new_id: gives identifiers (injected, so that tests are repeatable).
    """

    session: Session
    now: datetime
    actor: str
    new_id: Callable[[], str]
    engine: Engine

    def get(self, row: type[Row], key: object, *, called: str | None = None) -> Row:
        """The row by its primary key, locked for this transaction (PostgreSQL; SQLite locks as a whole).

        Raises:
            NotFoundError: there is none; ``called`` is how people call such a thing.
        """
        found = self.session.get(row, key, with_for_update=True)
        if found is None:
            noun = called or row.__tablename__
            raise NotFoundError(f"no {noun} {key!r}: list what exists with `garant {noun} list`")
        return found

    def record(
        self,
        kind: str,
        thing_id: str,
        type: str,  # noqa: A002 - the field's name everywhere
        *,
        reason: str | None = None,
        at: datetime | None = None,
        **payload: Any,
    ) -> EventRow:
        """Append an event; ``at`` (aware) when it happened earlier than now (a call that came at 03:00)."""
        event = EventRow(
            at=at or self.now,
            kind=kind,
            thing_id=thing_id,
            type=type,
            actor=self.actor,
            reason=reason,
            payload=payload,
        )
        self.session.add(event)
        return event

    def wake(self, kind: str, thing_id: str, at: datetime | None = None, *, queue: str = TICKS) -> None:
        """Have the thing looked at, at once or at the instant given (aware).

        An earlier wake-up that is still to come stays: each tick decides anew when to wake next.
        """
        due = max(at or self.now, self.now)
        row = self.session.get(WakeupRow, (kind, thing_id), with_for_update=True)
        if row is None:
            row = WakeupRow(kind=kind, thing_id=thing_id, seq=0)
            self.session.add(row)
        elif row.pending and row.due_at <= due and row.queue == queue:
            return  # an earlier bell is already set; that tick will decide again
        row.seq += 1
        row.queue, row.due_at, row.pending, row.reap_at, row.rings = queue, due, True, due, 0
        self.session.flush()
        tick = Tick(kind=kind, thing_id=thing_id, seq=row.seq)
        self.engine.enqueue(self.session, tick, queue=queue, delay_seconds=(due - self.now).total_seconds())

    def start_job(
        self,
        kind: str,
        effect_id: str,
        args: dict[str, Any],
        *,
        owner: tuple[str, str] | None = None,
        queue: str,
        time_limit: timedelta = timedelta(minutes=10),
        max_attempts: int = 5,
        at: datetime | None = None,
    ) -> JobRow:
        """Write the intent to touch the world; a worker of the queue will do it.

        The same ``effect_id`` twice is one job: the existing row is returned unchanged. The handler's
        outcome wakes the ``owner`` (kind, id). ``at``: not before this instant.
        """
        existing = self.session.get(JobRow, effect_id, with_for_update=True)
        if existing is not None:
            return existing
        job = JobRow(
            effect_id=effect_id,
            kind=kind,
            queue=queue,
            args=args,
            owner_kind=owner[0] if owner else None,
            owner_id=owner[1] if owner else None,
            state="queued",
            attempts=0,
            max_attempts=max_attempts,
            token=0,
            time_limit_s=time_limit.total_seconds(),
            created_at=self.now,
            updated_at=self.now,
        )
        self.session.add(job)
        self.session.flush()
        self.wake("job", effect_id, at, queue=queue)
        return job


@contextmanager
def unit_of_work(
    database: Database, engine: Engine, *, now: datetime, actor: str, new_id: Callable[[], str]
) -> Iterator[UnitOfWork]:
    """One transaction as a unit of work.

    Raises:
        ConflictError: a row was changed by another transaction since it was read; nothing was written.
    """
    try:
        with database.transaction() as session:
            yield UnitOfWork(session=session, now=now, actor=actor, new_id=new_id, engine=engine)
            session.flush()
    except (StaleDataError, IntegrityError) as error:
        raise ConflictError(f"somebody changed it at the same time, nothing was written: {error}") from error
