"""Evidence: asked for, collected once, found again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.diagnosis import rules
from pipeline.diagnosis.tables import EvidenceRow
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import NotFoundError, RefusedError
from pipeline.fleet import service as fleet
from pipeline.fleet.tables import HostRow
from pipeline.intake import service as intake
from pipeline.intake.tables import CaseRow

KIND = "evidence"
QUEUE = "diagnosis"
#: A whole store, over a slow link.
TIME_LIMIT = timedelta(minutes=30)


def job_id(evidence_id: str) -> str:
    """The effect of collecting this evidence."""
    return f"diagnosis:{evidence_id}"


def request(unit: UnitOfWork, case_id: str, *, look_back: timedelta = rules.LOOK_BACK) -> EvidenceRow:
    """Have evidence collected from the case's store; a collection that still runs is joined, not repeated.

    Args:
        look_back: how far before the request the time in question begins.

    Raises:
        NotFoundError: no such case.
        RefusedError: the case is closed, its store is not known, or has no hosts.
    """
    # Locked: a person and the automatic start may ask at once, and both must get the same collection.
    case = unit.get(CaseRow, intake.case(unit.session, case_id).id, called="case")
    if case.state == "closed":
        raise RefusedError(f"case {case_id} is closed: open a new one (`garant case open`)")
    if case.store_id is None:
        raise RefusedError(f"case {case_id} names no store: give it one (`garant case open --store`) first")
    if not fleet.hosts_of_store(unit.session, case.store_id):
        raise RefusedError(
            f"store {case.store_id} of case {case_id} has no hosts: add them to the fleet file and import it"
        )
    running = unit.session.scalars(
        select(EvidenceRow).where(EvidenceRow.case_id == case_id, EvidenceRow.state == "collecting")
    ).first()
    if running is not None:
        return running
    begin, end = rules.window(case.received_at, unit.now, look_back)
    number = (unit.session.scalar(select(func.count()).select_from(EvidenceRow)) or 0) + 1
    row = EvidenceRow(
        id=f"E-{number:06}",
        case_id=case_id,
        store_id=case.store_id,
        window_from=begin,
        window_to=end,
        requested_by=unit.actor,
        missing=[],
        figures={},
        state="collecting",
        created_at=unit.now,
        updated_at=unit.now,
    )
    unit.session.add(row)
    unit.session.flush()
    unit.record(KIND, row.id, "requested", case=case_id, store=row.store_id)
    unit.start_job(
        "diagnosis.collect", job_id(row.id), {"evidence": row.id}, owner=(KIND, row.id), queue=QUEUE,
        time_limit=TIME_LIMIT, max_attempts=3,
    )  # fmt: skip
    return row


def begin(unit: UnitOfWork, case_id: str) -> EvidenceRow | None:
    """Have evidence collected unasked, where that is possible and there is none yet; else None."""
    case = intake.case(unit.session, case_id)
    if case.store_id is None or not fleet.hosts_of_store(unit.session, case.store_id):
        return None
    known = select(EvidenceRow.id).where(EvidenceRow.case_id == case_id, EvidenceRow.state != "failed")
    if case.state == "closed" or unit.session.scalars(known).first() is not None:
        return None
    return request(unit, case_id)


def settle(unit: UnitOfWork, row: EvidenceRow, outcome: dict[str, Any] | None, error: str | None) -> None:
    """The collection is over: write down what it brought; the case's history says so too."""
    if outcome is None:
        row.state, row.missing = "failed", [{"host": "", "what": "everything", "reason": error or "unknown"}]
    else:
        row.state = rules.outcome(outcome["figures"]["files"], outcome["missing"])
        row.folder, row.digest, row.version = outcome["folder"], outcome["digest"], outcome["version"]
        row.missing, row.figures = outcome["missing"], outcome["figures"]
        row.collected_at = unit.now
    row.updated_at = unit.now
    unit.record(KIND, row.id, row.state, reason=error, digest=row.digest, missing=len(row.missing))
    unit.record("case", row.case_id, "diagnosed", evidence=row.id, state=row.state)


def evidence(session: Session, evidence_id: str) -> EvidenceRow:
    """The evidence by its id.

    Raises:
        NotFoundError: there is none.
    """
    row = session.get(EvidenceRow, evidence_id)
    if row is None:
        raise NotFoundError(f"no evidence {evidence_id!r}: `garant diagnose CASE` collects some")
    return row


def collected(session: Session, case_id: str) -> list[EvidenceRow]:
    """Everything that was or is being collected for the case, the newest first."""
    chosen = select(EvidenceRow).where(EvidenceRow.case_id == case_id)
    return list(session.scalars(chosen.order_by(EvidenceRow.id.desc())))


def latest(session: Session, case_id: str) -> EvidenceRow:
    """The newest usable evidence of the case.

    Raises:
        NotFoundError: none was collected, or only failed collections.
    """
    usable = select(EvidenceRow).where(
        EvidenceRow.case_id == case_id, EvidenceRow.state.in_(("collected", "partial"))
    )
    row = session.scalars(usable.order_by(EvidenceRow.id.desc())).first()
    if row is None:
        intake.case(session, case_id)
        raise NotFoundError(f"case {case_id} has no usable evidence: run `garant diagnose {case_id}` first")
    return row


@dataclass(frozen=True, kw_only=True)
class About:
    """What the collector must know of a store."""

    zone: str
    hosts: list[HostRow]
    #: The hosts that others are reached through, by id.
    jumps: dict[str, HostRow]


def about(session: Session, row: EvidenceRow) -> About:
    """The store's zone, its hosts, and how they are reached.

    Raises:
        NotFoundError: the store, or a host's jump host, is not in the fleet.
    """
    hosts = list(fleet.hosts_of_store(session, row.store_id))
    jumps = {host.jump: fleet.host(session, host.jump) for host in hosts if host.jump is not None}
    return About(zone=fleet.store(session, row.store_id).zone, hosts=hosts, jumps=jumps)
