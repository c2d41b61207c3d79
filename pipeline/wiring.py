"""Which function decides for which kind of thing, and which does which job: one list, no scanning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.clocks import ticks as clocks
from pipeline.defects import ticks as defects
from pipeline.engine.dispatch import JobFunction, TickFunction
from pipeline.notices import jobs as notice_jobs
from pipeline.notices import ticks as notices
from pipeline.promises import ticks as promises
from pipeline.trackers import jobs as tracker_jobs

if TYPE_CHECKING:
    from pipeline.application import Garant


def tick_functions(app: Garant) -> Mapping[str, TickFunction]:
    """By kind of thing."""
    return {**clocks.ticks(app), **defects.ticks(app), **notices.ticks(app), **promises.ticks(app)}


def job_functions(app: Garant) -> Mapping[str, JobFunction]:
    """By kind of job."""
    return {**notice_jobs.jobs(app), **tracker_jobs.jobs(app)}
