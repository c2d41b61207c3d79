"""From events to figures: pure.

The terms of a defect's report, each an elapsed time: to reproduce, from the receipt of the first case to the
defect's record; to file, from the record to the tracker's issue; to a date, from the start of the first
promise (classification as a software defect, TARIFF) to the first date that development gave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from statistics import median


@dataclass(frozen=True, kw_only=True)
class Happening:
    """An event, as reports see it.

    Attributes:
        at: when it happened (aware).
        type: the event's type, in the past tense.
        thing: the id of the thing that it happened to.
        version: of the product, when the event names one.
    """

    at: datetime
    type: str
    thing: str
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Promised:
    """How many promises were kept, broken, still run, or ended unjudged (the defect was closed before)."""

    kept: int = 0
    breached: int = 0
    pending: int = 0
    void: int = 0

    def __add__(self, other: Promised) -> Promised:
        """Both together."""
        return Promised(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True, kw_only=True)
class DefectTimes:
    """What a defect's events come to; None: it has not happened (yet)."""

    recorded_at: datetime
    age: timedelta
    to_reproduce: timedelta | None
    to_file: timedelta | None
    to_eta: timedelta | None
    fixed_in: str | None
    state: str


#: Event -> what it makes of a promise. A bounce of a notice that kept it (``told_withdrawn``) opens it again.
_OUTCOMES = {
    "opened": "pending",
    "met": "kept",
    "breached": "breached",
    "breach_withdrawn": "pending",
}
#: Event -> what it makes of a defect; a defect that a fresh case shows again is still what it was.
_STATES = {"recorded": "recorded", "fixed": "fixed", "reopened": "reopened", "closed": "closed"}


def promised(events: Iterable[Happening]) -> Promised:
    """Judge promises by their events.

    Args:
        events: of promises (``thing`` is the promise), in the order in which they were written.
    """
    outcomes: dict[str, str] = {}
    for event in events:
        before = outcomes.get(event.thing, "pending")
        if event.type in _OUTCOMES:
            outcomes[event.thing] = _OUTCOMES[event.type]
        elif event.type == "told_withdrawn" and before == "kept":
            outcomes[event.thing] = "pending"
        elif event.type == "closed" and before == "pending":
            outcomes[event.thing] = "void"
    return Promised(**Counter(outcomes.values()))


def defect_times(
    events: Sequence[Happening],
    *,
    received_at: datetime | None,
    promised_at: datetime | None,
    now: datetime,
) -> DefectTimes:
    """Ages and terms of one defect.

    Args:
        events: of the defect, in the order in which they were written; the first is ``recorded``.
        received_at: when its first case was received; None: no case is linked.
        promised_at: when its first promise began; None: nothing was promised.
        now: until when a defect that is open has aged (aware).
    """
    first: dict[str, datetime] = {}
    state, fixed_in, ended = "recorded", None, None
    for event in events:
        first.setdefault(event.type, event.at)
        if event.type == "filed" and state in ("recorded", "reopened"):
            state = "filed"
        elif event.type in _STATES:
            state = _STATES[event.type]
            ended = event.at if state == "closed" else None
            fixed_in = event.version if state == "fixed" else fixed_in if state == "closed" else None
    recorded_at = first["recorded"]
    return DefectTimes(
        recorded_at=recorded_at,
        age=(ended or now) - recorded_at,
        to_reproduce=_between(received_at, recorded_at),
        to_file=_between(recorded_at, first.get("filed")),
        to_eta=_between(promised_at or recorded_at, first.get("eta_set")),
        fixed_in=fixed_in,
        state=state,
    )


def _between(start: datetime | None, end: datetime | None) -> timedelta | None:
    # A case that came after the record (the bench found the defect first) took no time.
    return None if start is None or end is None else max(end - start, timedelta(0))


def middle(spans: Iterable[timedelta | None]) -> timedelta | None:
    """The median of those that are known; None when none is."""
    known = [span for span in spans if span is not None]
    return timedelta(seconds=median(span.total_seconds() for span in known)) if known else None


def harmless(text: str) -> str:
    """A cell's text that no spreadsheet takes for a formula: an apostrophe before what would begin one.

    Spreadsheets skip white space and look at full-width forms too (OWASP "CSV Injection").
    """
    begins = text.lstrip().lstrip("\ufeff")[:1]
    return f"'{text}" if (begins and begins in "=+-@|%＝＋－＠") or text[:1] in ("\t", "\r", "\n") else text
