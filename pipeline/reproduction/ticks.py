"""What reproductions and fix checks wait for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.engine.dispatch import TickFunction
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork
from pipeline.reproduction import service
from pipeline.reproduction.tables import FixCheckRow, ReproductionRow

if TYPE_CHECKING:
    from pipeline.application import Garant


def tick_reproduction(unit: UnitOfWork, reproduction_id: str) -> datetime | None:
    """When the bench is done, take in what it found."""
    row = unit.get(ReproductionRow, reproduction_id, called="reproduction")
    job = unit.session.get(JobRow, service.job_id(reproduction_id))
    if row.state == "running" and job is not None and job.state in ("done", "failed"):
        service.settle(unit, row, job.outcome, job.error)
    return None


def tick_fix_check(unit: UnitOfWork, name: str) -> datetime | None:
    """When the bench is done, take in whether the version is free of the defect."""
    defect_id, _, version = name.partition("@")
    row = unit.get(FixCheckRow, (defect_id, version), called="fix check")
    job = unit.session.get(JobRow, service.fix_job_id(row))
    if row.state == "running" and job is not None and job.state in ("done", "failed"):
        service.settle_fix_check(unit, row, job.outcome, job.error)
    return None


def ticks(app: Garant) -> Mapping[str, TickFunction]:
    """The subject's ticks."""
    return {service.KIND: tick_reproduction, service.FIX_KIND: tick_fix_check}
