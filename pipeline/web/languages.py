"""The pages' two languages: which one a reader gets, and the catalogue of texts (``texts.yaml``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

LANGUAGES = ("ru", "en")
COOKIE = "garant_language"


def chosen(cookie: str | None, accept: str, *, otherwise: str) -> str:
    """The reader's language: what was chosen, else the browser's first that we have, else the given one.

    Args:
        accept: the header Accept-Language (RFC 9110 12.5.4).
    """
    if cookie in LANGUAGES:
        return str(cookie)
    wanted: list[tuple[float, int, str]] = []
    for position, part in enumerate(accept.split(",")):
        name, _, quality = part.partition(";")
        wanted.append((-_quality(quality), position, name.strip().lower().partition("-")[0]))
    known = [name for quality, _, name in sorted(wanted) if name in LANGUAGES and quality < 0]
    return known[0] if known else otherwise


def _quality(text: str) -> float:
    try:
        return float(text.strip().removeprefix("q=")) if text.strip() else 1.0
    except ValueError:
        return 0.0


@cache
def catalogue() -> dict[str, dict[str, dict[str, str]]]:
    """Section -> key -> language -> text.

    Raises:
        ValueError: an entry of ``texts.yaml`` lacks a language.
    """
    raw = yaml.safe_load((Path(__file__).parent / "texts.yaml").read_text(encoding="utf-8"))
    found: dict[str, dict[str, dict[str, str]]] = {}
    for section, entries in raw.items():
        for key, pair in entries.items():
            if (
                not isinstance(pair, list)
                or len(pair) != 2
                or not all(isinstance(text, str) for text in pair)
            ):
                raise ValueError(f"texts.yaml: {section}.{key}: two texts are expected, Russian and English")
            found.setdefault(section, {})[str(key)] = dict(zip(LANGUAGES, pair, strict=True))
    return found


def texts(language: str) -> Callable[..., str]:
    """A function from ``section.key`` to the text, with ``{names}`` filled in.

    An unknown key raises KeyError: a page with a hole in it is a defect, and the tests render every page.
    """

    def text(name: str, **values: Any) -> str:
        section, _, key = name.partition(".")
        found = catalogue()[section][key][language]
        return found.format(**values) if values else found

    return text


def words(language: str) -> Callable[[str, str], str]:
    """A function from section and code to the word for a state; one that has none yet is shown as it is."""

    def word(section: str, code: str) -> str:
        return catalogue().get(section, {}).get(code, {}).get(language, code)

    return word
