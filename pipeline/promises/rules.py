"""The promise's clock and its decisions: pure.

The rule (TARIFF "ETA notice"; conventions of sla-cases.json): due = min(start + 72 elapsed hours, 24:00 of
the third calendar day after the start in the client's zone). It runs day and night and is never paused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from pipeline.clocks.tariff import GARANT, contract_due

#: Percent of the term at which our own people are warned while the client knows no date.
WARNINGS = (50, 75, 90)


def contract_term(start: datetime, zone: str) -> datetime:
    """24:00 of the third calendar day after ``start`` in ``zone`` (aware, UTC)."""
    return contract_due(start, ZoneInfo(zone)).astimezone(UTC)


def due(start: datetime, zone: str) -> datetime:
    """Until when the client must know the date (aware, UTC)."""
    return min(start.astimezone(UTC) + GARANT.eta_notice, contract_term(start, zone))


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a tick sees of one promise.

    Attributes:
        warned: the highest warning given so far (0, 50, 75, 90).
        dated: development has given a date and its notice is queued.
        told_at: when a channel first accepted a notice with a date, if one did (and it did not bounce).
    """

    state: str
    start: datetime
    due: datetime
    warned: int
    dated: bool
    held: bool
    told_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do with a promise now.

    Attributes:
        state: the next state.
        warn: percent to warn of now, or None.
        hold: tell the client that there is no date yet.
        again_at: when to look again; None: only when something happens.
    """

    state: str
    warn: int | None = None
    hold: bool = False
    again_at: datetime | None = None


def decide(look: Look, now: datetime) -> Decision:
    """Decide by what is known now; asked again with nothing changed, it decides nothing new.

    A notice accepted exactly at ``due`` keeps the promise. One accepted in time whose outcome reaches us
    late takes a breach back: the breach was our not knowing, not the client's.
    """
    if look.state == "closed":
        return Decision(state="closed")
    if look.told_at is not None:
        return Decision(state="met" if look.told_at <= look.due else "breached")
    if now > look.due:
        return Decision(state="breached", hold=not look.dated and not look.held)
    passed = [percent for percent in WARNINGS if now >= _at(look, percent)]
    # After an outage only the highest warning passed is given.
    warn = passed[-1] if passed and passed[-1] > look.warned else None
    coming = [at for percent in WARNINGS if (at := _at(look, percent)) > now]
    # "Exactly at due" still keeps the promise, so the end is looked at just after it.
    return Decision(state="running", warn=warn, again_at=min([*coming, look.due + timedelta(seconds=1)]))


def _at(look: Look, percent: int) -> datetime:
    return look.start + (look.due - look.start) * percent / 100


@dataclass(frozen=True, kw_only=True)
class Told:
    """A notice of a date to one client.

    Attributes:
        revision: of the date; the greatest is the newest.
        state: as in ``NoticeRow``; ``queued`` has not begun to go out.
    """

    revision: int
    eta: date
    state: str


@dataclass(frozen=True, kw_only=True)
class Telling:
    """What a new date asks for.

    Attributes:
        withdraw: revisions whose notices have not gone out and are not to.
        tell: the client is to be told.
        previous: the date that it knows, or will when what is being sent arrives; None: it knows none.
    """

    withdraw: tuple[int, ...]
    tell: bool
    previous: date | None


def telling(notices: Sequence[Told], eta: date) -> Telling:
    """One notice per change: what is still queued gives way to the new date.

    A notice that is being sent counts as told, for nobody can call it back; one that failed told nothing.
    """
    known = max((n for n in notices if n.state in ("sent", "accepted")), key=_revision, default=None)
    previous = known.eta if known else None
    waiting = tuple(sorted(n.revision for n in notices if n.state == "queued"))
    return Telling(withdraw=waiting, tell=previous != eta, previous=previous)


def _revision(notice: Told) -> int:
    return notice.revision


def acceptable(eta: date, *, today: date) -> bool:
    """Whether a date can be told: not one that has passed."""
    return eta >= today
