"""Looks at a release: has its gate an outcome?"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.engine.dispatch import JobFunction, TickFunction
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork
from pipeline.releases import service, verdicts
from pipeline.releases.gate import BenchReplays, Replays, gate_job
from pipeline.releases.tables import ReleaseRow

if TYPE_CHECKING:
    from pipeline.application import Garant


def ticks(app: Garant) -> dict[str, TickFunction]:
    """By kind of thing."""
    return {"release": tick_release}


def jobs(app: Garant, replays: Replays | None = None) -> dict[str, JobFunction]:
    """By kind of job; ``replays`` is the bench unless another one is given."""
    return {"release.gate": gate_job(app, replays or BenchReplays())}


def tick_release(unit: UnitOfWork, version: str) -> datetime | None:
    """Take the gate's outcome, once; a gate that could not be run to its end is no pass."""
    row = unit.get(ReleaseRow, version, called="release")
    if row.state != "submitted" or row.gate.get("state") != "running":
        return None
    job = unit.session.get(JobRow, service.gate_effect(row))
    if job is None or job.state not in ("done", "failed"):
        return None
    outcome = job.outcome
    if job.state == "failed" or outcome is None:
        outcome = {"reason": f"the gate could not be run: {job.error}", "results": []}
    verdicts.take_gate(unit, row, outcome)
    return None
