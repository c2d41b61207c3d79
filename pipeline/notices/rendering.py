"""Notices as text: templates per kind and language, dates and plurals by babel.

Parameters are data of strangers: the HTML part is generated from the finished text and escapes all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, get_timezone_location
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.notices.params import INTERNAL_KINDS, KINDS, Params, UpdatedStore, one_line
from pipeline.notices.wording import wording

#: How a line of a list begins, in templates and in the text part.
_ITEM = "– "
LANGUAGES = ("ru", "en")
#: English dates are day first, as in Russian: no reader can take 3/4 for the wrong month.
_LOCALES = {"ru": Locale("ru"), "en": Locale("en", "GB")}


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Whom a notice is for, and what every notice says beside its own parameters.

    Attributes:
        zone: IANA name of the zone that times are told in.
        store: the store's name, when the notice is about one.
        manager: the service manager's address.
        support: how else to reach us.
    """

    language: str
    zone: str
    client: str | None
    store: str | None = None
    manager: str | None = None
    support: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A finished notice."""

    subject: str
    text: str
    html: str


def render(kind: str, params: Params, reader: Reader) -> Rendered:
    """The notice in the reader's language and zone.

    Raises:
        jinja2.UndefinedError: a template names what the kind does not have (a defect of the template).
    """
    language = reader.language if reader.language in LANGUAGES else "en"
    environment = _environment(language)
    context: dict[str, Any] = {name: getattr(params, name) for name in type(params).model_fields}
    context |= {
        "client": one_line(reader.client) if reader.client else None,
        "store": one_line(reader.store) if reader.store else None,
        "manager": reader.manager,
        "support": reader.support,
        "zone": reader.zone,
        "internal": kind in INTERNAL_KINDS,
    }
    folder = f"{kind}/{language}"
    subject = one_line(environment.get_template(f"{folder}/subject.txt.j2").render(context))
    text = _tidy(environment.get_template(f"{folder}/text.txt.j2").render(context))
    html = environment.get_template("layout/html.html.j2").render(
        language=language, subject=subject, paragraphs=paragraphs(text)
    )
    return Rendered(subject=subject, text=text, html=html)


def paragraphs(text: str) -> list[tuple[str, list[str]]]:
    """The text as (``p`` or ``ul``, lines): an empty line parts, lines that begin with a dash are a list."""
    found: list[tuple[str, list[str]]] = []
    for block in text.strip().split("\n\n"):
        for listed, lines in groupby(block.split("\n"), key=lambda line: line.startswith(_ITEM)):
            found.append(("ul" if listed else "p", [line.removeprefix(_ITEM) for line in lines]))
    return found


def _tidy(text: str) -> str:
    lines = [line.rstrip() for line in text.strip().split("\n")]
    kept = [line for at, line in enumerate(lines) if line or lines[at - 1]]
    return "\n".join(kept) + "\n"


@cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.notices"),
        undefined=StrictUndefined,
        # Text parts are no markup; the HTML part is made from them, all of it escaped.
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
    )
    locale = _LOCALES[language]

    def plural(count: int, *forms: str) -> str:
        """``forms``: one, few, many in Russian; one, other in English."""
        tag = locale.plural_form(count)
        order = ("one", "few", "many") if language == "ru" else ("one", "other")
        return forms[order.index(tag)] if tag in order else forms[-1]

    environment.filters |= {
        "plural": plural,
        "day": lambda day: _day(day, locale),
        "instant": lambda at, zone: _instant(at, zone, locale),
        "window": lambda store: _window(store, locale),
        "class_name": lambda code: wording("classes", code, language),
        "clock_name": lambda code: wording("clocks", code, language),
        "kind_name": lambda code: wording("kinds", code, language),
        "listed": lambda words: _listed(words, language),
    }
    return environment


def _day(day: date, locale: Locale) -> str:
    return str(format_date(day, "d MMMM y 'года'" if locale.language == "ru" else "d MMMM y", locale=locale))


def _instant(at: datetime, zone: str, locale: Locale) -> str:
    local = at.astimezone(ZoneInfo(zone))
    link = " в " if locale.language == "ru" else " at "
    return f"{_day(local.date(), locale)}{link}{local:%H:%M} ({_zone_name(local, zone, locale)})"


def _window(store: UpdatedStore, locale: Locale) -> str:
    assert store.start is not None
    assert store.end is not None
    start, end = (at.astimezone(ZoneInfo(store.zone)) for at in (store.start, store.end))
    zone = _zone_name(start, store.zone, locale)
    russian = locale.language == "ru"
    if start.date() == end.date():
        hours = f"с {start:%H:%M} до {end:%H:%M}" if russian else f"from {start:%H:%M} to {end:%H:%M}"
        return f"{_day(start.date(), locale)} {hours} ({zone})"
    if russian:
        parts = f"с {start:%H:%M} {_day(start.date(), locale)} до {end:%H:%M} {_day(end.date(), locale)}"
    else:
        parts = (
            f"from {start:%H:%M} on {_day(start.date(), locale)} to {end:%H:%M} on {_day(end.date(), locale)}"
        )
    return f"{parts} ({zone})"


def _zone_name(at: datetime, zone: str, locale: Locale) -> str:
    """``Москва, UTC+3``: a city says it to people, the offset leaves no doubt."""
    city = get_timezone_location(zone, locale=locale, return_city=True)
    offset = at.utcoffset()
    assert offset is not None
    minutes = int(offset.total_seconds()) // 60
    sign, hours, rest = "-" if minutes < 0 else "+", abs(minutes) // 60, abs(minutes) % 60
    return f"{city}, UTC{sign}{hours}{f':{rest:02}' if rest else ''}"


def _listed(words: Sequence[str], language: str) -> str:
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + (" и " if language == "ru" else " and ") + words[-1]


def kinds() -> list[str]:
    """Every kind there is, clients' first."""
    return [*KINDS, *INTERNAL_KINDS]
