"""What happened to a thing, and whether anything happened at all."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.database.base import EventRow


def history(session: Session, kind: str, thing_id: str, *, limit: int = 500) -> list[EventRow]:
    """The newest ``limit`` events of the thing, in the order of time."""
    chosen = select(EventRow).where(EventRow.kind == kind, EventRow.thing_id == thing_id)
    newest = session.scalars(chosen.order_by(EventRow.at.desc(), EventRow.id.desc()).limit(limit))
    return list(reversed(newest.all()))


def newest_event(session: Session) -> int:
    """The number of the newest event of all; it grows with whatever happens. 0: nothing has happened yet."""
    return session.scalar(select(func.max(EventRow.id))) or 0
