"""The jobs that use the bench."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.defects import queries
from pipeline.diagnosis import service as diagnosis
from pipeline.diagnosis.folder import read
from pipeline.engine.dispatch import JobFunction, LeaseLostError, RunningJob
from pipeline.errors import GarantError
from pipeline.reproduction import bench, service
from testbench.progress import Progress, Step

if TYPE_CHECKING:
    from pipeline.application import Garant

_REPORT_EVERY_S = 1.0


def jobs(app: Garant) -> Mapping[str, JobFunction]:
    """The subject's jobs."""
    return {
        "reproduction.run": lambda job: _reproduce(app, job),
        "reproduction.verify": lambda job: _on_bundle(app, job, bench.verify),
        "reproduction.rerun": lambda job: _on_bundle(app, job, bench.rerun),
    }


def _reproduce(app: Garant, job: RunningJob) -> dict[str, Any]:
    with app.database.reading() as session:
        row = service.reproduction(session, job.args["reproduction"])
        evidence = diagnosis.evidence(session, row.evidence_id)
    if evidence.folder is None or not Path(evidence.folder).exists():
        raise GarantError(f"evidence {evidence.id} has no folder any more: `garant diagnose {row.case_id}`")
    read(Path(evidence.folder), evidence.digest)
    return bench.reproduce(
        product=bench.require_product(app.settings.product),
        home=None,
        evidence=Path(evidence.folder),
        version=row.version,
        runs=row.runs,
        bundle=_place(app.settings.folder("bundles"), row.id, job.attempt),
        now=app.clock(),
        progress=_progress(job),
    )


def _place(bundles: Path, name: str, attempt: int) -> Path:
    """Where this attempt's bundle goes; what earlier attempts left is removed.

    Each attempt has a place of its own: one that was overtaken, and wakes up late, must not write over the
    bundle of the attempt that counts.
    """
    places = [bundles / (name if number == 1 else f"{name}.{number}") for number in range(1, attempt + 1)]
    for place in places:
        for left in (place, place.with_name(f"{place.name}.partial")):
            shutil.rmtree(left, ignore_errors=True)
    return places[-1]


def _progress(job: RunningJob) -> Progress:
    """Progress of the bench as progress of the job: each new phase, and a look every second.

    A bench makes many short steps; each report is a transaction. It is also where an attempt that another
    worker took over ends.
    """
    last: tuple[str, float] = ("", 0.0)

    def report(step: Step) -> None:
        nonlocal last
        if job.cancelled.is_set():
            raise LeaseLostError(f"job {job.effect_id}: another worker took it over, or its time is over")
        now = time.monotonic()
        if step.phase != last[0] or now - last[1] >= _REPORT_EVERY_S:
            last = (step.phase, now)
            job.report(f"{step.phase}: {step.text}", done=step.done, total=step.total)

    return report


def _on_bundle(app: Garant, job: RunningJob, play: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    with app.database.reading() as session:
        defect = queries.defect(session, job.args["defect"])
    if defect.bundle is None or not Path(defect.bundle).exists():
        raise GarantError(
            f"the bundle of defect {defect.id} is not there any more: reproduce a case of it again"
        )
    return play(
        product=bench.require_product(app.settings.product),
        home=None,
        bundle=Path(defect.bundle),
        version=job.args["version"],
        commit=job.args.get("commit"),
        progress=_progress(job),
    )
