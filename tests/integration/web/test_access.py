"""Who gets in, and what every answer says to the browser."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest


@pytest.mark.parametrize(
    "path", ["/", "/cases", "/live", "/defects/D-000001/bundle.tar.gz", "/mail", "/healthy", "/staticx", "//"]
)
def test_nothing_is_shown_without_the_token(filled: Any, stranger: httpx.Client, path: str) -> None:
    """Not a page, not a file, not a stream; nor does the answer tell what exists."""
    answer = stranger.get(path)

    assert answer.status_code == 401
    assert "Купец" not in answer.text


@pytest.mark.parametrize("host", ["x/static/?", "x/health?", "x/static/#", "x/language/"])
def test_the_path_that_is_judged_is_the_path_that_is_answered(
    filled: Any, stranger: httpx.Client, host: str
) -> None:
    """A Host header that holds a path of its own opens nothing."""
    assert stranger.get("/cases", headers={"Host": host}).status_code in (400, 401)


@pytest.mark.parametrize(
    "path", ["/static/../cases", "/static/%2e%2e/cases", "/language/../cases", "/static//cases"]
)
def test_an_open_folder_leads_nowhere_else(filled: Any, address: str, path: str) -> None:
    """Sent as it stands, not tidied up by the client."""
    with socket.create_connection(address.removeprefix("http://").split(":"), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert answer.split()[1] in (b"401", b"404")
    assert "Купец".encode() not in answer


@pytest.mark.parametrize("path", ["/api/cases", "/api/openapi.json", "/api/nope"])
def test_the_api_refuses_in_its_own_way(stranger: httpx.Client, path: str) -> None:
    """A problem document (RFC 9457), and the scheme that opens."""
    answer = stranger.get(path)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"


def test_health_is_open_and_tells_nothing_more(filled: Any, stranger: httpx.Client) -> None:
    """For whoever watches the service."""
    answer = stranger.get("/health")

    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "version"}
    assert answer.json()["status"] == "ok"


def test_the_address_with_the_token_opens_once_and_loses_it(filled: Any, stranger: httpx.Client) -> None:
    """The token goes from the address into a cookie; the rest of the address stays."""
    from serving import TOKEN

    answer = stranger.get("/cases", params={"token": TOKEN, "state": "all"})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/cases?state=all"
    assert TOKEN not in str(answer.headers)
    assert stranger.get("/cases").status_code == 200


@pytest.mark.parametrize("token", ["wrong", "", "токен", "%ff"])
def test_a_wrong_token_opens_nothing(stranger: httpx.Client, token: str) -> None:
    """Also a strange one; and the door says that it was wrong."""
    answer = stranger.get("/", params={"token": token}, headers={"Accept-Language": "en"})

    assert answer.status_code == 401
    assert "is wrong" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_wrong_token_shuts_out_whoever_is_in(visitor: httpx.Client) -> None:
    """An address with a wrong token is an error to be seen, not to be passed over."""
    assert visitor.get("/", params={"token": "wrong"}).status_code == 401


def test_the_door_takes_the_token_by_hand(filled: Any, stranger: httpx.Client) -> None:
    """And leads to where one wanted to go, but never to another site."""
    from serving import TOKEN

    assert stranger.post("/enter", data={"token": "wrong", "then": "/cases"}).status_code == 401
    answer = stranger.post("/enter", data={"token": TOKEN, "then": "//evil.example"})
    assert answer.headers["location"] == "/"
    answer = stranger.post("/enter", data={"token": TOKEN, "then": "/cases"})
    assert answer.headers["location"] == "/cases"
    assert stranger.get("/cases").status_code == 200


def test_programs_send_the_token_as_a_bearer(filled: Any, stranger: httpx.Client) -> None:
    """No cookie is needed, none is given."""
    from serving import TOKEN

    answer = stranger.get("/api/cases", headers={"Authorization": f"Bearer {TOKEN}"})

    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/nope", "/health", "/api/cases", "/static/garant.css", "/mail/x"])
def test_every_answer_carries_the_headers(visitor: httpx.Client, path: str) -> None:
    """Pages, errors, files and JSON alike; nothing inline is allowed."""
    headers = visitor.get(path).headers

    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    policy = headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_is_changed_over_http(filled: Any, visitor: httpx.Client, method: str) -> None:
    """These pages only read."""
    for path in ("/cases/G-000001", "/api/cases", "/rollouts/R-000001"):
        assert visitor.request(method, path).status_code == 405
