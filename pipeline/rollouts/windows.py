"""When a store may be touched: windows in its own wall time, freezes, and what fits before they end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: How far ahead an opening is looked for; a store that has none within it never opens.
HORIZON = timedelta(days=60)


@dataclass(frozen=True, kw_only=True)
class Window:
    """On these days from ``opens`` to ``closes``, wall time of the store.

    ``closes`` not after ``opens`` means the next day: 23:00 to 05:00; equal times mean 24 hours. ``days``
    are those on which it opens, 0 = Monday.
    """

    days: frozenset[int]
    opens: time
    closes: time


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """Nothing is touched from ``start`` to ``end`` (aware): year's end, stocktaking."""

    start: datetime
    end: datetime
    reason: str


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of time, aware, UTC; the end is no longer in it."""

    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Whether the store may be touched now.

    Attributes:
        is_open: a change of the length needed may begin now.
        freeze: the freeze that forbids it, when it is one.
        until: while open, the instant by which everything must be over.
        opens_at: while shut, when the next stretch begins that is long enough; None: not within the horizon.
        detail: for people.
    """

    is_open: bool
    detail: str
    freeze: Freeze | None = None
    until: datetime | None = None
    opens_at: datetime | None = None


def spans(windows: Iterable[Window], zone: str, begin: datetime, end: datetime) -> list[Span]:
    """The windows as stretches of UTC that touch ``begin`` to ``end``, merged and in order.

    On the night of a clock change a wall time may not exist or exist twice. The stretch is then the
    shorter reading: it opens at the later and closes at the earlier of the two, so no instant in it has a
    wall time outside of the window.
    """
    at = ZoneInfo(zone)
    first = begin.astimezone(at).date() - timedelta(days=2)
    last = end.astimezone(at).date() + timedelta(days=1)
    found = []
    for window in windows:
        for day in _days(first, last):
            if day.weekday() not in window.days:
                continue
            closing = day if window.closes > window.opens else day + timedelta(days=1)
            opens = max(_readings(day, window.opens, at))
            closes = min(_readings(closing, window.closes, at))
            if opens < closes and closes > begin and opens < end:
                found.append(Span(start=opens, end=closes))
    return _merged(found)


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)


def _readings(day: date, wall: time, at: ZoneInfo) -> tuple[datetime, datetime]:
    local = datetime.combine(day, wall, tzinfo=at)
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)


def _merged(found: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(found, key=lambda s: (s.start, s.end)):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(start=merged[-1].start, end=max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def without(stretches: Iterable[Span], freezes: Sequence[Freeze]) -> list[Span]:
    """The stretches with the freezes cut out."""
    left = list(stretches)
    for freeze in freezes:
        cut = []
        for span in left:
            if freeze.end <= span.start or freeze.start >= span.end:
                cut.append(span)
                continue
            if span.start < freeze.start:
                cut.append(Span(start=span.start, end=freeze.start))
            if freeze.end < span.end:
                cut.append(Span(start=freeze.end, end=span.end))
        left = cut
    return left


def gate(
    windows: Sequence[Window],
    zone: str,
    freezes: Sequence[Freeze],
    now: datetime,
    need: timedelta,
) -> Gate:
    """May a change that takes ``need`` (with its rollback) begin now?

    Args:
        windows: of the store; none means that it may never be touched.
        zone: of the store, as in the IANA database.
        freezes: those that hold for the store.
        now: aware.
        need: what must fit before the window ends or a freeze begins.
    """
    frozen = next((freeze for freeze in freezes if freeze.start <= now < freeze.end), None)
    ahead = without(spans(windows, zone, now, now + HORIZON), freezes)
    fitting = [span for span in ahead if span.end - max(span.start, now) >= need]
    opening = next((max(span.start, now) for span in fitting if span.end > now), None)
    if opening is not None and opening <= now:
        until = next(span.end for span in fitting if span.start <= now < span.end)
        return Gate(is_open=True, until=until, detail=f"window open until {_local(until, zone)}")
    if frozen is not None:
        detail = f"freeze until {_local(frozen.end, zone)}: {frozen.reason}"
        return Gate(is_open=False, freeze=frozen, opens_at=opening, detail=detail)
    if not windows:
        return Gate(is_open=False, detail="the store has no window: give it one in the fleet file")
    if opening is None:
        long = f"{need.total_seconds() / 60:.0f} min"
        return Gate(
            is_open=False, detail=f"no window of {long} within {HORIZON.days} days: widen its windows"
        )
    now_in = any(span.start <= now < span.end for span in ahead)
    why = "too little of the window is left; " if now_in else ""
    return Gate(is_open=False, opens_at=opening, detail=f"{why}window opens {_local(opening, zone)}")


def next_span(
    windows: Sequence[Window], zone: str, freezes: Sequence[Freeze], now: datetime, need: timedelta
) -> Span | None:
    """The first stretch from ``now`` on (aware) that holds ``need``; None: not within the horizon."""
    for span in without(spans(windows, zone, now, now + HORIZON), freezes):
        start = max(span.start, now)
        if span.end - start >= need:
            return Span(start=start, end=span.end)
    return None


def is_within(windows: Iterable[Window], zone: str, now: datetime) -> bool:
    """Whether the instant (aware) is in one of the windows."""
    return any(span.start <= now < span.end for span in spans(windows, zone, now, now + timedelta(days=1)))


def parse(records: Iterable[Mapping[str, Any]]) -> tuple[Window, ...]:
    """Windows as the fleet keeps them: [{"days": ["mon", ...], "from": "23:00", "to": "05:00"}].

    Raises:
        ValueError: a day or a time is none.
    """
    return tuple(
        Window(
            days=frozenset(WEEKDAYS.index(day) for day in record["days"]),
            opens=_wall(record["from"]),
            closes=_wall(record["to"]),
        )
        for record in records
    )


def _wall(text: str) -> time:
    return time(0) if text == "24:00" else time.fromisoformat(text)


def _local(instant: datetime, zone: str) -> str:
    return instant.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M %Z")
