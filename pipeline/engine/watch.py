"""For commands: wait for a job with its progress shown, by whoever does it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipeline.engine.tables import JobRow
from pipeline.engine.worker import DEFAULT_QUEUES
from pipeline.errors import GarantError, NotFoundError

if TYPE_CHECKING:
    from pipeline.application import Garant

#: Seconds between two looks at the job's row.
_LOOK_S = 0.3


def wait_for_job(
    app: Garant,
    effect_id: str,
    title: str,
    *,
    show: bool = True,
    until: Callable[[], bool] = lambda: True,
) -> JobRow:
    """Wait until the job is over, working ourselves beside any workers that run; returns its row.

    A command must not wait for ever because nobody started a worker, so it is one itself. Leases and tokens
    make two workers as good as one. Ctrl-C stops the waiting and our part of the work; what is left is done
    by the next worker.

    Args:
        title: what is being done, for people.
        show: progress on stderr.
        until: what must hold besides: the owner's tick has taken the outcome in.

    Raises:
        NotFoundError: no such job.
        GarantError: the job failed; its reason.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with (
        app.worker(DEFAULT_QUEUES),
        Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not show) as bar,
    ):
        task = bar.add_task(title, total=None)
        while True:
            job = _job(app, effect_id)
            progress = job.progress or {}
            text = f"{title}: {progress['text']}" if progress else title
            if job.state == "queued" and job.error:
                text = f"{title}: attempt {job.attempts} failed, another follows: {job.error}"
            bar.update(
                task, description=text, completed=progress.get("done") or 0, total=progress.get("total")
            )
            if job.state == "done" and until():
                return job
            if job.state == "failed" and until():
                raise GarantError(f"{title}: {job.error}")
            time.sleep(_LOOK_S)


def _job(app: Garant, effect_id: str) -> JobRow:
    with app.database.reading() as session:
        job = session.get(JobRow, effect_id)
    if job is None:
        raise NotFoundError(f"no job {effect_id!r}")
    return job
