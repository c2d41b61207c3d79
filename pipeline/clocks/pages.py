"""Which people are paged for a clock: each threshold once, after an outage only the highest. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pipeline.clocks.rules import Clock

#: A stop at exactly due is met, so a breach is looked for a second later (sla-cases.json, conventions).
AFTER_DUE = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class Page:
    """Tell our people about a clock. ``percent`` 100 is a breach, dated ``at``, not when it was noticed."""

    clock: str
    percent: int
    at: datetime
    #: Which agreement of an agreed term; 0 for the other clocks. A new term is warned of anew.
    revision: int = 0


def page_due(clock: Clock, sent: Collection[Page]) -> Page | None:
    """The page to send now, or None: the highest threshold passed, unless that or a higher one was sent.

    Args:
        clock: as replayed at the present instant.
        sent: all pages of the case so far.
    """
    revision = clock.revisions or 0
    if clock.breached_at is not None:
        page = Page(clock=clock.kind, percent=100, at=clock.breached_at, revision=revision)
        return None if page in sent else page
    if not clock.warnings or clock.state not in ("running", "paused"):
        return None
    percent, at = clock.warnings[-1]
    higher = any(p.clock == clock.kind and p.revision == revision and p.percent >= percent for p in sent)
    return None if higher else Page(clock=clock.kind, percent=percent, at=at, revision=revision)


def next_look(clock: Clock) -> datetime | None:
    """When the clock is to be looked at again if nothing happens; None when nothing can come."""
    if clock.state != "running" or clock.due is None:
        return None
    return min([instant for _, instant in clock.upcoming] + [clock.due + AFTER_DUE])


def after_outage(clock: Clock, down: datetime, up: datetime) -> tuple[Clock, int]:
    """The clock with the warnings that fired although the engine was down from ``down`` to ``up``.

    Returns the clock and how many pages went out for it at the return: 0 or 1.
    """
    missed = [warning for warning in clock.warnings if down <= warning[1] < up]
    breached = clock.breached_at is not None and down <= clock.breached_at < up
    live = clock.stopped_at is None or clock.stopped_at >= up
    if not missed:
        return clock, int(breached)
    dropped = missed if breached or not live else missed[:-1]
    kept = tuple(warning for warning in clock.warnings if warning not in dropped)
    return replace(clock, warnings=kept), int(breached or live)
