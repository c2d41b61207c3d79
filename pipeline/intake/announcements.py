"""What a client is told of its case's way, and that it is told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

from pipeline.database.base import EventRow
from pipeline.engine.unit import UnitOfWork
from pipeline.intake.tables import CaseRow


def registered(unit: UnitOfWork, row: CaseRow) -> None:
    """The request has its number; it goes to who asked, threaded to the mail when it came as one."""
    from pipeline.notices.service import queue

    params = {
        "case": row.id,
        "subject": row.subject,
        "received_at": row.received_at,
        "registered_at": row.registered_at,
    }
    reply_to = row.source_key if row.channel == "email" else None
    queue(
        unit,
        kind="case_registered",
        client_id=row.client_id,
        key=f"case-registered/{row.id}",
        params=params,
        about=("case", row.id),
        store_id=row.store_id,
        address=_address(row),
        in_reply_to=reply_to,
    )


def classified(unit: UnitOfWork, row: CaseRow) -> None:
    """The request has its class and term; one notice for each (re)classification."""
    from pipeline.notices.service import queue

    times = unit.session.scalar(
        select(func.count())
        .select_from(EventRow)
        .where(
            EventRow.kind == "case",
            EventRow.thing_id == row.id,
            EventRow.type.in_(("classified", "defect_recorded")),
        )
    )
    params = {
        "case": row.id,
        "subject": row.subject,
        "classes": row.classes,
        "due": _due(unit, row),
        "software_defect": row.software_defect_at is not None,
    }
    queue(
        unit,
        kind="case_classified",
        client_id=row.client_id,
        key=f"case-classified/{row.id}/{times}",
        params=params,
        about=("case", row.id),
        store_id=row.store_id,
        address=_address(row),
    )


def closed(unit: UnitOfWork, row: CaseRow, reason: str) -> None:
    """The request is closed, and why."""
    from pipeline.notices.service import queue

    queue(
        unit,
        kind="case_closed",
        client_id=row.client_id,
        key=f"case-closed/{row.id}",
        params={"case": row.id, "subject": row.subject, "reason": reason},
        about=("case", row.id),
        store_id=row.store_id,
        address=_address(row),
    )


def _address(row: CaseRow) -> str | None:
    return row.contact if row.contact and "@" in row.contact else None


def _due(unit: UnitOfWork, row: CaseRow) -> datetime | None:
    from pipeline.clocks.service import case_clocks

    if not row.eligible:
        return None
    due = [
        clock.due
        for clock in case_clocks(unit.session, row, unit.now).clocks
        if clock.kind in ("restore", "consultation", "term_agreement")
        and clock.state == "running"
        and clock.due
    ]
    return min(due, default=None)
