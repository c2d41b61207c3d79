"""Reproductions and fix checks: asked for once, settled once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.database.numbers import next_number
from pipeline.defects import queries
from pipeline.defects import rules as defect_rules
from pipeline.defects import service as defects
from pipeline.diagnosis import service as diagnosis
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import NotFoundError, RefusedError
from pipeline.intake import service as intake
from pipeline.intake.tables import CaseRow
from pipeline.reproduction import rules
from pipeline.reproduction.tables import FixCheckRow, ReproductionRow

KIND = "reproduction"
FIX_KIND = "fix-check"
QUEUE = "bench"
TIME_LIMIT = timedelta(hours=6)


def job_id(reproduction_id: str) -> str:
    """The effect of this reproduction."""
    return f"reproduction:{reproduction_id}"


def request(
    unit: UnitOfWork, case_id: str, *, version: str | None = None, runs: int | None = None
) -> ReproductionRow:
    """Have the case's newest evidence played on the bench; one that still runs is joined, not repeated.

    Args:
        version: play on this version instead of the store's.
        runs: so many runs instead of what the sequential test needs.

    Raises:
        NotFoundError: no such case, or no usable evidence.
        RefusedError: the case is closed, the evidence does not say the store's version, or a reproduction on
            another version or with another number of runs is at work.
    """
    # Locked: two who ask at once must get the same reproduction.
    case = unit.get(CaseRow, intake.case(unit.session, case_id).id, called="case")
    if case.state == "closed":
        raise RefusedError(f"case {case_id} is closed: there is nothing to reproduce")
    evidence = diagnosis.latest(unit.session, case_id)
    played_on = version or evidence.version
    if played_on is None:
        raise RefusedError(
            f"evidence {evidence.id} does not say which version the store runs: name it with --version"
        )
    running = unit.session.scalars(
        select(ReproductionRow).where(ReproductionRow.case_id == case_id, ReproductionRow.state == "running")
    ).first()
    if running is not None:
        if (running.version, running.runs) != (played_on, runs):
            raise RefusedError(
                f"case {case_id} is being reproduced on {running.version} already ({running.id}): "
                "wait until that is done"
            )
        return running
    row = ReproductionRow(
        id=f"REP-{next_number(unit.session, KIND):06}",
        case_id=case_id,
        evidence_id=evidence.id,
        version=played_on,
        runs=runs,
        findings={},
        state="running",
        created_at=unit.now,
        updated_at=unit.now,
    )
    unit.session.add(row)
    unit.session.flush()
    unit.record(KIND, row.id, "requested", case=case_id, evidence=evidence.id, version=played_on)
    unit.start_job(
        "reproduction.run",
        job_id(row.id),
        {"reproduction": row.id},
        owner=(KIND, row.id),
        queue=QUEUE,
        time_limit=TIME_LIMIT,
        max_attempts=3,
    )
    return row


def settle(unit: UnitOfWork, row: ReproductionRow, outcome: dict[str, Any] | None, error: str | None) -> None:
    """The bench is done: keep what it found; a defect that was seen is recorded and tied to the case."""
    row.updated_at = unit.now
    if outcome is None:
        row.state, row.error = "failed", error
        unit.record(KIND, row.id, "failed", reason=error)
        return
    row.state, row.findings = "done", outcome
    row.verdict = outcome["verdict"]["verdict"]
    unit.record(KIND, row.id, "judged", verdict=row.verdict, version=row.version)
    unit.record("case", row.case_id, "reproduction_judged", reproduction=row.id, verdict=row.verdict)
    if row.verdict in rules.SHOWN:
        row.defect_id = _record(unit, row, outcome)


def _record(unit: UnitOfWork, row: ReproductionRow, outcome: dict[str, Any]) -> str:
    verdict, culprit, reduced = outcome["verdict"], outcome.get("culprit") or {}, outcome.get("reduced") or {}
    defect, joined = defects.record(
        unit,
        product=outcome["product"],
        signature=verdict["signature"],
        title=outcome["title"],
        verdict=verdict["verdict"],
        version=row.version,
        rate=verdict["rate"],
        interval=verdict["interval"],
        runs=verdict["runs"],
        first_bad_release=culprit.get("release"),
        first_bad_commit=culprit.get("first_bad"),
        parent_commit=culprit.get("parent"),
        culprit=outcome.get("commit"),
        events_before=reduced.get("before"),
        events_after=reduced.get("after"),
        bundle=outcome["bundle"],
        bundle_digest=outcome["bundle_digest"],
        steps=outcome["steps"],
    )
    case = intake.case(unit.session, row.case_id)
    if case.state != "closed" and case.defect_id in (None, defect.id):
        defects.link_case(unit, defect.id, case.id, recorded=not joined)
    else:
        # What the bench saw is true all the same; only the case has moved on since it was asked.
        why = "it is closed" if case.state == "closed" else f"it is tied to {case.defect_id}"
        row.error = f"case {case.id} is not linked to {defect.id}: {why}"
        unit.record("case", case.id, "defect_not_linked", reason=row.error, defect=defect.id)
    return defect.id


def reproduction(session: Session, reproduction_id: str) -> ReproductionRow:
    """The reproduction by its id.

    Raises:
        NotFoundError: there is none.
    """
    row = session.get(ReproductionRow, reproduction_id)
    if row is None:
        raise NotFoundError(f"no reproduction {reproduction_id!r}: `garant reproduce CASE` makes one")
    return row


def fix_id(defect_id: str, version: str) -> str:
    """The name of the check as a thing that ticks."""
    return f"{defect_id}@{version}"


def fix_job_id(row: FixCheckRow) -> str:
    """The effect of this round of the check."""
    return f"fix-check:{fix_id(row.defect_id, row.version)}:{row.round}"


def request_fix_check(
    unit: UnitOfWork, defect_id: str, version: str, *, commit: str | None = None, again: bool = False
) -> FixCheckRow:
    """Have the defect's bundle played on ``version`` by the two-sided rule; a running check is joined.

    A check that was inconclusive, failed or not-fixed may be asked for again; one that said fixed stands.

    Args:
        commit: what is played as that version; None: what its tag names.
        again: also when one said fixed: the version is not what it was (its tag was moved).

    Raises:
        NotFoundError: no such defect.
        RefusedError: the defect has no bundle.
    """
    defect = queries.defect(unit.session, defect_id)
    if defect.bundle is None:
        raise RefusedError(f"defect {defect_id} has no bundle: reproduce one of its cases first")
    row = unit.session.get(FixCheckRow, (defect_id, version), with_for_update=True)
    if row is not None and row.state in (("running",) if again else ("running", "fixed")):
        return row
    if row is None:
        row = FixCheckRow(defect_id=defect_id, version=version, round=0, created_at=unit.now)
        unit.session.add(row)
    row.round += 1
    row.state, row.findings, row.updated_at = "running", {}, unit.now
    unit.session.flush()
    name = fix_id(defect_id, version)
    unit.record(FIX_KIND, name, "requested", round=row.round)
    unit.start_job(
        "reproduction.verify",
        fix_job_id(row),
        {"defect": defect_id, "version": version, "commit": commit},
        owner=(FIX_KIND, name),
        queue=QUEUE,
        time_limit=TIME_LIMIT,
        max_attempts=3,
    )
    return row


def settle_fix_check(
    unit: UnitOfWork, row: FixCheckRow, outcome: dict[str, Any] | None, error: str | None
) -> None:
    """The check is over; a fix that was seen by both sides is the defect's ``fixed_in``.

    Development is told in the tracker, also of a version that does not mend it or cannot be judged. A defect
    that shows in the version that fixed it, or in a later one, came back: it is open again.
    """
    row.updated_at = unit.now
    row.state = "failed" if outcome is None else outcome["verdict"]
    row.findings = outcome if outcome is not None else {"reason": error}
    name = fix_id(row.defect_id, row.version)
    unit.record(FIX_KIND, name, row.state, reason=row.findings.get("reason"))
    defect = queries.defect(unit.session, row.defect_id)
    version = rules.version_of(row.version)
    unit.record(
        defects.KIND,
        defect.id,
        "fix_checked",
        reason=row.findings.get("reason"),
        version=version,
        said=row.state,
    )
    if row.state == "fixed":
        if defect.fixed_in is None and defect.state != "closed":
            defects.mark_fixed(unit, row.defect_id, version)
    elif row.state == "not-fixed" and defect.fixed_in and defect_rules.at_least(version, defect.fixed_in):
        defects.came_back(unit, row.defect_id, version)
    else:
        said = f"Played on {version}: {row.state}. {row.findings.get('reason') or ''}".rstrip()
        defects.comment(unit, defect, f"checked:{version}:{row.round}", said)


def fix_check(session: Session, defect_id: str, version: str) -> FixCheckRow:
    """The newest check of the defect on the version.

    Raises:
        NotFoundError: there was none.
    """
    row = session.get(FixCheckRow, (defect_id, version))
    if row is None:
        raise NotFoundError(
            f"defect {defect_id} was not checked on {version}: `garant defect verify` does it"
        )
    return row
