"""The part of a journal or log that is of the time in question. Pure.

Standard library only, Python 3.9 or newer: this text also runs on the store's host, before ``remote.py``.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta

#: Lines between two pauses of the reader: a few milliseconds of work.
_LINES = 2000
#: How a log's line begins: 2026-03-12 09:00:00 (also with T), or 12.03 09:00:00 (a SET log has no year).
_STAMP = re.compile(
    rb"\[?(?:(?P<year>\d{4})-(?P<m1>\d\d)-(?P<d1>\d\d)|(?P<d2>\d\d)\.(?P<m2>\d\d))[ T]"
    rb"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
)


def journal_window(
    data: bytes, since: float, until: float, pause: Callable[[], None] = lambda: None
) -> "tuple[bytes, bool]":
    """The journal from the shift that is open when the window begins to its last entry of the window.

    Args:
        since: POSIX seconds, as ``until``.
        pause: called now and then.

    Returns:
        The part, and whether the window's beginning is in ``data`` (not before it).
    """
    place, shift, start, reached = 0, None, None, False
    end = len(data)
    for number, line in enumerate(data.splitlines(keepends=True)):
        if number % _LINES == 0:
            pause()
        try:
            entry = json.loads(line)
            at = datetime.fromisoformat(entry["at"].replace("Z", "+00:00")).timestamp()
            kind = entry["type"]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            place += len(line)
            continue
        if at > until:
            end = place
            break
        if start is None and at >= since:
            start = place if shift is None else shift
            reached = place > 0
        if kind == "shift.open":
            shift = place
        elif kind == "shift.close":
            shift = None
        place += len(line)
    if start is not None:
        return data[start:end], reached
    return (data[shift:end] if shift is not None else b""), place > 0


def log_window(
    data: bytes,
    since: datetime,
    until: datetime,
    now: datetime,
    pause: Callable[[], None] = lambda: None,
) -> "tuple[bytes, bool]":
    """The log's lines of the window; a line without a time (a stack) belongs to the line before it.

    Args:
        since: in the host's local time, naive, as ``until`` and ``now``: a log's times have no zone.
        now: a time without a year is of the last twelve months before it.
        pause: called now and then.

    Returns:
        The part (all of it when no line has a time), and whether its beginning is in ``data``.
    """
    place, start, stamped, before = 0, None, False, False
    end = len(data)
    for number, line in enumerate(data.splitlines(keepends=True)):
        if number % _LINES == 0:
            pause()
        at = _stamp(line, now)
        if at is not None:
            stamped = True
            if at > until + timedelta(seconds=1):
                end = place
                break
            if start is None and at >= since.replace(microsecond=0):
                start = place
            before = before or start is None
        place += len(line)
    if not stamped:
        return data, True
    return (b"" if start is None else data[start:end]), before


def _stamp(line: bytes, now: datetime) -> "datetime | None":
    found = _STAMP.match(line)
    if found is None:
        return None
    part = found.groupdict()
    hour, minute, second = (int(part[name]) for name in ("hour", "minute", "second"))
    month, day = int(part["m1"] or part["m2"]), int(part["d1"] or part["d2"])
    try:
        if part["year"]:
            return datetime(int(part["year"]), month, day, hour, minute, second)  # noqa: DTZ001 - a log's time has no zone
        at = datetime(now.year, month, day, hour, minute, second)  # noqa: DTZ001
        return at if at <= now + timedelta(days=1) else at.replace(year=now.year - 1)
    except ValueError:
        return None
