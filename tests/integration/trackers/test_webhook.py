"""Jira's webhook to the real web application: who may ring, what a bell does, what it does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from pipeline.application import Garant
from pipeline.engine.tables import JobRow
from pipeline.promises import service as promises
from pipeline.trackers.jira_server import JiraServer, signed
from pipeline.trackers.jira_server.webhooks import Webhook
from pipeline.web.hooks import MOST_BODY

ROOT = Path(__file__).resolve().parents[3]
if str(ROOT / "tests/web_bed") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests/web_bed"))

SECRET = "a-secret-of-the-webhook"
HOOK = "/hooks/jira"


@pytest.fixture
def web(
    app: Garant, jira: Callable[..., None], filed: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[httpx.Client]:
    """Somebody who has no access to the pages; polling is off."""
    from serving import served

    monkeypatch.setenv("GARANT_TEST_HOOK", SECRET)
    jira(webhook_secret_env="GARANT_TEST_HOOK", poll_s=0)
    with served(app) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


def ring(
    web: httpx.Client, body: bytes, delivery: str | None = "d-1", secret: str = SECRET
) -> httpx.Response:
    headers = {"X-Hub-Signature": signed(secret, body)}
    if delivery is not None:
        headers["X-Atlassian-Webhook-Identifier"] = delivery
    return web.post(HOOK, content=body, headers=headers)


def about(key: Any) -> bytes:
    return json.dumps({"webhookEvent": "jira:issue_updated", "issue": {"key": key}}).encode()


def looks(app: Garant) -> list[dict[str, Any]]:
    with app.database.reading() as session:
        return [job.args for job in session.scalars(select(JobRow).where(JobRow.kind == "tracker.look"))]


def test_a_change_reaches_the_client_by_the_webhook_alone(
    app: Garant, server: JiraServer, web: httpx.Client, filed: str, work: Callable[..., None]
) -> None:
    """Jira sends each event three times; the date is told once."""
    hook = Webhook(url=f"{web.base_url}{HOOK}", secret=SECRET, repeat=3)
    server.edit("SET-1", duedate="2026-03-20")
    hook.send("jira:issue_updated", {"key": "SET-1"})
    work()

    assert hook.answers == [202, 202, 202]
    assert looks(app) == [{"defect": filed}]
    with app.database.reading() as session:
        assert [row.eta for row in promises.etas(session, filed)] == [date(2026, 3, 20)]


def test_a_bell_is_not_believed(
    app: Garant, server: JiraServer, web: httpx.Client, filed: str, work: Callable[..., None]
) -> None:
    """What it says of the issue is not taken; what the tracker says then is."""
    forged = {"issue": {"key": "SET-1", "fields": {"duedate": "2026-04-01"}}}

    assert ring(web, json.dumps(forged).encode()).json() == {"taken": True, "defect": filed}
    work()
    with app.database.reading() as session:
        assert promises.etas(session, filed) == []


def test_only_jira_may_ring(app: Garant, web: httpx.Client) -> None:
    """No signature, another secret, another body, no delivery: refused, and nothing is done."""
    body = about("SET-1")

    assert web.post(HOOK, content=body).status_code == 401
    assert ring(web, body, secret="another-secret-entirely").status_code == 401
    stolen = {"X-Hub-Signature": signed(SECRET, body), "X-Atlassian-Webhook-Identifier": "d"}
    assert web.post(HOOK, content=about("SET-2"), headers=stolen).status_code == 401
    assert ring(web, body, delivery=None).status_code == 400
    assert ring(web, body, delivery="d" * 300).status_code == 400
    assert web.get(HOOK).status_code == 405
    assert looks(app) == []


@pytest.mark.parametrize(
    "body", [about("SET-99"), about(["SET-1"]), b'{"webhookEvent": "user_created"}', b"[]"]
)
def test_what_is_not_ours_is_let_go_politely(app: Garant, web: httpx.Client, body: bytes) -> None:
    """Else Jira would send it again and again, and switch the webhook off in the end."""
    answer = ring(web, body)

    assert (answer.status_code, answer.json()["taken"]) == (202, False)
    assert looks(app) == []


def test_garbage_and_floods_are_refused(app: Garant, web: httpx.Client) -> None:
    """No JSON, JSON too deep, a body without end."""
    assert ring(web, b"{").status_code == 400
    assert ring(web, b"[" * 200_000).status_code == 400
    assert ring(web, b" " * (MOST_BODY + 1)).status_code == 413
    assert looks(app) == []


def test_without_a_secret_there_is_no_hook(
    jira: Callable[..., None], web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Switched off it is not there; a secret too short is our fault, not Jira's, and is named."""
    monkeypatch.setenv("GARANT_TEST_HOOK", "short")
    answer = ring(web, about("SET-1"))
    assert (answer.status_code, "GARANT_TEST_HOOK" in answer.json()["detail"]) == (500, True)
    jira(webhook_secret_env=None)

    assert ring(web, about("SET-1")).status_code == 404
