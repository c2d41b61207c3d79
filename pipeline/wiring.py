"""Which function decides for which kind of thing, and which does which job: one list, no scanning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.clocks import ticks as clocks
from pipeline.defects import ticks as defects
from pipeline.diagnosis import jobs as diagnosis_jobs
from pipeline.diagnosis import ticks as diagnosis
from pipeline.engine.dispatch import JobFunction, TickFunction
from pipeline.notices import jobs as notices_jobs
from pipeline.notices import ticks as notices
from pipeline.products import jobs as products_jobs
from pipeline.products import ticks as products
from pipeline.promises import ticks as promises
from pipeline.releases import ticks as releases
from pipeline.reproduction import jobs as reproduction_jobs
from pipeline.reproduction import ticks as reproduction
from pipeline.rollouts import jobs as rollouts_jobs
from pipeline.rollouts import ticks as rollouts
from pipeline.trackers import jobs as trackers_jobs
from pipeline.trackers import ticks as trackers

if TYPE_CHECKING:
    from pipeline.application import Garant


def tick_functions(app: Garant) -> Mapping[str, TickFunction]:
    """By kind of thing."""
    subjects = (
        clocks,
        defects,
        diagnosis,
        notices,
        products,
        promises,
        releases,
        reproduction,
        rollouts,
        trackers,
    )
    return {kind: function for subject in subjects for kind, function in subject.ticks(app).items()}


def job_functions(app: Garant) -> Mapping[str, JobFunction]:
    """By kind of job."""
    subjects = (
        diagnosis_jobs,
        notices_jobs,
        products_jobs,
        releases,
        reproduction_jobs,
        rollouts_jobs,
        trackers_jobs,
    )
    return {kind: function for subject in subjects for kind, function in subject.jobs(app).items()}
