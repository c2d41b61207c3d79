"""The job ``product.look``: asks the repository once; what it answers is the tick's to judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.engine.dispatch import JobFunction, RunningJob
from pipeline.errors import UnavailableError
from pipeline.products.port import Publications
from pipeline.products.repository import publications
from testbench.errors import TestbenchError

if TYPE_CHECKING:
    from pipeline.application import Garant


def jobs(app: Garant, where: Callable[[Path], Publications] = publications) -> Mapping[str, JobFunction]:
    """By kind of job; ``where`` finds the place of publication by product.yaml."""

    def look(job: RunningJob) -> dict[str, Any]:
        # A repository that is away is an answer, no failure of the job: the watch decides when to ask again.
        try:
            return {"versions": where(Path(job.args["product_file"])).versions(), "error": None}
        except (UnavailableError, TestbenchError) as error:
            return {"versions": {}, "error": str(error)[:1000]}

    return {"product.look": look}
