"""Instants and spans for people: in the zone of whom they concern, with the zone's name. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, get_day_names, get_timezone_location
from markupsafe import Markup

_LOCALES = {"ru": Locale("ru"), "en": Locale("en", "GB")}
_UNITS = {"ru": ("д", "ч", "мин", "с"), "en": ("d", "h", "min", "s")}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def instant(at: datetime | str, zone: str, language: str, *, seconds: bool = False) -> Markup:
    """``12 Mar 2026, 09:00 Moscow`` as a ``time`` element; UTC when pointed at.

    Args:
        at: aware; or ISO 8601 with an offset.
        zone: IANA name.
    """
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    local = moment.astimezone(ZoneInfo(zone))
    utc = moment.astimezone(UTC)
    clock = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    return Markup('<time datetime="{}" title="{} UTC">{}, {} <span class="zone">{}</span></time>').format(
        utc.isoformat(timespec="seconds"),
        f"{utc:%Y-%m-%d %H:%M:%S}",
        day(local.date(), language),
        clock,
        zone_name(zone, language),
    )


def day(when: date | str, language: str) -> str:
    """``12 Mar 2026``."""
    moment = date.fromisoformat(when) if isinstance(when, str) else when
    return str(format_date(moment, "d MMM y", locale=_LOCALES[language]))


def zone_name(zone: str, language: str) -> str:
    """The zone's city, as the reader calls it."""
    if zone in ("UTC", "Etc/UTC"):
        return "UTC"
    return str(get_timezone_location(zone, locale=_LOCALES[language], return_city=True))


def span(length: timedelta | float, language: str) -> str:
    """``2 h 10 min``: the two largest units, cut off, so that a term is never shown longer than it is.

    Args:
        length: a duration, or seconds; its sign is not shown.
    """
    total = int(abs(length.total_seconds() if isinstance(length, timedelta) else length))
    parts = (total // 86_400, total // 3600 % 24, total // 60 % 60, total % 60)
    first = next((index for index, part in enumerate(parts) if part), 3)
    shown = [
        f"{parts[i]} {_UNITS[language][i]}" for i in (first, first + 1) if i < 4 and (parts[i] or i == first)
    ]
    return " ".join(shown)


def weekly(times: Sequence[Mapping[str, Any]], language: str) -> list[str]:
    """``Mon-Fri 23:00-05:00``, one text for each entry."""
    return [f"{_days(entry['days'], language)} {_hours(entry, language)}" for entry in times]


def _hours(entry: Mapping[str, Any], language: str) -> str:
    if entry["from"] == entry["to"]:
        return {"ru": "круглые сутки", "en": "around the clock"}[language]
    return f"{entry['from']}\N{EN DASH}{entry['to']}"


def _days(days: Sequence[str], language: str) -> str:
    names = get_day_names("abbreviated", locale=_LOCALES[language])
    numbers = sorted(_DAYS.index(name) for name in days)
    if len(numbers) == 7:
        return {"ru": "ежедневно", "en": "daily"}[language]
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        names[run[0]] if len(run) == 1 else f"{names[run[0]]}\N{EN DASH}{names[run[-1]]}" for run in runs
    )


def size(count: int, language: str) -> str:
    """Bytes as people say them (powers of 1000)."""
    names = {"ru": ("байт", "кБ", "МБ", "ГБ"), "en": ("bytes", "kB", "MB", "GB")}[language]
    value, index = float(count), 0
    while value >= 1000 and index < 3:
        value, index = value / 1000, index + 1
    number = f"{value:.0f}" if index == 0 or value >= 100 else f"{value:.1f}"
    return f"{number.replace('.', ',') if language == 'ru' else number} {names[index]}"
