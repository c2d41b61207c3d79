"""The subject's jobs: each touches the tracker once, however often it is repeated or killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipeline.engine.dispatch import JobFunction, JobRetryError, RunningJob
from pipeline.errors import GarantError, RefusedError, UnavailableError
from pipeline.trackers import filing, following, rules
from pipeline.trackers.drafts import label
from pipeline.trackers.errors import BusyError, UnknownOutcomeError
from pipeline.trackers.jira import JiraTracker
from pipeline.trackers.local import LocalTracker
from pipeline.trackers.port import Tracker
from pipeline.trackers.tables import FilingRow

if TYPE_CHECKING:
    from pipeline.application import Garant

#: Between two searches for doubles: each reads all our issues.
_DOUBLES_EVERY = timedelta(hours=1)
_Work = Callable[["Garant", Tracker, RunningJob], dict[str, Any]]


def jobs(app: Garant) -> dict[str, JobFunction]:
    """By kind of job."""
    works: dict[str, _Work] = {
        "tracker.file": filing.file,
        "tracker.comment": _comment,
        "tracker.reopen": following.reopen,
        "tracker.look": following.look,
        "tracker.sync": following.sync,
        "tracker.reconcile": following.reconcile,
    }
    patient = {kind: _patiently(app, work) for kind, work in works.items()}
    return {**patient, "tracker.follow": lambda job: _follow(app, job)}


def open_tracker(app: Garant) -> Tracker:
    """The tracker that the settings name; close it after use.

    Raises:
        RefusedError: a setting is missing.
        UnavailableError: Jira does not answer.
    """
    settings = app.settings.tracker
    if settings.kind == "local":
        return LocalTracker(
            app.database, app.settings.home / "tracker", project=settings.project, clock=app.clock
        )
    token = None
    if settings.token_env is not None:
        token = os.environ.get(settings.token_env)
        if token is None:
            raise RefusedError(
                f"tracker jira: the environment variable {settings.token_env} is not set: set it for "
                "the worker"
            )
    return JiraTracker(settings, token=token)


def _patiently(app: Garant, work: _Work) -> JobFunction:
    """Do the work; a tracker that is away, and a creation in doubt, are waited for as long as it takes."""

    def run(job: RunningJob) -> dict[str, Any]:
        try:
            with closing(open_tracker(app)) as tracker:
                return work(app, tracker, job)
        except (UnavailableError, UnknownOutcomeError) as error:
            asked = error.after if isinstance(error, BusyError) else None
            again = rules.wait(_tries(app, job), asked)
            raise JobRetryError(str(error), after=again, counts=False) from error

    return run


def _tries(app: Garant, job: RunningJob) -> int:
    """How often the tracker was asked in vain for this defect, or for all of them."""
    name = label(job.args["defect"]) if "defect" in job.args else job.kind
    with app.unit(f"job:{job.effect_id}") as unit:
        row = unit.session.get(FilingRow, name, with_for_update=True) or filing.new_filing(name)
        unit.session.add(row)
        row.tries += 1
        return row.tries


def _comment(app: Garant, tracker: Tracker, job: RunningJob) -> dict[str, Any]:
    added = tracker.comment(job.args["key"], job.args["text"], job.args["marker"])
    return {"key": job.args["key"], "added": added}


def _follow(app: Garant, job: RunningJob) -> dict[str, Any]:
    """Look for what development changed, and at times for doubles; then again after a while, without end.

    One job for ever, so two workers never look at once. What goes wrong is said in its row and tried again.
    """
    settings = app.settings.tracker
    if settings.kind != "jira" or settings.poll_s == 0:
        return {"stopped": "polling is off: tracker.kind or tracker.poll_s"}
    again = timedelta(seconds=settings.poll_s)
    try:
        with closing(open_tracker(app)) as tracker:
            said = following.poll(app, tracker, job)
            if following.is_due(app, following.DOUBLES, _DOUBLES_EVERY):
                said |= following.reconcile(app, tracker, job)
        text = ", ".join(f"{name}: {value}" for name, value in said.items())
    except BusyError as error:
        text, again = str(error), max(again, min(error.after or again, rules.LONGEST_WAIT))
    except GarantError as error:
        text = str(error)
    raise JobRetryError(text, after=again, counts=False)
