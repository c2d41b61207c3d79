"""The access token: made once, kept from others, known by the gate."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.requests import HTTPConnection
from starlette.responses import Response

from pipeline.errors import GarantError
from pipeline.settings import Settings, WebSettings
from pipeline.web.access import COOKIE, Gate, access_token, local
from pipeline.web.live import event

TOKEN = "0123456789abcdef0123"


def connection(**headers: str) -> HTTPConnection:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw})


def test_the_token_is_made_at_the_first_start_for_its_owner_alone(tmp_path: Path) -> None:
    """Long, in a file of mode 0600, and the same at the next start."""
    settings = Settings(home=tmp_path / "home")

    token = access_token(settings)

    file = tmp_path / "home" / "web-token"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(token) >= 40
    assert access_token(settings) == token == file.read_text().strip()


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The message says what to run."""
    settings = Settings(home=tmp_path)
    access_token(settings)
    (tmp_path / "web-token").chmod(0o644)

    with pytest.raises(GarantError, match="chmod 600"):
        access_token(settings)


def test_an_emptied_token_file_is_refused(tmp_path: Path) -> None:
    """An empty token would let everybody in."""
    settings = Settings(home=tmp_path)
    access_token(settings)
    (tmp_path / "web-token").write_text("\n")

    with pytest.raises(GarantError, match="holds no token"):
        access_token(settings)


@pytest.mark.parametrize(("value", "told"), [(None, "no token"), ("short", "only 5 characters")])
def test_a_variable_without_a_real_token_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, told: str
) -> None:
    """Named in the settings, but not set, or too short to be one."""
    settings = Settings(home=tmp_path, web=WebSettings(token_env="GARANT_TEST_TOKEN"))
    monkeypatch.delenv("GARANT_TEST_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("GARANT_TEST_TOKEN", value)

    with pytest.raises(GarantError, match=told):
        access_token(settings)


def test_the_variable_wins_and_no_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever keeps secrets elsewhere leaves none in the home folder."""
    monkeypatch.setenv("GARANT_TEST_TOKEN", TOKEN)
    settings = Settings(home=tmp_path, web=WebSettings(token_env="GARANT_TEST_TOKEN"))

    assert access_token(settings) == TOKEN
    assert not (tmp_path / "web-token").exists()


def test_the_gate_admits_its_cookie_and_its_bearer_and_nothing_else() -> None:
    """The cookie is not the token, so a cookie that leaks opens nothing but the pages."""
    gate = Gate(TOKEN)
    response = Response()
    gate.let_in(response, secure=False)
    cookie = response.headers["set-cookie"].partition(";")[0]

    assert gate.admits(connection(cookie=cookie))
    assert gate.admits(connection(authorization=f"Bearer {TOKEN}"))
    assert not gate.admits(connection())
    assert not gate.admits(connection(cookie=f"{COOKIE}={TOKEN}"))
    assert not gate.admits(connection(authorization=f"Basic {TOKEN}"))
    assert not gate.admits(connection(authorization="Bearer wrong"))
    assert not Gate("another token, as long").admits(connection(cookie=cookie))
    assert TOKEN not in response.headers["set-cookie"]


@pytest.mark.parametrize("secure", [False, True])
def test_the_cookie_is_kept_from_scripts_and_other_sites(secure: bool) -> None:
    """HttpOnly and SameSite=Strict always; Secure when it came over TLS."""
    response = Response()
    Gate(TOKEN).let_in(response, secure=secure)

    attributes = response.headers["set-cookie"].lower()
    assert "httponly" in attributes
    assert "samesite=strict" in attributes
    assert ("secure" in attributes) is secure


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/cases?state=all", "/cases?state=all"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("cases", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("", "/"),
    ],
)
def test_only_paths_of_ours_are_gone_back_to(target: str, expected: str) -> None:
    """A link to us sends nobody to another site."""
    assert local(target) == expected


def test_each_line_of_an_event_is_marked() -> None:
    """An unmarked line would end the event early; an empty one too."""
    assert event("<p>\n\n</p>") == "event: live\ndata: <p>\ndata: \ndata: </p>\n\n"
