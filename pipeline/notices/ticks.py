"""A notice is looked at when its job is over: what the handler could not write down is written here."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.engine.dispatch import TickFunction
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork
from pipeline.notices import service
from pipeline.notices.tables import NoticeRow

if TYPE_CHECKING:
    from pipeline.application import Garant


def ticks(app: Garant) -> dict[str, TickFunction]:
    """By kind of thing."""
    return {service.KIND: tick_notice}


def tick_notice(unit: UnitOfWork, notice_id: str) -> datetime | None:
    """A job that failed altogether (a defect of ours) leaves its notice failed, not under way for ever."""
    row = unit.get(NoticeRow, notice_id, called="notices")
    job = unit.session.get(JobRow, row.job_id)
    if job is not None and job.state == "failed" and row.state in ("queued", "sent"):
        service.settle(unit, row, "failed", reason=job.error)
    return None
