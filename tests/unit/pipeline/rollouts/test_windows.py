"""Windows are wall time of the store, also on the nights when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rollouts import windows
from pipeline.rollouts.windows import Freeze, Window

DAILY = frozenset(range(7))
NIGHT = Window(days=DAILY, opens=time(23), closes=time(5))
TEN = timedelta(minutes=10)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        ("2026-03-12T22:59:59+03:00", False),
        ("2026-03-12T23:00:00+03:00", True),
        ("2026-03-13T04:50:00+03:00", True),  # ten minutes are left
        ("2026-03-13T04:50:01+03:00", False),  # too little for update and rollback
        ("2026-03-13T05:00:00+03:00", False),
        ("2026-03-13T12:00:00+03:00", False),
    ],
)
def test_a_window_over_midnight(now: str, is_open: bool) -> None:
    """It opens on its day and closes on the next; what must fit must fit before its end."""
    assert windows.gate([NIGHT], "Europe/Moscow", [], at(now), TEN).is_open is is_open


def test_a_shut_gate_says_when_it_opens() -> None:
    """People see the next opening; the tick wakes then."""
    gate = windows.gate([NIGHT], "Asia/Yekaterinburg", [], at("2026-03-12T12:00+05:00"), TEN)

    assert gate.opens_at == at("2026-03-12T23:00+05:00")
    assert "2026-03-12 23:00" in gate.detail


def test_only_on_its_days() -> None:
    """A Sunday window that opens at 23:00 is still open on Monday at 02:00, and not on Tuesday."""
    sunday = Window(days=frozenset({6}), opens=time(23), closes=time(5))

    assert windows.gate([sunday], "Europe/Moscow", [], at("2026-03-16T02:00+03:00"), TEN).is_open
    assert not windows.gate([sunday], "Europe/Moscow", [], at("2026-03-17T02:00+03:00"), TEN).is_open


def test_a_store_without_windows_is_never_touched() -> None:
    """No window is not every window."""
    gate = windows.gate([], "Europe/Moscow", [], at("2026-03-12T02:00+03:00"), TEN)

    assert not gate.is_open
    assert "no window" in gate.detail


def test_equal_times_mean_all_day() -> None:
    """00:00 to 00:00 on every day is always open, without a gap at midnight."""
    always = Window(days=DAILY, opens=time(0), closes=time(0))
    gate = windows.gate([always], "Europe/Moscow", [], at("2026-03-12T23:55+03:00"), TEN)

    assert gate.is_open


def test_a_freeze_shuts_the_window_and_is_named() -> None:
    """A freeze inside a window; what would reach into one does not begin."""
    freeze = Freeze(
        start=at("2026-03-13T01:00+03:00"), end=at("2026-03-14T00:00+03:00"), reason="stocktaking"
    )
    during = windows.gate([NIGHT], "Europe/Moscow", [freeze], at("2026-03-13T02:00+03:00"), TEN)
    before = windows.gate([NIGHT], "Europe/Moscow", [freeze], at("2026-03-13T00:55+03:00"), TEN)

    assert (during.is_open, during.freeze, during.opens_at) == (False, freeze, freeze.end)
    assert "stocktaking" in during.detail
    assert not before.is_open


def test_the_night_the_clock_goes_forward() -> None:
    """02:00 to 04:00 in Berlin on 2026-03-29: 02:00 does not exist, the window opens at 03:00 (01:00 UTC)."""
    window = Window(days=DAILY, opens=time(2), closes=time(4))
    found = windows.spans(
        [window], "Europe/Berlin", at("2026-03-29T00:30+00:00"), at("2026-03-29T06:00+00:00")
    )

    assert [(s.start, s.end) for s in found] == [(at("2026-03-29T01:00+00:00"), at("2026-03-29T02:00+00:00"))]


def test_the_night_the_clock_goes_back() -> None:
    """02:30 to 04:00 in Berlin on 2026-10-25: 02:30 comes twice; the later one opens, the shorter reading."""
    window = Window(days=DAILY, opens=time(2, 30), closes=time(4))
    found = windows.spans(
        [window], "Europe/Berlin", at("2026-10-24T22:30+00:00"), at("2026-10-25T06:00+00:00")
    )

    assert [(s.start, s.end) for s in found] == [(at("2026-10-25T01:30+00:00"), at("2026-10-25T03:00+00:00"))]


minutes = st.integers(0, 24 * 60 - 1).map(lambda m: time(m // 60, m % 60))


@given(
    opens=minutes,
    closes=minutes,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    zone=st.sampled_from(["Europe/Berlin", "Europe/Moscow", "America/Sao_Paulo", "Australia/Lord_Howe"]),
    now=st.integers(0, 230 * 24 * 60).map(lambda m: at("2026-03-20T00:00+00:00") + timedelta(minutes=m)),
)
def test_inside_a_stretch_the_wall_clock_is_inside_the_window(
    opens: time, closes: time, days: frozenset[int], zone: str, now: datetime
) -> None:
    """Whatever the zone does that night: an open gate means a wall time within the window, on its day."""
    window = Window(days=days, opens=opens, closes=closes)
    if not windows.is_within([window], zone, now):
        return
    local = now.astimezone(ZoneInfo(zone))
    wall, day = local.time().replace(tzinfo=None), local.weekday()
    yesterday = (day - 1) % 7
    if closes > opens:
        assert opens <= wall < closes
        assert day in days
    else:
        assert (wall >= opens and day in days) or (wall < closes and yesterday in days)


def test_the_fleets_form_is_read() -> None:
    """Windows as the fleet keeps them; 24:00 is midnight."""
    found = windows.parse([{"days": ["mon", "sun"], "from": "22:30", "to": "24:00"}])

    assert found == (Window(days=frozenset({0, 6}), opens=time(22, 30), closes=time(0)),)
