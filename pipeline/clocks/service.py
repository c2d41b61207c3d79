"""The clocks of the cases in the database, replayed from their events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.clocks.document import event_from
from pipeline.clocks.events import EVENT_FIELDS, Event
from pipeline.clocks.pages import Page
from pipeline.clocks.rules import Clock, Replay, replay
from pipeline.clocks.tariff import GARANT, TariffVersion
from pipeline.database.base import EventRow
from pipeline.fleet import service as fleet

if TYPE_CHECKING:
    from pipeline.intake.tables import CaseRow

#: The vendor's tariff has had one version so far; a new one is appended with the date that it begins on.
VERSIONS = (TariffVersion(begins=datetime(1970, 1, 1, tzinfo=UTC), tariff=GARANT),)
PAGED = {"clock_warning", "clock_breach"}


def case_clocks(session: Session, case: CaseRow, at: datetime) -> Replay:
    """The case's clocks at an instant (aware); all absent when the case is not under the tariff.

    Raises:
        NotFoundError: its client is gone.
    """
    rows = _events(session, case.id, list(EVENT_FIELDS)) if case.eligible else []
    events = [
        event_from(
            position, row.at, row.type, {**row.payload, **({"reason": row.reason} if row.reason else {})}
        )
        for position, row in enumerate(rows)
    ]
    told_at = _told_at(session, case) if case.eligible and case.defect_id else None
    if told_at is not None:
        told = {"channel": "promise"}
        events.append(Event(at=told_at, type="eta_notice_accepted", position=len(events), data=told))
    return replay(events, at=at, zone=client_zone(session, case), versions=VERSIONS)


def client_zone(session: Session, case: CaseRow) -> ZoneInfo:
    """The zone in which the contract's calendar days are counted."""
    return ZoneInfo(fleet.client(session, case.client_id).zone)


def next_due(found: Replay) -> Clock | None:
    """The running clock that is due first; None when nothing runs."""
    running = [clock for clock in found.clocks if clock.state == "running" and clock.due is not None]
    return min(running, key=lambda clock: clock.due or datetime.max.replace(tzinfo=UTC), default=None)


def pages_sent(session: Session, case_id: str) -> list[Page]:
    """The warnings and breaches of the case that our people were told, as its events say."""
    return [
        Page(
            clock=row.payload["clock"],
            percent=row.payload["percent"],
            at=datetime.fromisoformat(row.payload["passed_at"]),
            revision=row.payload.get("revision", 0),
        )
        for row in _events(session, case_id, sorted(PAGED))
    ]


def _told_at(session: Session, case: CaseRow) -> datetime | None:
    # Acceptance is the promise's to know: it is per defect and client, and a hard bounce takes it back.
    from pipeline.promises.tables import PromiseRow

    chosen = select(PromiseRow.told_at).where(
        PromiseRow.defect_id == case.defect_id, PromiseRow.client_id == case.client_id
    )
    told_at = session.scalar(chosen.order_by(PromiseRow.turn.desc()).limit(1))
    if told_at is None or case.software_defect_at is None:
        return told_at
    return max(told_at, case.software_defect_at)  # a date that the client knew when it came: told at once


def _events(session: Session, case_id: str, types: list[str]) -> list[EventRow]:
    chosen = select(EventRow).where(
        EventRow.kind == "case", EventRow.thing_id == case_id, EventRow.type.in_(types)
    )
    return list(session.scalars(chosen.order_by(EventRow.at, EventRow.id)))
