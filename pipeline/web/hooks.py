"""Jira's webhook: it says which issue changed, and that issue is looked at. It says nothing that is believed.

Jira signs the body with the webhook's secret (X-Hub-Signature, WebSub's form) and names each delivery
(X-Atlassian-Webhook-Identifier, the same when it is sent again).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from pipeline.errors import GarantError
from pipeline.settings import TrackerSettings
from pipeline.trackers import service

router = APIRouter(prefix="/hooks", include_in_schema=False)

#: An issue with many long fields stays far below (bytes).
MOST_BODY = 4 << 20
#: A secret that people chose themselves must be no shorter (characters).
SHORTEST = 16
_MOST_NAME = 200


@router.post("/jira")
async def jira(request: Request) -> JSONResponse:
    """Have the issue looked at, once per delivery; one that is not ours is let go politely."""
    secret = _secret(request.app.state.garant.settings.tracker)
    body = await _body(request)
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = request.headers.get("x-hub-signature", "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode()):
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "X-Hub-Signature is missing or wrong")
    delivery = request.headers.get("x-atlassian-webhook-identifier", "")
    if not delivery or len(delivery) > _MOST_NAME:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "X-Atlassian-Webhook-Identifier is missing or too long")
    key = _issue_key(body)
    answer = await run_in_threadpool(_ring, request.app.state.garant, key, delivery)
    return JSONResponse(answer, HTTPStatus.ACCEPTED)


def _secret(settings: TrackerSettings) -> str:
    name = settings.webhook_secret_env
    if settings.kind != "jira" or name is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "")
    secret = os.environ.get(name, "")
    if len(secret) < SHORTEST:
        raise GarantError(
            f"tracker: the environment variable {name} holds no secret of {SHORTEST} characters or more: set "
            "it for `garant serve`, the same as in Jira's webhook"
        )
    return secret


async def _body(request: Request) -> bytes:
    """The body; what is too long is not read to its end."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY:
                text = f"longer than {MOST_BODY >> 20} MiB"
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
    except ClientDisconnect as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "broken off") from error
    return body


def _issue_key(body: bytes) -> str | None:
    """The issue that it is about; None: about something else, such as a version or a user."""
    try:
        said: Any = json.loads(body)
        key = said["issue"]["key"]
    except (ValueError, RecursionError) as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "no JSON") from error
    except (KeyError, TypeError):
        return None
    return key if isinstance(key, str) else None


def _ring(garant: Any, key: str | None, delivery: str) -> dict[str, Any]:
    with garant.unit("tracker:webhook") as unit:
        defect_id = service.defect_of(unit.session, "jira", key) if key is not None else None
        if defect_id is None:
            return {"taken": False, "reason": "no issue of Garant's"}
        service.look(unit, defect_id, delivery)
    return {"taken": True, "defect": defect_id}
