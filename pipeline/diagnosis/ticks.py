"""What evidence waits for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.diagnosis import service
from pipeline.diagnosis.tables import EvidenceRow
from pipeline.engine.dispatch import TickFunction
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork

if TYPE_CHECKING:
    from pipeline.application import Garant


def tick_evidence(unit: UnitOfWork, evidence_id: str) -> datetime | None:
    """When the collection is over, say what it brought."""
    row = unit.get(EvidenceRow, evidence_id, called="evidence")
    job = unit.session.get(JobRow, service.job_id(evidence_id))
    if row.state == "collecting" and job is not None and job.state in ("done", "failed"):
        service.settle(unit, row, job.outcome, job.error)
    return None


def ticks(app: Garant) -> Mapping[str, TickFunction]:
    """The subject's ticks."""
    return {service.KIND: tick_evidence}
