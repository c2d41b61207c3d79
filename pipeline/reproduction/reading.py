"""Reproductions and fix checks as people see them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.reproduction.tables import FixCheckRow, ReproductionRow


def reproductions(session: Session, case_id: str) -> list[ReproductionRow]:
    """Every attempt to play the case again, the newest first."""
    chosen = select(ReproductionRow).where(ReproductionRow.case_id == case_id)
    return list(session.scalars(chosen.order_by(ReproductionRow.id.desc())))


def fix_checks(session: Session, defect_id: str) -> list[FixCheckRow]:
    """The versions on which the defect's bundle was played, the newest check first."""
    chosen = select(FixCheckRow).where(FixCheckRow.defect_id == defect_id)
    return list(session.scalars(chosen.order_by(FixCheckRow.created_at.desc(), FixCheckRow.version)))
