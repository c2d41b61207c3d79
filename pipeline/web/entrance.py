"""Health, the way in, and the choice of language: what is open without the token."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.requests import Request
from starlette.responses import Response

from pipeline.errors import GarantError, NotFoundError
from pipeline.web.access import local
from pipeline.web.languages import COOKIE, LANGUAGES
from pipeline.web.pages import Page, ThisPage

router = APIRouter()


@router.get("/health", summary="Whether the service and its database answer")
def health(request: Request) -> JSONResponse:
    """``ok``, or 503 when the database does not answer. Open: it tells nothing else."""
    told = {"status": "ok", "version": version("garant")}
    try:
        request.app.state.garant.database.check()
    except GarantError:
        return JSONResponse({**told, "status": "the database does not answer"}, status_code=503)
    return JSONResponse(told)


@router.post("/enter", include_in_schema=False)
def enter(page: ThisPage, token: Annotated[str, Form()] = "", then: Annotated[str, Form()] = "/") -> Response:
    """Take the token from the form of the closed door."""
    gate = page.connection.app.state.gate
    if not gate.opens_with(token.strip()):
        return closed(page, wrong=True, then=local(then))
    response = RedirectResponse(local(then), status_code=303)
    gate.let_in(response, secure=page.secure)
    return response


@router.get("/language/{language}", include_in_schema=False)
def language(page: ThisPage, language: str, then: str = "/") -> Response:
    """Keep the choice of language, and go back."""
    if language not in LANGUAGES:
        raise NotFoundError(f"no language {language!r}: there are {', '.join(LANGUAGES)}")
    response = RedirectResponse(local(then), status_code=303)
    response.set_cookie(
        COOKIE, language, max_age=365 * 86_400, httponly=True, samesite="lax", secure=page.secure
    )
    return response


def closed(page: Page, *, wrong: bool, then: str | None = None) -> HTMLResponse:
    """The closed door: how to get the token, and the way on for whom the browser kept back the cookie."""
    target = then or local(page.path)
    return page.show("closed.html.j2", status=401, wrong=wrong, then=target)
