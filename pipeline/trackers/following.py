"""What development changes is brought to the defects, and what we must change there is changed.

Whoever rings (a webhook, polling, a person) only says where to look. What counts is what the tracker answers
then, so a bell that is late, doubled or forged does no harm.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipeline.defects import queries
from pipeline.engine.dispatch import RunningJob
from pipeline.errors import GarantError, NotFoundError, RefusedError, UnavailableError
from pipeline.trackers import rules, service
from pipeline.trackers.drafts import label
from pipeline.trackers.port import COMMON_LABEL, Report, Tracker
from pipeline.trackers.tables import TrackerLookRow

if TYPE_CHECKING:
    from pipeline.application import Garant

#: What is looked through as a whole.
CHANGES, DOUBLES = "changes", "doubles"


def look(app: Garant, tracker: Tracker, job: RunningJob) -> dict[str, Any]:
    """One defect's issue."""
    with app.database.reading() as session:
        key = queries.defect(session, job.args["defect"]).tracker_key
    if key is None:
        return {"defect": job.args["defect"], "filed": False}
    return _look(app, tracker, job, job.args["defect"], key)


def sync(app: Garant, tracker: Tracker, job: RunningJob) -> dict[str, Any]:
    """The issues of all filed defects, one by one: also what polling cannot see any more."""
    with app.database.reading() as session:
        filed = service.filed(session, tracker.name)
    failed = {}
    for number, (defect_id, key) in enumerate(filed):
        job.report(f"looking at {key}", done=number, total=len(filed))
        try:
            _look(app, tracker, job, defect_id, key)
        except UnavailableError:
            raise
        except GarantError as error:  # one issue that we may not see must not hide the others
            failed[key] = str(error)
    return {"issues": len(filed), "failed": failed}


def poll(app: Garant, tracker: Tracker, job: RunningJob) -> dict[str, Any]:
    """The issues that were changed since the last look, and a little before it."""
    began = app.clock()
    with app.database.reading() as session:
        last = session.get(TrackerLookRow, CHANGES)
        known = {key: defect_id for defect_id, key in service.filed(session, tracker.name)}
    lag = timedelta(seconds=app.settings.tracker.index_lag_s)
    reports = tracker.changed(rules.window(last.at if last else None, began, index_lag=lag))
    ours = [report for report in reports if report.key in known]
    for report in ours:
        _take(app, tracker, job, known[report.key], report)
    with app.unit(f"job:{job.effect_id}") as unit:
        unit.session.merge(TrackerLookRow(what=CHANGES, at=began))
    return {"changed": len(ours)}


def is_due(app: Garant, what: str, every: timedelta) -> bool:
    """Whether it was not looked through for so long."""
    with app.database.reading() as session:
        last = session.get(TrackerLookRow, what)
    return last is None or app.clock() >= last.at + every


def reconcile(app: Garant, tracker: Tracker, job: RunningJob) -> dict[str, Any]:
    """Issues that carry one defect's label: the one we know stays, ours besides it are linked and closed."""
    began = app.clock()
    with app.database.reading() as session:
        filed = service.filed(session, tracker.name)
        settled = service.settled_doubles(session)
    issues, closed, failed = tracker.find(COMMON_LABEL), [], {}
    for defect_id, known in filed:
        marked = [issue for issue in issues if label(defect_id) in issue.labels]
        for key in rules.doubles(marked, known=known, settled=settled):
            job.report(f"closing {key}, a double of {known}")
            try:
                _close_double(app, tracker, job, defect_id, key, known)
                closed.append(key)
            except UnavailableError:
                raise
            except GarantError as error:
                failed[key] = str(error)
    with app.unit(f"job:{job.effect_id}") as unit:
        unit.session.merge(TrackerLookRow(what=DOUBLES, at=began))
    return {"doubles": closed, "failed": failed}


def reopen(app: Garant, tracker: Tracker, job: RunningJob) -> dict[str, Any]:
    """The defect came back: say so at its issue, and bring it back to work if its workflow lets us."""
    key = job.args["key"]
    added = tracker.comment(key, job.args["text"], job.args["marker"])
    try:
        return {"key": key, "added": added, "moved": tracker.move(key, done=False)}
    except RefusedError as error:  # development has read the comment; a person must move it
        with app.unit(f"job:{job.effect_id}") as unit:
            unit.record("defect", job.args["defect"], "tracker_reopen_refused", reason=str(error), key=key)
        return {"key": key, "added": added, "moved": False, "reason": str(error)}


def _close_double(
    app: Garant, tracker: Tracker, job: RunningJob, defect_id: str, key: str, original: str
) -> None:
    with app.unit(f"job:{job.effect_id}") as unit:
        service.found_double(unit, defect_id, key, original)
    tracker.duplicates(key, original)
    tracker.comment(
        key,
        f"The same defect ({defect_id}) was filed twice, by a lost answer. This issue is closed as a double "
        f"of {original}; please go on there.",
        f"{defect_id}:double:{original}",
    )
    tracker.move(key, done=True)
    with app.unit(f"job:{job.effect_id}") as unit:
        service.closed_double(unit, key)


def _look(app: Garant, tracker: Tracker, job: RunningJob, defect_id: str, key: str) -> dict[str, Any]:
    try:
        report = tracker.report(key)
    except NotFoundError as error:
        with app.unit(f"job:{job.effect_id}") as unit:
            service.note_missing(unit, defect_id, key, str(error))
        return {"defect": defect_id, "key": key, "missing": True}
    _take(app, tracker, job, defect_id, report)
    return {"defect": defect_id, "key": key, "status": report.status}


def _take(app: Garant, tracker: Tracker, job: RunningJob, defect_id: str, report: Report) -> None:
    commanders = app.settings.tracker.commanders
    remarks = tracker.remarks(report.key) if commanders else []
    with app.unit(f"job:{job.effect_id}") as unit:
        service.take_report(unit, defect_id, report)
        service.take_remarks(unit, defect_id, remarks, commanders=commanders)
