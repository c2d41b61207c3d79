"""The job that collects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.diagnosis import folder, service
from pipeline.diagnosis.collector import Collected, collect
from pipeline.engine.dispatch import JobFunction, RunningJob

if TYPE_CHECKING:
    from pipeline.application import Garant


def jobs(app: Garant) -> Mapping[str, JobFunction]:
    """The subject's jobs."""

    def run(job: RunningJob) -> dict[str, Any]:
        return _collect(app, job)

    return {"diagnosis.collect": run}


def _collect(app: Garant, job: RunningJob) -> dict[str, Any]:
    with app.database.reading() as session:
        row = service.evidence(session, job.args["evidence"])
        zone, hosts = service.about(session, row)
    target = app.settings.folder("evidence") / row.id
    finished: list[Collected] = []

    def done(host: Collected) -> None:
        finished.append(host)
        job.report(f"{host.host}: {len(host.files)} files", done=len(finished), total=len(hosts))

    collected = collect(hosts, identity=_identity(app), python=app.settings.host_python, done=done)
    if not any(host.files for host in collected):
        missing = [{"host": host.host, **entry} for host in collected for entry in host.missing]
        figures = {"hosts": len(hosts), "files": 0, "bytes": 0}
        return {"folder": None, "digest": None, "version": None, "missing": missing, "figures": figures}
    if (
        target.exists()
    ):  # an earlier attempt wrote it and died before it could say so: ours is newer and whole
        target.rename(target.with_name(f"{target.name}.attempt-{job.attempt - 1}"))
    written = folder.write(
        target,
        folder.About(
            store=row.store_id,
            zone=zone,
            product="set10",
            window_from=row.window_from,
            window_to=row.window_to,
            collected_at=app.clock(),
            collected_by=row.requested_by,
        ),
        collected,
        folder.masking_key(app.settings.home / "masking.key"),
    )
    return {
        "folder": str(target),
        "digest": written.digest,
        "version": written.version,
        "missing": written.missing,
        "figures": {
            "hosts": len(hosts),
            "files": written.files,
            "bytes": written.bytes,
            "seconds": round(max(host.seconds for host in collected), 2),
        },
    }


def _identity(app: Garant) -> Path:
    return app.settings.ssh_identity or app.settings.home / "ssh" / "identity"
