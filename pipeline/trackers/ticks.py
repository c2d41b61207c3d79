"""A request of development is looked at when the bench is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.engine.dispatch import TickFunction
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork
from pipeline.trackers import service
from pipeline.trackers.tables import TrackerRequestRow

if TYPE_CHECKING:
    from pipeline.application import Garant


def ticks(app: Garant) -> Mapping[str, TickFunction]:
    """By kind of thing."""
    return {service.REQUEST: tick_request}


def tick_request(unit: UnitOfWork, request_id: str) -> datetime | None:
    """Answer at the issue when the run has an outcome."""
    row = unit.get(TrackerRequestRow, request_id, called="request")
    job = unit.session.get(JobRow, service.rerun_effect(row))
    if row.state == "running" and job is not None and job.state in ("done", "failed"):
        service.settle_request(unit, row, job.outcome, job.error)
    return None
