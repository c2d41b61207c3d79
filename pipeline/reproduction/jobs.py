"""The jobs that use the bench."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.defects import queries
from pipeline.diagnosis import service as diagnosis
from pipeline.engine.dispatch import JobFunction, RunningJob
from pipeline.errors import GarantError
from pipeline.reproduction import bench, service

if TYPE_CHECKING:
    from pipeline.application import Garant


def jobs(app: Garant) -> Mapping[str, JobFunction]:
    """The subject's jobs."""
    return {
        "reproduction.run": lambda job: _reproduce(app, job),
        "reproduction.verify": lambda job: _verify(app, job),
    }


def _reproduce(app: Garant, job: RunningJob) -> dict[str, Any]:
    with app.database.reading() as session:
        row = service.reproduction(session, job.args["reproduction"])
        evidence = diagnosis.evidence(session, row.evidence_id)
    if evidence.folder is None or not Path(evidence.folder).exists():
        raise GarantError(f"evidence {evidence.id} has no folder any more: diagnose the case again")
    return bench.reproduce(
        product=bench.require_product(app.settings.product),
        home=app.settings.folder("bench"),
        evidence=Path(evidence.folder),
        version=row.version,
        runs=row.runs,
        # A second attempt writes its bundle anew: the first one's is not known to be whole.
        bundle=app.settings.folder("bundles") / row.id,
        now=app.clock(),
        progress=bench.reporting(job.report),
    )


def _verify(app: Garant, job: RunningJob) -> dict[str, Any]:
    with app.database.reading() as session:
        defect = queries.defect(session, job.args["defect"])
    if defect.bundle is None or not Path(defect.bundle).exists():
        raise GarantError(
            f"the bundle of defect {defect.id} is not there any more: reproduce a case of it again"
        )
    return bench.verify(
        product=bench.require_product(app.settings.product),
        home=app.settings.folder("bench"),
        bundle=Path(defect.bundle),
        version=job.args["version"],
        progress=bench.reporting(job.report),
    )
