"""Filing one defect: found by its label, or created when it is certain that there is none."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.defects import queries
from pipeline.defects.tables import DefectRow
from pipeline.engine.dispatch import RunningJob
from pipeline.errors import RefusedError, UnavailableError
from pipeline.trackers import archives, rules
from pipeline.trackers.drafts import Findings, House, draft, label
from pipeline.trackers.errors import UnknownOutcomeError
from pipeline.trackers.port import Draft, Filing, Issue
from pipeline.trackers.tables import FilingRow

if TYPE_CHECKING:
    from pipeline.application import Garant


def file(app: Garant, tracker: Filing, job: RunningJob) -> dict[str, Any]:
    """The defect's issue with its bundle, comment and link; repeated at any point, it is the same one."""
    with app.database.reading() as session:
        defect = queries.defect(session, job.args["defect"])
        clients = len(queries.clients_of(session, defect.id))
    if defect.bundle is None:
        raise RefusedError(f"defect {defect.id} has no bundle: reproduce it first")
    with tempfile.TemporaryDirectory(prefix="garant-file-") as folder:
        archive = Path(folder) / f"{defect.id}.tar.gz"
        digest = archives.pack(Path(defect.bundle), archive, name=defect.id)
        job.report("looking for the issue", done=0, total=3)
        issue = _issue(
            app, tracker, job, draft(_findings(defect, clients, archive.name, digest), _house(app))
        )
        job.report(f"attaching the bundle to {issue.key}", done=1, total=3)
        tracker.attach(issue.key, archive.name, archive)
    job.report(f"commenting on {issue.key}", done=2, total=3)
    tracker.comment(
        issue.key,
        f"The bundle {archive.name} (sha256 {digest}) is attached. It runs by itself: "
        "unpack it, then `pytest`.",
        f"{defect.id}:bundle:{digest[:12]}",
    )
    if app.settings.tracker.link_base is not None:
        url = f"{app.settings.tracker.link_base.rstrip('/')}/defects/{defect.id}"
        tracker.link(issue.key, label(defect.id), url, f"Garant: defect {defect.id}")
    files = [file.name for file in tracker.state(issue.key).attachments]
    return {"tracker": tracker.name, "key": issue.key, "url": issue.url, "attachments": files}


def _issue(app: Garant, tracker: Filing, job: RunningJob, wanted: Draft) -> Issue:
    """The defect's one issue: found by its label, or created when it is certain that there is none."""
    with app.unit(f"job:{job.effect_id}") as unit:
        row = unit.session.get(FilingRow, wanted.label, with_for_update=True)
        key, doubt_since = (row.key, row.doubt_since) if row else (None, None)
    if key is not None:
        return tracker.state(key)
    found = tracker.find(wanted.label)
    if found:
        # A copy that a person made carries the label too.
        first = next((issue for issue in found if issue.ours), found[0])
        _remember(app, job, wanted.label, key=first.key)
        return first
    lag = timedelta(seconds=app.settings.tracker.index_lag_s if tracker.name == "jira" else 0)
    if not rules.may_create(doubt_since, app.clock(), index_lag=lag):
        raise UnknownOutcomeError(
            f"an issue labelled {wanted.label} may have been created at {doubt_since}; searching until the "
            f"index must show it ({app.settings.tracker.index_lag_s:.0f} s)"
        )
    # The trace first: whoever comes after a kill knows that a search may not show everything yet.
    _remember(app, job, wanted.label, doubt=True)
    try:
        made = tracker.create(wanted)
    except UnknownOutcomeError:
        raise
    except (UnavailableError, RefusedError):
        _remember(app, job, wanted.label)  # certainly not created
        raise
    _remember(app, job, wanted.label, key=made.key)
    return made


def _remember(
    app: Garant, job: RunningJob, name: str, *, key: str | None = None, doubt: bool = False
) -> None:
    with app.unit(f"job:{job.effect_id}") as unit:
        row = unit.session.get(FilingRow, name, with_for_update=True) or new_filing(name)
        unit.session.add(row)
        row.key = key
        row.doubt_since = unit.now if doubt else None
        if key is not None:
            row.tries = 0


def new_filing(name: str) -> FilingRow:
    """Nothing is known of it yet."""
    return FilingRow(label=name, doubt_since=None, key=None, tries=0)


def _house(app: Garant) -> House:
    settings = app.settings.tracker
    return House(
        labels=settings.labels,
        components=settings.components,
        fields=settings.fields,
        diff_url=settings.diff_url,
        commands=bool(settings.commanders),
    )


def _findings(defect: DefectRow, clients: int, bundle: str, digest: str) -> Findings:
    return Findings(
        defect=defect.id,
        product=defect.product,
        signature=defect.signature,
        title=defect.title,
        verdict=defect.verdict,
        version=defect.version,
        rate=defect.rate,
        interval=defect.interval,
        runs=defect.runs,
        first_bad_release=defect.first_bad_release,
        first_bad_commit=defect.first_bad_commit,
        parent_commit=defect.parent_commit,
        culprit=defect.culprit,
        events_before=defect.events_before,
        events_after=defect.events_after,
        steps=defect.steps.get("en") or defect.steps.get("ru") or [],
        clients=clients,
        bundle=bundle,
        digest=digest,
    )
