"""The real command: starts, refuses, ends."""

from __future__ import annotations

import json
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipeline.application import Garant

GARANT = str(Path(sys.executable).with_name("garant"))


@pytest.fixture
def home(app: Garant) -> Path:
    """A home with an empty, upgraded database."""
    return app.settings.home


@pytest.fixture
def serving(home: Path) -> Iterator[subprocess.Popen[str]]:
    """``garant serve`` on any free port."""
    command = [GARANT, "--home", str(home), "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        if process.poll() is None:
            process.kill()


def started(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 60)
    assert ready, "nothing was printed"
    told: dict[str, str] = json.loads(process.stdout.readline())
    return told


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_and_ends_although_a_page_is_open(
    serving: subprocess.Popen[str], home: Path, how: signal.Signals
) -> None:
    """Ends with 0 on Ctrl-C and on SIGTERM while a browser holds a stream; the token is in no log."""
    told = started(serving)
    with httpx.Client(timeout=30) as browser:
        assert browser.get(told["open"]).status_code == 303
        with browser.stream("GET", f"{told['url']}live") as stream:
            next(stream.iter_lines())
            serving.send_signal(how)
            _, errors = serving.communicate(timeout=30)

    assert serving.returncode == 0
    token = (home / "web-token").read_text().strip()
    assert told["open"].endswith(f"?token={token}")
    assert token not in errors


def test_a_port_in_use_is_named_with_what_to_do(home: Path) -> None:
    """Exit 1, one message, no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [GARANT, "--home", str(home), "serve", "--port", str(port)], capture_output=True, text=True
        )

    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert f"--port {port + 1}" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--host", "no.such.host.invalid"], 1, "no address"),
        (["--host", "203.0.113.9"], 1, "cannot listen"),
        (["--port", "70000"], 2, "--port"),
    ],
)
def test_wrong_addresses_are_refused(home: Path, arguments: list[str], code: int, told: str) -> None:
    """Each with its reason."""
    done = subprocess.run([GARANT, "--home", str(home), "serve", *arguments], capture_output=True, text=True)

    assert done.returncode == code
    assert told in done.stderr


def test_an_empty_home_is_told_what_to_run_first(tmp_path: Path) -> None:
    """No schema, no pages."""
    done = subprocess.run([GARANT, "--home", str(tmp_path), "serve"], capture_output=True, text=True)

    assert done.returncode == 1
    assert "garant db upgrade" in done.stderr
