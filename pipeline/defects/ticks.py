"""A defect is looked at when its filing has an outcome."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.defects import service
from pipeline.defects.tables import DefectRow
from pipeline.engine.dispatch import TickFunction
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork

if TYPE_CHECKING:
    from pipeline.application import Garant


def ticks(app: Garant) -> dict[str, TickFunction]:
    """By kind of thing."""
    return {service.KIND: tick_defect}


def tick_defect(unit: UnitOfWork, defect_id: str) -> datetime | None:
    """Take over the tracker's key, or note that filing failed and why."""
    row = unit.get(DefectRow, defect_id, called="defect")
    job = unit.session.get(JobRow, service.filing_effect(defect_id))
    if job is not None and job.state == "done" and job.outcome is not None:
        service.mark_filed(unit, row, job.outcome)
    elif job is not None and job.state == "failed":
        service.mark_filing_failed(unit, row, job.error or "no reason is known")
    return None
