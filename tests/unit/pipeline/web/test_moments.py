"""Instants and spans as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.web import moments

AT = datetime(2026, 3, 12, 21, 30, 5, tzinfo=UTC)


def test_an_instant_is_told_in_the_zone_with_its_name_and_utc_beside_it() -> None:
    """Kamchatka is 12 hours ahead: another day there, and the title says what it is in UTC."""
    told = moments.instant(AT, "Asia/Kamchatka", "en")

    assert "13 Mar 2026, 09:30" in told
    assert 'title="2026-03-12 21:30:05 UTC"' in told
    assert 'datetime="2026-03-12T21:30:05+00:00"' in told
    assert "Kamchatka" in told


def test_an_instant_in_russian() -> None:
    """The month and the city are Russian words; text with an offset is understood like an instant."""
    told = moments.instant("2026-03-13T00:30:05+03:00", "Europe/Moscow", "ru", seconds=True)

    assert "13 мар. 2026" in told
    assert "00:30:05" in told
    assert "Москва" in told


@pytest.mark.parametrize(
    ("seconds", "russian", "english"),
    [
        (0, "0 с", "0 s"),
        (59, "59 с", "59 s"),
        (60, "1 мин", "1 min"),
        (3 * 3600 + 40 * 60 + 59, "3 ч 40 мин", "3 h 40 min"),  # cut off, never rounded up
        (3600 + 5, "1 ч", "1 h"),
        (3 * 86_400, "3 д", "3 d"),
        (-125, "2 мин 5 с", "2 min 5 s"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: int, russian: str, english: str) -> None:
    """A term is never shown longer than it is."""
    assert moments.span(seconds, "ru") == russian
    assert moments.span(timedelta(seconds=seconds), "en") == english


def test_weekly_times_join_days_in_a_row() -> None:
    """Days in a row become a range; all days are daily; equal ends are the whole day."""
    times = [
        {"days": ["mon", "tue", "wed", "sat"], "from": "23:00", "to": "05:00"},
        {"days": list(moments._DAYS), "from": "00:00", "to": "00:00"},
    ]

    assert moments.weekly(times, "en") == ["Mon\u2013Wed, Sat 23:00\u201305:00", "daily around the clock"]
    assert moments.weekly(times, "ru") == ["пн\u2013ср, сб 23:00\u201305:00", "ежедневно круглые сутки"]


@pytest.mark.parametrize(
    ("count", "russian", "english"),
    [(5, "5 байт", "5 bytes"), (32_261, "32,3 кБ", "32.3 kB"), (278_460_000, "278 МБ", "278 MB")],
)
def test_sizes(count: int, russian: str, english: str) -> None:
    """Bytes in powers of 1000, with the reader's decimal sign."""
    assert moments.size(count, "ru") == russian
    assert moments.size(count, "en") == english
