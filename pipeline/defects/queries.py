"""What can be asked of defects; reading only."""

from __future__ import annotations

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
