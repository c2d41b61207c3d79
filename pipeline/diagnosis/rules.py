"""What a collection is worth. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

#: How far before the request the time in question begins, when nobody says otherwise.
LOOK_BACK = timedelta(hours=24)


def window(
    received_at: datetime, now: datetime, look_back: timedelta = LOOK_BACK
) -> tuple[datetime, datetime]:
    """The time in question: from a while before the request until now."""
    return received_at - look_back, max(now, received_at)


def outcome(files: int, missing: Sequence[object]) -> str:
    """The evidence's state: partial evidence is evidence; nothing at all is a failure."""
    if files == 0:
        return "failed"
    return "partial" if missing else "collected"
