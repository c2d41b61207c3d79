"""What people see of the work."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.engine.tables import JobRow


def job(session: Session, effect_id: str) -> JobRow | None:
    """The job of the effect, or None when it was never asked for."""
    return session.get(JobRow, effect_id)


def jobs_changed_at(session: Session) -> datetime | None:
    """When a job last began, reported progress or ended; None while there is no job."""
    return session.scalar(select(func.max(JobRow.updated_at)))
