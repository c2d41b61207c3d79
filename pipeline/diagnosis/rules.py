"""What a collection is worth, which time it is about, and how long it is kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

#: How far before the request the time in question begins, when nobody says otherwise.
LOOK_BACK = timedelta(hours=24)
#: Evidence that is still needed when its time is over is looked at again after this.
LOOK_AGAIN = timedelta(days=1)
#: The states of evidence that is there.
USABLE = ("collected", "partial")


def window(
    received_at: datetime,
    now: datetime,
    look_back: timedelta = LOOK_BACK,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[datetime, datetime]:
    """The time in question: from a while before the request until now, or what was asked for.

    Raises:
        ValueError: it ends before it begins, or begins in the future; says which.
    """
    begin = since or received_at - look_back
    end = min(until or max(now, received_at), max(now, received_at))
    if begin >= max(now, received_at):
        raise ValueError(f"it begins at {begin.isoformat()}, which is in the future")
    if end <= begin:
        raise ValueError(f"it ends at {end.isoformat()}, not after its beginning at {begin.isoformat()}")
    return begin, end


def moment(text: str, zone: str) -> datetime:
    """An instant as people write it (ISO 8601); without an offset it is the store's own time.

    Args:
        zone: the store's IANA zone.

    Raises:
        ValueError: it is no date and time.
    """
    try:
        said = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no date and time: write it as 2026-03-12T09:00") from None
    return said if said.tzinfo is not None else said.replace(tzinfo=ZoneInfo(zone))


def outcome(files: int, missing: Sequence[object]) -> str:
    """The evidence's state: partial evidence is evidence; nothing at all is a failure."""
    if files == 0:
        return "failed"
    return "partial" if missing else "collected"


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What becomes of evidence now: deleted, or kept and looked at again.

    Attributes:
        reason: why, for people.
        again_at: when to look again; None when it is to be deleted.
    """

    delete: bool
    reason: str
    again_at: datetime | None = None


def retention(
    *,
    collected_at: datetime,
    freed_at: datetime | None,
    needed_by: Sequence[str],
    period: timedelta,
    now: datetime,
) -> Retention:
    """Whether the evidence's time is over.

    Args:
        freed_at: when its case was closed; the period runs from then, for closed cases are reopened.
        needed_by: what is open and rests on it ("case G-000001 is open"); that goes before any period.
        period: how long it is kept.
    """
    if needed_by:
        again_at = max(now + LOOK_AGAIN, collected_at + period)
        return Retention(delete=False, reason="; ".join(needed_by), again_at=again_at)
    end = max(collected_at, freed_at or collected_at) + period
    if now < end:
        return Retention(delete=False, reason=f"kept until {end.isoformat()}", again_at=end)
    return Retention(delete=True, reason=f"its retention of {period.days} days was over at {end.isoformat()}")
