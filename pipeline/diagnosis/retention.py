"""The end of evidence: who still needs it, its deletion, and the tombstone that stays."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from pipeline.database.base import EventRow
from pipeline.defects.tables import DefectCaseRow, DefectRow
from pipeline.diagnosis import rules
from pipeline.diagnosis.tables import EvidenceRow, TombstoneRow
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import NotFoundError, RefusedError
from pipeline.intake.tables import CaseRow

KIND, QUEUE = "evidence", "diagnosis"


def needed_by(session: Session, row: EvidenceRow) -> list[str]:
    """What is open and rests on the evidence, for people; empty when nothing is."""
    case = session.get(CaseRow, row.case_id)
    needed = [f"case {case.id} is open ({case.state})"] if case is not None and case.state != "closed" else []
    tied = select(DefectCaseRow.defect_id).where(DefectCaseRow.case_id == row.case_id)
    own = case.defect_id if case is not None else None
    open_defects = session.scalars(
        select(DefectRow)
        .where(or_(DefectRow.id.in_(tied), DefectRow.id == own), DefectRow.state != "closed")
        .order_by(DefectRow.id)
    )
    return needed + [f"defect {defect.id} is {defect.state}" for defect in open_defects]


def decide(unit: UnitOfWork, row: EvidenceRow, period: timedelta) -> datetime | None:
    """Begin the deletion when the evidence's time is over; returns when to look again."""
    assert row.collected_at is not None
    freed_at = unit.session.scalar(
        select(func.max(EventRow.at)).where(
            EventRow.kind == "case", EventRow.thing_id == row.case_id, EventRow.type == "closed"
        )
    )
    decision = rules.retention(
        collected_at=row.collected_at,
        freed_at=freed_at,
        needed_by=needed_by(unit.session, row),
        period=period,
        now=unit.now,
    )
    if decision.delete:
        _begin(unit, row, decision.reason)
        return None
    if row.retain_until != decision.again_at:
        row.retain_until = decision.again_at
    return decision.again_at


def request(unit: UnitOfWork, evidence_id: str, *, reason: str, force: bool = False) -> EvidenceRow:
    """Have evidence deleted before its time; asking again while that goes on changes nothing.

    Args:
        reason: why; kept in the tombstone.
        force: also while an open case or defect rests on it (a person demands the erasure of its data).

    Raises:
        NotFoundError: there is none.
        RefusedError: it is deleted, is still collected, is needed, or no reason is given.
    """
    row = unit.session.get(EvidenceRow, evidence_id, with_for_update=True)
    if row is None:
        raise NotFoundError(f"no evidence {evidence_id!r}: list what exists with `garant evidence list`")
    if row.state == "deleting":
        return row
    if not reason.strip():
        raise RefusedError(f"evidence {row.id}: its deletion needs a reason; the tombstone keeps it")
    if row.state == "deleted":
        raise RefusedError(f"evidence {row.id} is deleted already: see `garant evidence show {row.id}`")
    if row.state not in rules.USABLE:
        raise RefusedError(f"evidence {row.id} is {row.state}: there is nothing to delete")
    needed = needed_by(unit.session, row)
    if needed and not force:
        raise RefusedError(
            f"evidence {row.id} is needed: {'; '.join(needed)}. Close that first, or delete it with --force"
        )
    _begin(unit, row, reason)
    return row


def _begin(unit: UnitOfWork, row: EvidenceRow, reason: str) -> None:
    """The intent, before a file is touched; who reads it from now on is told that it goes."""
    before = unit.session.scalar(
        select(func.count()).where(
            EventRow.kind == KIND, EventRow.thing_id == row.id, EventRow.type == "deletion_begun"
        )
    )
    row.state, row.updated_at = "deleting", unit.now
    effect = f"diagnosis-delete:{row.id}:{(before or 0) + 1}"
    unit.record(KIND, row.id, "deletion_begun", reason=reason, effect=effect)
    unit.start_job(
        "diagnosis.delete", effect, {"evidence": row.id}, owner=(KIND, row.id), queue=QUEUE, max_attempts=5
    )


def settle(unit: UnitOfWork, row: EvidenceRow) -> datetime | None:
    """Write the tombstone when the files are gone; a deletion that failed is tried again the next day."""
    begun = _begun(unit.session, row.id)
    job = unit.session.get(JobRow, begun.payload["effect"])
    if job is None or job.state not in ("done", "failed"):
        return None
    row.updated_at = unit.now
    if job.state == "failed":
        row.state = rules.outcome(row.figures.get("files", 0), row.missing)
        unit.record(KIND, row.id, "deletion_failed", reason=job.error)
        return unit.now + rules.LOOK_AGAIN
    unit.session.add(
        TombstoneRow(
            evidence_id=row.id,
            case_id=row.case_id,
            store_id=row.store_id,
            digest=row.digest,
            collected_at=row.collected_at,
            figures={name: row.figures.get(name) for name in ("hosts", "files", "bytes")},
            deleted_by=begun.actor,
            reason=begun.reason or "",
            deleted_at=unit.now,
        )
    )
    row.state, row.folder, row.missing = "deleted", None, []
    unit.record(KIND, row.id, "deleted", reason=begun.reason, digest=row.digest)
    unit.record("case", row.case_id, "evidence_deleted", evidence=row.id, reason=begun.reason)
    return None


def tombstone(session: Session, evidence_id: str) -> TombstoneRow | None:
    """What stays of deleted evidence."""
    return session.get(TombstoneRow, evidence_id)


def deletion_job(session: Session, evidence_id: str) -> str:
    """The effect of the newest deletion of the evidence."""
    return str(_begun(session, evidence_id).payload["effect"])


def _begun(session: Session, evidence_id: str) -> EventRow:
    chosen = select(EventRow).where(
        EventRow.kind == KIND, EventRow.thing_id == evidence_id, EventRow.type == "deletion_begun"
    )
    return session.scalars(chosen.order_by(EventRow.id.desc()).limit(1)).one()
