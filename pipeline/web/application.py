"""The web application: its routes, and what answers when something is refused."""

from __future__ import annotations

import logging
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Scope

from pipeline.errors import ConflictError, GarantError, NotFoundError, RefusedError, UnavailableError
from pipeline.web import (
    api,
    cases,
    defects,
    entrance,
    fleet,
    hooks,
    notices,
    overview,
    releases,
    rollouts,
    tracker,
)
from pipeline.web.access import Gate, Guard
from pipeline.web.pages import Page

if TYPE_CHECKING:
    from pipeline.application import Garant

log = logging.getLogger(__name__)
_STATUS = {
    NotFoundError: HTTPStatus.NOT_FOUND,
    RefusedError: HTTPStatus.CONFLICT,
    ConflictError: HTTPStatus.CONFLICT,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def create_app(garant: Garant, token: str) -> FastAPI:
    """The pages and the API over an application; read only, but for what Jira's webhook rings for.

    Args:
        token: the access token (``access.access_token``).
    """
    app = FastAPI(
        title="Garant",
        description="Read-only: what `--json` of the commands gives. Send the access token as a bearer.",
        version="1",
        openapi_url="/api/openapi.json",
        # Their pages load scripts from another site, and ours load nothing from anywhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.garant = garant
    app.state.gate = Gate(token)
    app.state.stopping = False
    pages = (entrance, overview, cases, defects, tracker, notices, releases, rollouts, fleet)
    for subject in (api, hooks, *pages):
        app.include_router(subject.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    for kind in (GarantError, HTTPException, RequestValidationError, OperationalError, Exception):
        app.add_exception_handler(kind, _failed)

    async def refuse(scope: Scope, wrong: bool) -> Response:
        connection = HTTPConnection({**scope, "app": app})
        if scope["path"].startswith("/api"):
            headers = {"WWW-Authenticate": "Bearer"}
            return _problem(HTTPStatus.UNAUTHORIZED, "the access token is missing or wrong", headers)
        return entrance.closed(Page(connection), wrong=wrong)

    app.add_middleware(Guard, gate=app.state.gate, refuse=refuse)
    return app


async def _failed(request: Request, error: Exception) -> Response:
    status, reason = _told(error)
    if request.scope["path"].startswith(("/api", "/health", "/hooks")):
        return _problem(status, reason)
    page = Page(request)
    return page.show("failed.html.j2", status=status, code=status.value, reason=reason)


def _told(error: Exception) -> tuple[HTTPStatus, str]:
    """What the reader is told: our own messages whole, of anything else only where it is written."""
    if isinstance(error, GarantError):
        found = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), None)
        return found or HTTPStatus.INTERNAL_SERVER_ERROR, str(error)
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return status, "" if status is HTTPStatus.NOT_FOUND else str(error.detail)
    if isinstance(error, RequestValidationError):
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return HTTPStatus.UNPROCESSABLE_ENTITY, wrong
    if isinstance(error, OperationalError):
        log.error("database: %s", error.orig)
        return HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer: see the log of `garant serve`"
    log.exception("a page failed", exc_info=error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, "a defect of Garant: see the log of `garant serve`"


def _problem(status: HTTPStatus, reason: str, headers: dict[str, str] | None = None) -> Response:
    """RFC 9457."""
    return JSONResponse(
        {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": reason},
        status_code=status.value,
        headers=headers,
        media_type="application/problem+json",
    )
