"""Pure rules of intake: what a case may go through, and what a request must say."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

CHANNELS = ("phone", "email", "web", "monitoring")
STATES = ("registered", "classified", "restored", "closed")
#: sla-cases.json, conventions: a case may be reopened so long after it was restored; later is a new case.
REOPEN_WITHIN = timedelta(hours=24)
#: A sender's or operator's clock may be ahead of ours by so much.
CLOCK_SKEW = timedelta(minutes=2)
MAX_SUBJECT = 500  # characters
MAX_TEXT = 1_000_000  # characters

_FROM = {
    "classify": ("registered", "classified", "restored"),
    "restore": ("registered", "classified"),
    "reopen": ("restored",),
    "close": ("registered", "classified", "restored"),
    "link": ("registered", "classified", "restored", "closed"),
    "note": ("registered", "classified", "restored"),
}
_NEXT = {
    "closed": "it is over; open a new case",
    "restored": "reopen it first (`garant case reopen`), within 24 hours of the restoration",
    "registered": "restore it first (`garant case restore`)",
    "classified": "restore it first (`garant case restore`)",
}


def refusal(state: str, action: str) -> str | None:
    """Why the action is refused in this state, with the next action; None when it may be done."""
    if state in _FROM[action]:
        return None
    return f"is {state}, so it cannot be {_PAST[action]}: {_NEXT[state]}"


_PAST = {
    "classify": "classified",
    "restore": "restored",
    "reopen": "reopened",
    "close": "closed",
    "link": "linked",
    "note": "worked on",
}


def subject_line(subject: str, text: str) -> str:
    """The subject as one line without control characters; the first words of the text when it is empty.

    A line break in a subject would otherwise end up in the headers of the mail that answers it.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in subject).split())
    if not line:
        line = " ".join("".join(c if c.isprintable() else " " for c in text[:400]).split())[:80]
    return line[:MAX_SUBJECT]


def request_faults(channel: str, text: str, subject: str, received_at: datetime, now: datetime) -> str | None:
    """What is wrong with a request, or None.

    Args:
        received_at: when our edge received it (aware); not the Date header, and never in the future.
        now: the present instant (aware).
    """
    if channel not in CHANNELS:
        return f"no channel {channel!r}: there are {', '.join(CHANNELS)}"
    if received_at.tzinfo is None:
        return f"received at {received_at.isoformat()} without a zone: add `Z` or an offset such as +03:00"
    if received_at > now + CLOCK_SKEW:
        return f"received at {received_at.isoformat()}, which is in the future: correct the time"
    if not text.strip() and not subject.strip():
        return "neither subject nor text: say what is wrong in the store"
    if len(text) > MAX_TEXT:
        return f"the text has {len(text)} characters, more than {MAX_TEXT}: attach what is long as a file"
    return None


def unknown_classes(classes: Collection[str], known: Collection[str]) -> list[str]:
    """Which of the classes the tariff does not know, in the order given."""
    return [name for name in classes if name not in known]
