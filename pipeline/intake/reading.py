"""Cases as people and programs see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from pipeline.clocks.document import case_document
from pipeline.clocks.rules import Replay
from pipeline.clocks.service import case_clocks, client_zone, next_due
from pipeline.intake import service
from pipeline.intake.tables import CaseRow


def document(session: Session, row: CaseRow, now: datetime, *, whole: bool = True) -> dict[str, Any]:
    """A case for programs, its clocks as they stand at ``now`` (aware).

    Args:
        whole: with every clock, and with what was asked and by whom.
    """
    found = case_clocks(session, row, now)
    first = next_due(found) if row.state != "closed" else None
    told: dict[str, Any] = {
        "id": row.id,
        "number": row.id,
        "client": row.client_id,
        "store": row.store_id,
        "channel": row.channel,
        "state": row.state,
        "subject": row.subject,
        "classes": row.classes,
        "eligible": row.eligible,
        "software_defect": row.software_defect_at is not None,
        "defect": row.defect_id,
        "received_at": row.received_at.isoformat(),
        "registered_at": row.registered_at.isoformat(),
        "next_clock": first.kind if first else None,
        "due": first.due.isoformat() if first and first.due else None,
        "remaining_s": first.remaining.total_seconds() if first and first.remaining is not None else None,
        "overdue_s": _overdue(row, found, now),
        "breached": [clock.kind for clock in found.clocks if clock.state == "breached"],
    }
    if whole:
        told["clocks"] = case_document(found, client_zone(session, row))["clocks"]
        told["text"], told["contact"] = row.text, row.contact
    return told


def by_time_left(
    session: Session,
    now: datetime,
    *,
    client_id: str | None = None,
    store_id: str | None = None,
    state: str | None = None,
) -> list[dict[str, Any]]:
    """Cases for programs, those with the least time left first; ``state`` as in ``service.cases``.

    What is overdue and still not done comes before everything that has time left, the longest overdue first.
    """
    rows = service.cases(session, client_id=client_id, store_id=store_id, state=state)
    found = [document(session, row, now, whole=False) for row in rows]
    return sorted(found, key=_urgency)


def _urgency(told: dict[str, Any]) -> tuple[int, float, str]:
    if told["overdue_s"] is not None:
        return 0, -told["overdue_s"], told["id"]
    if told["remaining_s"] is not None:
        return 1, told["remaining_s"], told["id"]
    return 2, 0.0, told["id"]


def _overdue(row: CaseRow, found: Replay, now: datetime) -> float | None:
    """Seconds since the first breach of what is still not done; None when nothing is."""
    if row.state == "closed":
        return None
    since = [
        (now - clock.breached_at).total_seconds()
        for clock in found.clocks
        if clock.breached_at is not None and clock.stopped_at is None and clock.state == "breached"
    ]
    return max(since, default=None)


def with_events(session: Session, row: CaseRow, now: datetime) -> dict[str, Any]:
    """Everything about one case: what ``garant case show --json`` gives."""
    told = document(session, row, now)
    told["events"] = [
        {"at": e.at.isoformat(), "type": e.type, "actor": e.actor, "reason": e.reason, **e.payload}
        for e in service.events(session, row.id)
    ]
    return told
