"""Reports: read the events, let the rules fold them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.database.base import EventRow
from pipeline.defects.tables import DefectRow
from pipeline.promises.tables import PromiseRow
from pipeline.reports import rules
from pipeline.reports.rules import DefectTimes, Happening, Promised


@dataclass(frozen=True, kw_only=True)
class DefectLine:
    """One defect of the report."""

    id: str
    product: str
    title: str
    tracker_key: str | None
    times: DefectTimes
    promised: Promised


@dataclass(frozen=True, kw_only=True)
class DefectReport:
    """The defects, oldest first, and what they come to together."""

    lines: list[DefectLine]
    age: timedelta | None
    to_reproduce: timedelta | None
    to_file: timedelta | None
    to_eta: timedelta | None
    promised: Promised


def defects(
    session: Session, *, now: datetime, client_id: str | None = None, month: datetime | None = None
) -> DefectReport:
    """The report on defects; medians over the defects that have the figure.

    Args:
        now: until when open defects have aged (aware).
        client_id: only defects of this client's cases, and only the promises given to it.
        month: only defects recorded in the month that begins at this instant's month (UTC).

    Raises:
        NotFoundError: there is no such client.
    """
    from pipeline.fleet import service as fleet

    if client_id is not None:
        fleet.client(session, client_id)
    history, cases, clients = _histories(session)
    received = _received(session, cases.values())
    promises = _promises(session, client_id)
    lines = []
    for row in session.scalars(select(DefectRow).order_by(DefectRow.id)):
        events = history[row.id]
        if client_id is not None and client_id not in clients[row.id]:
            continue
        given = promises[row.id]
        times = rules.defect_times(
            events,
            received_at=received.get(cases.get(row.id, "")),
            promised_at=min((event.at for event in given if event.type == "opened"), default=None),
            now=now,
        )
        if month is not None and (times.recorded_at.year, times.recorded_at.month) != (
            month.year,
            month.month,
        ):
            continue
        lines.append(
            DefectLine(
                id=row.id,
                product=row.product,
                title=row.title,
                tracker_key=row.tracker_key,
                times=times,
                promised=rules.promised(given),
            )
        )
    return DefectReport(
        lines=lines,
        age=rules.middle(line.times.age for line in lines),
        to_reproduce=rules.middle(line.times.to_reproduce for line in lines),
        to_file=rules.middle(line.times.to_file for line in lines),
        to_eta=rules.middle(line.times.to_eta for line in lines),
        promised=sum((line.promised for line in lines), Promised()),
    )


def _histories(
    session: Session,
) -> tuple[dict[str, list[Happening]], dict[str, str], dict[str, set[str]]]:
    """Of each defect: its events, its first case, the clients of its cases."""
    history: dict[str, list[Happening]] = defaultdict(list)
    cases: dict[str, str] = {}
    clients: dict[str, set[str]] = defaultdict(set)
    for event in session.scalars(select(EventRow).where(EventRow.kind == "defect").order_by(EventRow.id)):
        history[event.thing_id].append(_happening(event))
        if event.type == "case_linked":
            cases.setdefault(event.thing_id, event.payload["case"])
            clients[event.thing_id].add(event.payload["client"])
    return history, cases, clients


def _received(session: Session, cases: Iterable[str]) -> dict[str, datetime]:
    """When each case was first received; a repeated delivery is a later event of the same type."""
    wanted = set(cases)
    query = select(EventRow).where(EventRow.kind == "case", EventRow.type == "received")
    found: dict[str, datetime] = {}
    for event in session.scalars(query.order_by(EventRow.id)):
        if event.thing_id in wanted:
            found.setdefault(event.thing_id, event.at)
    return found


def _promises(session: Session, client_id: str | None) -> dict[str, list[Happening]]:
    query = (
        select(EventRow, PromiseRow.defect_id)
        .join(PromiseRow, PromiseRow.id == EventRow.thing_id)
        .where(EventRow.kind == "promise")
        .order_by(EventRow.id)
    )
    if client_id is not None:
        query = query.where(PromiseRow.client_id == client_id)
    found: dict[str, list[Happening]] = defaultdict(list)
    for event, defect_id in session.execute(query):
        found[defect_id].append(_happening(event))
    return found


def _happening(event: EventRow) -> Happening:
    version = event.payload.get("version")
    return Happening(at=event.at.astimezone(UTC), type=event.type, thing=event.thing_id, version=version)
