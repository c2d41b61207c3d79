"""The API gives what the commands give."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

GARANT = str(Path(sys.executable).with_name("garant"))
_SAME = {
    "/api/cases": ["case", "list"],
    "/api/cases?state=all&client=norden": ["case", "list", "--state", "all", "--client", "norden"],
    "/api/cases/G-000001": ["case", "show", "G-000001"],
    "/api/defects": ["defect", "list"],
    "/api/defects/D-000001": ["defect", "show", "D-000001"],
    "/api/rollouts": ["rollout", "status"],
    "/api/rollouts/R-000001": ["rollout", "status", "R-000001"],
}


def _timeless(value: Any) -> Any:
    """Without what depends on the instant of asking: the command has another clock than the test."""
    moving = {"now", "elapsed_s", "remaining_s", "overdue_s", "next_clock", "due", "breached", "clocks"}
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in moving}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", _SAME)
def test_the_api_and_the_command_say_the_same(filled: Any, visitor: httpx.Client, path: str) -> None:
    """One document, two ways to it."""
    home = str(filled.app.settings.home)
    done = subprocess.run(
        [GARANT, "--home", home, *_SAME[path], "--json"], capture_output=True, text=True, check=True
    )
    answered = _timeless(visitor.get(path).json())
    told = _timeless(json.loads(done.stdout))

    if isinstance(told, dict) and "cases" in told and path.startswith("/api/cases"):
        answered["cases"].sort(key=lambda one: one["id"])
        told["cases"].sort(key=lambda one: one["id"])
    assert answered == told


def test_an_error_is_a_problem_document(filled: Any, visitor: httpx.Client) -> None:
    """RFC 9457, with our own message."""
    answer = visitor.get("/api/defects/D-9")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "D-9" in answer.json()["detail"]
    assert visitor.get("/api/cases", params={"state": "asleep"}).status_code == 422


def test_the_api_describes_itself(visitor: httpx.Client) -> None:
    """OpenAPI lists the API and health, and none of the pages."""
    described = visitor.get("/api/openapi.json").json()

    assert described["openapi"].startswith("3.")
    assert set(described["paths"]) == {
        "/health",
        "/api/cases",
        "/api/cases/{case_id}",
        "/api/defects",
        "/api/defects/{defect_id}",
        "/api/rollouts",
        "/api/rollouts/{rollout_id}",
    }
