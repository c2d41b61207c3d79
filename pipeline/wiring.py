"""Which function decides for which kind of thing, and which does which job: one list, no scanning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.clocks import ticks as clocks
from pipeline.engine.dispatch import JobFunction, TickFunction

if TYPE_CHECKING:
    from pipeline.application import Garant


def tick_functions(app: Garant) -> Mapping[str, TickFunction]:
    """By kind of thing."""
    return {**clocks.ticks(app)}


def job_functions(app: Garant) -> Mapping[str, JobFunction]:
    """By kind of job."""
    return {}
