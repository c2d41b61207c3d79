"""When an issue may be created, and when to ask again: pure decisions."""

from __future__ import annotations

from datetime import datetime, timedelta

#: Waits between searches while a creation is in doubt, and between attempts at a tracker that is away.
WAITS = tuple(timedelta(seconds=s) for s in (5, 15, 30, 60, 120, 300, 600))


def may_create(doubt_since: datetime | None, now: datetime, *, index_lag: timedelta) -> bool:
    """Whether a search that found nothing proves that there is nothing.

    Args:
        doubt_since: when the last creation began whose outcome is not known; None: there is none.
        index_lag: how long after its creation an issue may be missing from a search.
    """
    return doubt_since is None or now >= doubt_since + index_lag


def wait(tries: int) -> timedelta:
    """How long to wait after ``tries`` attempts in vain."""
    return WAITS[min(max(tries, 1), len(WAITS)) - 1]
