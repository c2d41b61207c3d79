"""Defects: the list, one defect, and its bundle for a developer's desk."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse
from starlette.background import BackgroundTask

from pipeline.database.history import history
from pipeline.defects import queries
from pipeline.errors import NotFoundError
from pipeline.promises import service as promises
from pipeline.reproduction import reading as reproductions
from pipeline.trackers.archives import pack
from pipeline.web.pages import ThisPage

router = APIRouter(prefix="/defects", include_in_schema=False)


@router.get("")
def defects(page: ThisPage) -> HTMLResponse:
    """All defects, the newest first."""
    with page.reading() as session:
        found = [(row, queries.clients_of(session, row.id)) for row in queries.defects(session)]
        return page.show("defects.html.j2", defects=found[::-1], names=page.names(session))


@router.get("/{defect_id}")
def defect(page: ThisPage, defect_id: str) -> HTMLResponse:
    """Verdict, figures, culprit, minimal steps, tracker issue, promises, clients, history."""
    with page.reading() as session:
        row = queries.defect(session, defect_id)
        return page.show(
            "defect.html.j2",
            defect=row,
            clients=queries.clients_of(session, defect_id),
            cases=queries.cases_of(session, defect_id),
            promises=promises.promises(session, defect_id=defect_id),
            etas=promises.etas(session, defect_id),
            fix_checks=reproductions.fix_checks(session, defect_id),
            events=history(session, "defect", defect_id),
            names=page.names(session),
        )


@router.get("/{defect_id}/bundle.tar.gz")
def bundle(page: ThisPage, defect_id: str) -> FileResponse:
    """The bundle as the tracker gets it: the same bytes for the same content."""
    with page.reading() as session:
        row = queries.defect(session, defect_id)
    if row.bundle is None:
        raise NotFoundError(f"defect {defect_id} has no bundle: `garant reproduce CASE` makes one")
    with tempfile.NamedTemporaryFile(prefix="garant-bundle-", suffix=".tar.gz", delete=False) as made:
        file = Path(made.name)
    try:
        pack(Path(row.bundle), file, name=defect_id)
    except BaseException:
        file.unlink()
        raise
    gone = BackgroundTask(file.unlink)
    return FileResponse(file, filename=f"{defect_id}.tar.gz", media_type="application/gzip", background=gone)
