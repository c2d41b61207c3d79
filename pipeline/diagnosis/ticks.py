"""What evidence waits for: the end of its collection, of its time, of its deletion."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from pipeline.diagnosis import retention, rules, service
from pipeline.diagnosis.tables import EvidenceRow
from pipeline.engine.dispatch import TickFunction
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork

if TYPE_CHECKING:
    from pipeline.application import Garant


def tick_evidence(unit: UnitOfWork, evidence_id: str, *, period: timedelta) -> datetime | None:
    """When the collection is over, say what it brought; when its time is over, begin its deletion.

    Args:
        period: how long evidence is kept.
    """
    row = unit.get(EvidenceRow, evidence_id, called="evidence")
    job = unit.session.get(JobRow, service.job_id(evidence_id))
    if row.state == "collecting" and job is not None and job.state in ("done", "failed"):
        service.settle(unit, row, job.outcome, job.error)
    if row.state == "deleting":
        return retention.settle(unit, row)
    if row.state in rules.USABLE and row.collected_at is not None:
        return retention.decide(unit, row, period)
    return None


def ticks(app: Garant) -> Mapping[str, TickFunction]:
    """The subject's ticks."""
    period = timedelta(days=app.settings.diagnosis.retention_days)
    return {service.KIND: partial(tick_evidence, period=period)}
