"""What development says becomes the defect's: one transaction each, and the same again changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.defects.tables import DefectRow
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork
from pipeline.trackers import rules
from pipeline.trackers.port import Remark, Report
from pipeline.trackers.tables import TrackerDoubleRow, TrackerReportRow, TrackerRequestRow

#: A request of development as a thing that ticks.
REQUEST = "tracker-request"
QUEUE = "tracker"
FOLLOW = "tracker.follow"
#: What is kept as the status of an issue that is not there any more.
MISSING = "missing"
_RERUN_LIMIT = timedelta(hours=6)
#: Changes of these are told in the defect's history.
_TOLD = ("status", "resolution", "due", "fix_versions")
_USAGE = (
    "Not understood. A line of its own with a version has the defect played on that version: "
    f"{rules.COMMAND} 10.4.2"
)


def follow(unit: UnitOfWork) -> None:
    """Have the tracker polled from now on; asked for again, it is the same one job."""
    job = unit.start_job(FOLLOW, FOLLOW, {}, queue=QUEUE, max_attempts=1_000_000)
    if job.state in ("done", "failed"):  # it was switched off, and is on again
        job.state, job.attempts, job.updated_at = "queued", 0, unit.now
        unit.session.flush()
        unit.wake("job", FOLLOW, queue=QUEUE)


def look(unit: UnitOfWork, defect_id: str, bell: str) -> JobRow:
    """Have the defect's issue looked at; the same ``bell`` (a delivery's identifier) rings once."""
    name = hashlib.sha256(bell.encode()).hexdigest()[:32]
    return unit.start_job("tracker.look", f"tracker.look:{name}", {"defect": defect_id}, queue=QUEUE)


def look_at_all(unit: UnitOfWork) -> JobRow:
    """Have the issues of all filed defects looked at now."""
    return unit.start_job("tracker.sync", f"tracker.sync:{unit.new_id()}", {}, queue=QUEUE)


def reconcile(unit: UnitOfWork) -> JobRow:
    """Have doubles searched for, linked and closed now."""
    return unit.start_job("tracker.reconcile", f"tracker.reconcile:{unit.new_id()}", {}, queue=QUEUE)


def filed(session: Session, tracker: str) -> list[tuple[str, str]]:
    """Defect and issue of all that are filed in this tracker, oldest first."""
    query = select(DefectRow.id, DefectRow.tracker_key).where(
        DefectRow.tracker == tracker, DefectRow.tracker_key.is_not(None)
    )
    return [(defect, key) for defect, key in session.execute(query.order_by(DefectRow.id)) if key is not None]


def defect_of(session: Session, tracker: str, key: str) -> str | None:
    """The defect that is filed as this issue, if there is one."""
    query = select(DefectRow.id).where(DefectRow.tracker == tracker, DefectRow.tracker_key == key)
    return session.scalar(query.order_by(DefectRow.id))


def take_report(unit: UnitOfWork, defect_id: str, report: Report) -> bool:
    """Keep what an issue's fields say; a due date becomes the date that clients are told.

    Returns:
        Whether anything is new; a report older than the one we have never is.
    """
    defect = unit.get(DefectRow, defect_id, called="defect")
    known = unit.session.get(TrackerReportRow, defect_id, with_for_update=True)
    if known is not None and known.status != MISSING and report.updated_at < known.changed_at:
        return False
    row = known or TrackerReportRow(defect_id=defect_id)
    values: dict[str, Any] = {
        "status": report.status,
        "resolution": report.resolution,
        "due": report.due,
        "fix_versions": list(report.fix_versions),
    }
    changes = {name: values[name] for name in _TOLD if values[name] != (getattr(row, name) or _nothing(name))}
    for name, value in {**values, "key": report.key, "done": report.done}.items():
        setattr(row, name, value)
    row.changed_at, row.seen_at = report.updated_at, unit.now
    unit.session.add(row)
    unit.session.flush()
    if report.key != defect.tracker_key:
        _moved(unit, defect, report.key)
    if not changes:
        return False
    told = {**changes, **({"due": report.due and report.due.isoformat()} if "due" in changes else {})}
    unit.record("defect", defect_id, "tracker_changed", key=report.key, **told)
    if "due" in changes and report.due is not None:
        _tell_date(unit, defect, report)
    return True


def _moved(unit: UnitOfWork, defect: DefectRow, key: str) -> None:
    """Development moved the issue to another project: the old key answers still, the new one is its own."""
    old = defect.tracker_key or ""
    unit.record("defect", defect.id, "tracker_issue_moved", was=old, key=key)
    defect.tracker_key, defect.updated_at = key, unit.now
    if defect.tracker_url is not None:
        defect.tracker_url = defect.tracker_url.removesuffix(old) + key


def _nothing(name: str) -> Any:
    return [] if name == "fix_versions" else None


def _tell_date(unit: UnitOfWork, defect: DefectRow, report: Report) -> None:
    from pipeline.defects import service as defects
    from pipeline.promises import service as promises

    assert report.due is not None
    refusal = promises.eta_from_tracker(unit, defect.id, report.due, issue=report.key)
    if refusal is not None:
        defects.comment(
            unit,
            defect,
            f"due-refused:{report.due}",
            f"The due date {report.due} was not told to clients: {refusal}",
        )


def note_missing(unit: UnitOfWork, defect_id: str, key: str, reason: str) -> None:
    """The tracker has no such issue any more (deleted, or we may not see it): told once."""
    known = unit.session.get(TrackerReportRow, defect_id, with_for_update=True)
    if known is not None and known.status == MISSING:
        return
    row = known or TrackerReportRow(defect_id=defect_id, fix_versions=[], changed_at=unit.now)
    row.key, row.status, row.done, row.seen_at = key, MISSING, False, unit.now
    unit.session.add(row)
    unit.record("defect", defect_id, "tracker_issue_missing", reason=reason, key=key)


def take_remarks(
    unit: UnitOfWork,
    defect_id: str,
    remarks: Sequence[Remark],
    *,
    commanders: Collection[str],
) -> list[TrackerRequestRow]:
    """Do what comments ask for: each is looked at once, by who may ask; of all others nothing is kept.

    Returns:
        The requests that are new.
    """
    new = []
    for remark in remarks:
        asked = rules.asked(remark.text)
        name = f"{defect_id}#{remark.id}"
        if asked is None or unit.session.get(TrackerRequestRow, name) is not None:
            continue
        row = TrackerRequestRow(
            id=name,
            defect_id=defect_id,
            author=remark.author[:128],
            version=asked.version,
            state="running",
            asked_at=unit.now,
            answered_at=None,
        )
        unit.session.add(row)
        unit.session.flush()
        _start(unit, row, remark, allowed=rules.allowed(remark.names, commanders))
        new.append(row)
    return new


def _start(unit: UnitOfWork, row: TrackerRequestRow, remark: Remark, *, allowed: bool) -> None:
    if not allowed:
        unit.record(
            "defect", row.defect_id, "rerun_refused", reason=f"{row.author} may not ask", request=row.id
        )
        who = hashlib.sha256(",".join(sorted(remark.names)).encode()).hexdigest()[:12]
        text = (
            f"{row.author} may not ask for runs here. Whoever runs Garant can allow it (tracker.commanders)."
        )
        _answer(unit, row, "refused", f"not-allowed:{who}", text)
    elif row.version is None:
        unit.record("defect", row.defect_id, "rerun_not_understood", request=row.id)
        _answer(unit, row, "answered", f"usage:{remark.id}", _USAGE)
    else:
        unit.record("defect", row.defect_id, "rerun_asked", version=row.version, request=row.id)
        unit.start_job(
            "reproduction.rerun",
            rerun_effect(row),
            {"defect": row.defect_id, "version": row.version},
            owner=(REQUEST, row.id),
            queue="bench",
            time_limit=_RERUN_LIMIT,
            max_attempts=2,
        )


def rerun_effect(row: TrackerRequestRow) -> str:
    """The effect of this request."""
    return f"reproduction.rerun:{row.id}"


def settle_request(
    unit: UnitOfWork, row: TrackerRequestRow, outcome: dict[str, Any] | None, error: str | None
) -> None:
    """The bench is done: answer at the issue, once."""
    number = row.id.rpartition("#")[2]
    text = answer(row.version or "", outcome, error)
    unit.record("defect", row.defect_id, "rerun_answered", reason=text, request=row.id)
    _answer(unit, row, "answered", f"answer:{number}", text)


def answer(version: str, outcome: dict[str, Any] | None, error: str | None) -> str:
    """A re-run's verdict in words; of an error its first line, for the rest is about our machine."""
    if outcome is None:
        why = (error or "no reason is known").splitlines()[0][:500]
        return f"On {version}: could not be played. {why}"
    verdict = outcome["verdict"]
    text = f"On {outcome['version']}: {verdict['verdict']}"
    if verdict["rate"] is not None and verdict["bad"]:
        text += f", fails in {verdict['rate']:.0%} of runs"
        if verdict["interval"]:
            text += f" (95 % interval {verdict['interval'][0]:.0%} to {verdict['interval'][1]:.0%})"
    text += f", {verdict['runs']} runs."
    if verdict["bad"] and verdict["signature"] != outcome["signature"]:
        text += f" It fails in another way there: {verdict['signature']}."
    return f"{text} {verdict['reason']}".strip()


def _answer(unit: UnitOfWork, row: TrackerRequestRow, state: str, what: str, text: str) -> None:
    from pipeline.defects import service as defects

    row.state, row.answered_at = state, unit.now
    defects.comment(unit, unit.get(DefectRow, row.defect_id, called="defect"), what, text)


def settled_doubles(session: Session) -> set[str]:
    """Issues that were closed as doubles once."""
    query = select(TrackerDoubleRow.key).where(TrackerDoubleRow.closed_at.is_not(None))
    return set(session.scalars(query))


def found_double(unit: UnitOfWork, defect_id: str, key: str, original: str) -> None:
    """An issue is going to be closed as a double; the intent is written first."""
    if unit.session.get(TrackerDoubleRow, key, with_for_update=True) is None:
        unit.session.add(
            TrackerDoubleRow(
                key=key, defect_id=defect_id, original=original, found_at=unit.now, closed_at=None
            )
        )
        unit.record("defect", defect_id, "tracker_double_found", key=key, original=original)


def closed_double(unit: UnitOfWork, key: str) -> None:
    """It is linked and closed: it is never touched again."""
    row = unit.get(TrackerDoubleRow, key, called="double")
    if row.closed_at is None:
        row.closed_at = unit.now
        unit.record("defect", row.defect_id, "tracker_double_closed", key=key, original=row.original)


def next_look(session: Session) -> tuple[datetime | None, str | None]:
    """When polling looks next, and what its last look said."""
    from pipeline.engine.tables import WakeupRow

    job, bell = session.get(JobRow, FOLLOW), session.get(WakeupRow, ("job", FOLLOW))
    if job is None or bell is None or job.state in ("done", "failed"):
        return None, job.error if job else None
    return bell.due_at, job.error
