"""Releases: what is in the package, who approved it, what the regression gate said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from pipeline.database.history import history
from pipeline.engine.reading import job
from pipeline.errors import GarantError
from pipeline.releases import package, service
from pipeline.rollouts import reading as rollouts
from pipeline.web.pages import ThisPage

router = APIRouter(prefix="/releases", include_in_schema=False)


@router.get("")
def releases(page: ThisPage) -> HTMLResponse:
    """All releases, the newest first."""
    with page.reading() as session:
        rows = sorted(service.releases(session), key=lambda row: row.created_at, reverse=True)
        found = [(row, sum(a.state == "valid" for a in service.approvals(session, row.id))) for row in rows]
        return page.show("releases.html.j2", releases=found)


@router.get("/{version}")
def release(page: ThisPage, version: str) -> HTMLResponse:
    """One release; its signatures are checked anew each time it is looked at."""
    with page.reading() as session:
        row = service.release(session, version)
        manifest, fault = _manifest(Path(row.folder))
        verification = None
        try:
            verification = service.verify(session, page.settings, version, deep=False)
        except GarantError as error:  # no allowed_signers is set: nothing can be checked here
            fault = fault or str(error)
        return page.show(
            "release.html.j2",
            release=row,
            manifest=manifest,
            fault=fault,
            approvals=service.approvals(session, version),
            verification=verification,
            gate_job=job(session, service.gate_effect(row)),
            rollouts=[one for one in rollouts.rollouts(session) if one.release_id == version],
            events=history(session, "release", version),
        )


def _manifest(folder: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        return package.read_manifest(folder)[0], ""
    except GarantError as error:
        return None, str(error)
