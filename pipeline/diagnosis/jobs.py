"""The job that collects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.diagnosis import folder, service
from pipeline.diagnosis.collector import Collected, collect
from pipeline.diagnosis.key import masking_key
from pipeline.engine.dispatch import JobFunction, LeaseLostError, RunningJob
from testbench.masking import Masker

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
        about = service.about(session, row)
    target = app.settings.folder("evidence") / row.id
    key = masking_key(app.settings.home / "masking.key")
    # An earlier attempt wrote it and died before it could say so: the store is left alone.
    if target.exists():
        return _outcome(target, folder.read(target), len(about.hosts))
    finished = 0

    def done(host: Collected) -> None:
        nonlocal finished
        finished += 1
        if job.cancelled.is_set():
            raise LeaseLostError(f"evidence {row.id} is collected by another worker now")
        job.report(f"{host.host}: {len(host.files)} files", done=finished, total=len(about.hosts))

    now = app.clock()
    collected = collect(
        about.hosts,
        identity=_identity(app),
        python=app.settings.host_python,
        seconds=max((now - row.window_from).total_seconds(), 0.0),
        jumps=about.jumps,
        done=done,
    )
    if not any(host.files for host in collected):
        masker = Masker(key)
        missing = [
            {"host": host.host, **entry}
            for host in collected
            for entry in folder.masked_missing(host, masker)
        ]
        figures = {"hosts": len(collected), "files": 0, "bytes": 0}
        return {"folder": None, "digest": None, "version": None, "missing": missing, "figures": figures}
    written = folder.write(
        target,
        folder.About(
            store=row.store_id,
            zone=about.zone,
            product="set10",
            window_from=row.window_from,
            window_to=row.window_to,
            collected_at=now,
            collected_by=row.requested_by,
        ),
        collected,
        key,
    )
    seconds = round(max(host.seconds for host in collected), 2)
    return _outcome(target, written, len(collected), seconds=seconds)


def _outcome(target: Path, written: folder.Written, hosts: int, **figures: float) -> dict[str, Any]:
    return {
        "folder": str(target),
        "digest": written.digest,
        "version": written.version,
        "missing": written.missing,
        "figures": {"hosts": hosts, "files": written.files, "bytes": written.bytes, **figures},
    }


def _identity(app: Garant) -> Path:
    return app.settings.ssh_identity or app.settings.home / "ssh" / "identity"
