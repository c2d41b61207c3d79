"""Text with a little structure, and how each tracker shows it. Pure.

Jira is spoken to by version 2 of its REST API, which the package ``jira`` uses: there a text is wiki markup
on Data Center and on Cloud alike (Cloud turns it into its own document format when it is written). Version 3
would want that format itself, which Data Center does not know; so one markup serves both flavours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A heading over what follows."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Lines that stand together."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Numbered:
    """Steps, counted from 1."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """Lines to be typed or copied as they are."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Link:
    """A link to a page on the web."""

    text: str
    url: str


Part = Heading | Paragraph | Numbered | Code | Link

#: Told instead of what had to be left out.
_CUT = "… (cut here: it is longer than the tracker takes; the attached bundle has all of it)"
_SPECIAL = re.compile(r"[\\{}\[\]|!*_^~#]|\?\?|(?<!\w)[-+](?=\S)|(?<=\S)[-+](?!\w)")
#: Jira makes pictures of these.
_PICTURES = re.compile(r"\((?=(?:[yn!?/x+\-i*]|on|off)\))|:(?=[)(PDp])|;(?=\))")


def plain(parts: Sequence[Part]) -> str:
    """For reading as it is: the local tracker, a terminal."""
    return _joined(parts, _plain)


def wiki(parts: Sequence[Part], *, most: int) -> str:
    """As Jira's wiki markup, no longer than ``most`` characters: whole lines are left out at the end."""
    return shortened(_joined(parts, _wiki), most=most)


def wiki_text(text: str) -> str:
    """Foreign text so that Jira shows it as it is: nothing in it becomes a link, a picture or a macro."""
    escaped = _SPECIAL.sub(lambda found: f"\\{found[0]}" if len(found[0]) == 1 else r"\?\?", text)
    return _PICTURES.sub(lambda found: f"\\{found[0]}", escaped)


def shortened(text: str, *, most: int) -> str:
    """The text, or as many of its first lines as fit, with a word on what is missing."""
    if len(text) <= most:
        return text
    room = most - len(_CUT) - 16
    kept = text[:room].rpartition("\n")[0] or text[:room]
    # An open block would swallow what follows.
    closing = "\n{noformat}" if kept.count("{noformat}") % 2 else ""
    return f"{kept}{closing}\n\n{_CUT}"


def _joined(parts: Sequence[Part], show: object) -> str:
    assert callable(show)
    text = ""
    for before, part in zip([None, *parts], parts, strict=False):
        # A heading belongs to what follows it, lines of one section stand together.
        gap = "" if before is None else "\n\n" if isinstance(part, Heading) else "\n"
        text += gap + show(part)
    return text


def _plain(part: Part) -> str:
    match part:
        case Heading(text):
            return f"{text}:"
        case Numbered(items):
            return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
        case Link(text, url):
            return f"{text}: {url}"
        case Paragraph(lines) | Code(lines):
            return "\n".join(lines)


def _wiki(part: Part) -> str:
    match part:
        case Heading(text):
            return f"h3. {wiki_text(text)}"
        case Paragraph(lines):
            return "\n".join(map(wiki_text, lines))
        case Numbered(items):
            return "\n".join(f"# {wiki_text(item)}" for item in items)
        case Code(lines):
            text = "\n".join(lines).replace("{noformat}", "{ noformat }")
            return f"{{noformat}}\n{text}\n{{noformat}}"
        case Link(text, url):
            return f"[{wiki_text(text)}|{_address(url)}]"


def _address(url: str) -> str:
    return re.sub(r"[\s\[\]|{}]", lambda found: f"%{ord(found[0]):02X}", url)
