"""The local tracker's issues (DESIGN section 3: the embedded default is shown by the web)."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

from pipeline.trackers import reading
from pipeline.web.pages import ThisPage

router = APIRouter(prefix="/tracker", include_in_schema=False)


@router.get("")
def issues(page: ThisPage) -> HTMLResponse:
    """All issues, the newest first."""
    with page.reading() as session:
        return page.show("issues.html.j2", issues=reading.issues(session))


@router.get("/{key}")
def issue(page: ThisPage, key: str) -> HTMLResponse:
    """One issue with its comments, files and links."""
    with page.reading() as session:
        return page.show(
            "issue.html.j2",
            issue=reading.issue(session, key),
            comments=reading.comments(session, key),
            attachments=reading.attachments(session, key),
            links=reading.links(session, key),
        )


@router.get("/{key}/attachments/{digest}")
def attachment(page: ThisPage, key: str, digest: str) -> FileResponse:
    """A file of the issue, always as a download: no browser shows it as a page of ours."""
    with page.reading() as session:
        row, file = reading.attachment(session, page.settings.home, key, digest)
    return FileResponse(file, filename=row.name, media_type="application/octet-stream")
