"""What can be asked of defects; reading only."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.defects.tables import ClientDefectRow, DefectCaseRow, DefectRow
from pipeline.errors import NotFoundError
from pipeline.intake.tables import CaseRow


def clients_of(session: Session, defect_id: str) -> list[ClientDefectRow]:
    """The clients that have or had the defect."""
    query = select(ClientDefectRow).where(ClientDefectRow.defect_id == defect_id)
    return list(session.scalars(query.order_by(ClientDefectRow.client_id)))


def cases_of(session: Session, defect_id: str, client_id: str | None = None) -> list[CaseRow]:
    """The cases linked to the defect, oldest link first."""
    query = (
        select(CaseRow)
        .join(DefectCaseRow, DefectCaseRow.case_id == CaseRow.id)
        .where(DefectCaseRow.defect_id == defect_id)
        .order_by(DefectCaseRow.linked_at, CaseRow.id)
    )
    if client_id is not None:
        query = query.where(DefectCaseRow.client_id == client_id)
    return list(session.scalars(query))


def case_numbers(session: Session, defect_id: str, client_id: str) -> list[str]:
    """The numbers of one client's cases of the defect, oldest link first."""
    return [case.number for case in cases_of(session, defect_id, client_id)]


def first_case(session: Session, defect_id: str, client_id: str) -> CaseRow:
    """One client's first case of the defect: its store's zone and its words are used in what we write."""
    return cases_of(session, defect_id, client_id)[0]


def defect(session: Session, defect_id: str) -> DefectRow:
    """The defect.

    Raises:
        NotFoundError: there is none.
    """
    row = session.get(DefectRow, defect_id)
    if row is None:
        raise NotFoundError(f"no defect {defect_id!r}: see `garant defect list`")
    return row


def defects(session: Session, *, state: str | None = None, product: str | None = None) -> list[DefectRow]:
    """All defects, or those of a state or product, oldest first."""
    query = select(DefectRow).order_by(DefectRow.id)
    if state is not None:
        query = query.where(DefectRow.state == state)
    if product is not None:
        query = query.where(DefectRow.product == product)
    return list(session.scalars(query))


def document(session: Session, row: DefectRow) -> dict[str, Any]:
    """A defect for programs."""
    return {
        "id": row.id,
        "product": row.product,
        "signature": row.signature,
        "title": row.title,
        "state": row.state,
        "verdict": row.verdict,
        "version": row.version,
        "rate": row.rate,
        "interval": row.interval,
        "runs": row.runs,
        "first_bad_release": row.first_bad_release,
        "first_bad_commit": row.first_bad_commit,
        "parent_commit": row.parent_commit,
        "culprit": row.culprit,
        "events_before": row.events_before,
        "events_after": row.events_after,
        "bundle": row.bundle,
        "bundle_digest": row.bundle_digest,
        "steps": row.steps,
        "fixed_in": row.fixed_in,
        "tracker": {"kind": row.tracker, "key": row.tracker_key, "url": row.tracker_url},
        "recorded_at": row.created_at.isoformat(),
        "clients": [
            {"client": part.client_id, "turn": part.turn, "closed": part.closed_at is not None}
            for part in clients_of(session, row.id)
        ],
        "cases": [case.number for case in cases_of(session, row.id)],
    }
