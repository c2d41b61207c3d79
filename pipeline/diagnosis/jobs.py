"""The jobs that collect evidence, and that delete it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.diagnosis import folder, service
from pipeline.diagnosis.collector import Collected, How, Throttle, collect
from pipeline.diagnosis.key import masking_key
from pipeline.diagnosis.recipe import MIB, Recipe
from pipeline.diagnosis.recipe_file import default_recipe, read_recipe
from pipeline.diagnosis.tables import EvidenceRow
from pipeline.diagnosis.wire import Limits
from pipeline.engine.dispatch import JobFunction, LeaseLostError, RunningJob
from testbench.masking import Masker

if TYPE_CHECKING:
    from pipeline.application import Garant


#: What a store may have to send over a limited link before a host's time is over.
LIMITED_BYTES = 128 * MIB


def jobs(app: Garant) -> Mapping[str, JobFunction]:
    """The subject's jobs."""

    return {
        "diagnosis.collect": lambda job: _collect(app, job),
        "diagnosis.delete": lambda job: _delete(app, job),
    }


def recipe_of(app: Garant, row: EvidenceRow) -> Recipe:
    """What is collected: as it was asked for, else as the settings say, else the recipe of Garant."""
    if row.asked and "recipe" in row.asked:
        return Recipe.from_json(row.asked["recipe"])
    file = app.settings.diagnosis.recipe
    return read_recipe(file) if file is not None else default_recipe()


def _delete(app: Garant, job: RunningJob) -> dict[str, Any]:
    return {"freed": folder.delete(app.settings.folder("evidence") / job.args["evidence"])}


def _how(app: Garant, row: EvidenceRow, recipe: Recipe) -> How:
    settings, now = app.settings.diagnosis, app.clock()
    rate = (row.asked or {}).get("bandwidth") or settings.bandwidth
    whole_s = Limits.whole_s if rate is None else Limits.whole_s + LIMITED_BYTES / rate
    return How(
        since_s=max((now - row.window_from).total_seconds(), 0.0),
        until_s=max((now - row.window_to).total_seconds(), 0.0),
        python=app.settings.host_python,
        recipe=recipe,
        share=settings.cpu_share,
        throttle=Throttle(rate),
        limits=Limits(whole_s=whole_s),
        at_once=settings.hosts_at_once,
    )


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

    now, recipe = app.clock(), recipe_of(app, row)
    collected = collect(
        about.hosts,
        _how(app, row, recipe),
        identity=_identity(app),
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
            recipe=recipe.name,
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
