"""Which part of a log is of the time in question, and how fast a link may be used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.diagnosis import rules
from pipeline.diagnosis.bandwidth import TokenBucket
from pipeline.diagnosis.collector import Throttle
from pipeline.diagnosis.windows import journal_window, log_window

NOW = datetime(2026, 1, 2, 12)  # noqa: DTZ001 - a log's time has no zone
RATE, BURST, PIECE, BUDGET_S = 100_000, 25_000, 16_384, 60.0


def part(text: str, begin: datetime, end: datetime) -> tuple[str, bool]:
    data, reached = log_window(text.encode(), begin, end, NOW)
    return data.decode(), reached


def test_a_logs_lines_of_the_window_are_taken_with_their_stacks() -> None:
    """A line without a time belongs to the one before it; what comes after the window is left."""
    old, stack = "02.01 09:00:00,000 INFO old\n", "  File x\nValueError\n"
    inside, later = "02.01 10:00:00,500 ERROR failed\n", "02.01 11:30:00,000 INFO later\n"
    text = old + stack + inside + stack + later + stack

    assert part(text, NOW.replace(hour=10), NOW.replace(hour=11)) == (inside + stack, True)
    assert part(inside, NOW.replace(hour=10), NOW) == (inside, False)
    assert part(old, NOW.replace(hour=10), NOW) == ("", True)


def test_a_log_without_a_year_is_of_the_last_twelve_months() -> None:
    """On the 2nd of January the 31st of December is two days ago, not in a year."""
    december, january = "31.12 23:59:00,000 INFO a\n", "01.01 00:01:00,000 INFO b\n"

    assert part(december + january, NOW - timedelta(days=3), NOW) == (december + january, False)
    assert part(december + january, NOW - timedelta(days=1, hours=12), NOW) == (january, True)


def test_logs_with_a_year_are_understood_and_others_are_kept_whole() -> None:
    """The common form of other programs; a text without any time is not cut at all."""
    old, new = "2026-01-01 08:00:00 a\n", "[2026-01-02T11:00:00] b\n"

    assert part(old + new, NOW - timedelta(hours=2), NOW) == (new, True)
    assert part("no time\nat all\n", NOW, NOW) == ("no time\nat all\n", True)
    assert part("99.99 99:99:99 broken\n" + new, NOW - timedelta(hours=2), NOW) == (new, False)


def test_a_journal_ends_with_its_window() -> None:
    """What happened after it is not in question."""
    lines = [b'{"at": "2026-01-0%dT00:00:00+00:00", "type": "x"}\n' % day for day in range(1, 8)]
    since = datetime(2026, 1, 3, tzinfo=UTC).timestamp()

    assert journal_window(b"".join(lines), since, since + 86400) == (b"".join(lines[2:4]), True)


def test_the_window_asked_for_is_taken_and_a_wrong_one_refused() -> None:
    """Before the request by default; never beyond now, never the wrong way round."""
    now = datetime(2026, 3, 12, 12, tzinfo=UTC)
    since, until = now - timedelta(hours=3), now - timedelta(hours=2)

    assert rules.window(now, now, since=since, until=until) == (since, until)
    assert rules.window(now, now, since=since, until=now + timedelta(days=1)) == (since, now)
    with pytest.raises(ValueError, match="not after its beginning"):
        rules.window(now, now, since=until, until=since)
    with pytest.raises(ValueError, match="in the future"):
        rules.window(now, now, since=now + timedelta(hours=1))


def test_a_moment_without_an_offset_is_the_stores_own() -> None:
    """People write the time that the store's clock shows."""
    at = rules.moment("2026-03-12T09:00", "Asia/Vladivostok")

    assert at == datetime(2026, 3, 11, 23, tzinfo=UTC)
    assert rules.moment("2026-03-12T09:00+03:00", "Asia/Vladivostok") == datetime(2026, 3, 12, 6, tzinfo=UTC)
    with pytest.raises(ValueError, match="2026-03-12T09:00"):
        rules.moment("yesterday", "Europe/Moscow")


def passed(throttle_rate: int | None) -> int:
    """Bytes that a reader gets in the budget of virtual time; a piece takes a millisecond by itself."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    throttle = Throttle(throttle_rate, clock=lambda: now[0], sleep=sleep)
    total = 0
    while now[0] < BUDGET_S:
        now[0] += 0.001
        total += PIECE
        throttle.taken(PIECE)
    return total


def test_a_limited_link_carries_its_rate_and_no_more() -> None:
    """In a fixed budget of virtual time, set against the same reader without a limit."""
    limited, unlimited = passed(RATE), passed(None)

    assert 0.97 * RATE * BUDGET_S <= limited <= RATE * BUDGET_S + RATE * 0.25 + 2 * PIECE
    assert limited / unlimited == pytest.approx(RATE * 0.001 / PIECE, rel=0.05)


def test_a_pause_is_not_saved_up_beyond_the_burst() -> None:
    """An hour of silence does not become an hour's bytes at once."""
    bucket = TokenBucket(RATE, BURST)
    bucket.take(PIECE, 0.0)

    assert bucket.take(BURST, 3600.0) == 0
    assert bucket.take(RATE, 3600.0) == pytest.approx(1.0)
