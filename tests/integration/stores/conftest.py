"""Real stores: what the tests of this folder share. Needs root; skipped with the reason otherwise."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbench.stores import StorePlan, Stores, detect_mode, down

BED = Path(__file__).parents[2] / "stores_bed"
if str(BED) not in sys.path:
    sys.path.insert(0, str(BED))

import traces as machine  # noqa: E402

PRODUCT = '''#!/usr/bin/python3
"""A product as small as can be: it answers GET /status, and crashes when told to."""
import http.server, json, os, sys
config = json.load(open(sys.argv[2]))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            os._exit(3)
        body = json.dumps({"role": config["role"], "cash": config["cash"], "pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
host, _, port = config["listen"].rpartition(":")
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
'''


@pytest.fixture(scope="session", autouse=True)
def real_stores() -> None:
    """Skip this folder where stores cannot be had, saying why."""
    if os.geteuid() != 0:
        pytest.skip("local stores with systemd need root")
    check = detect_mode().checks[0]
    if not check.available:
        pytest.skip("; ".join(f"{lack.what} ({lack.remedy})" for lack in check.lacks))


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product build for hosts."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "bin").mkdir()
    (folder / "VERSION").write_text("1.0\n")
    for name in ("set-server", "set-register"):
        (folder / "bin" / name).write_text(PRODUCT)
        (folder / "bin" / name).chmod(0o755)
    return folder


@pytest.fixture(scope="module", params=["systemd", "runit"])
def fleet(
    request: pytest.FixtureRequest, build: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stores]:
    """Two stores of two registers, under each supervisor."""
    state_dir = tmp_path_factory.mktemp("fleet") / "state"
    plans = [
        StorePlan(
            name="east",
            zone="Asia/Vladivostok",
            product=build,
            allowed_signers="a b\n",
            policy={"approvals": 2},
        ),
        StorePlan(name="west", zone="Europe/Kaliningrad", product=build),
    ]
    try:
        yield Stores.up(plans, state_dir, request.param)
    finally:
        down(state_dir)


Traces = dict[str, set[str]]


@pytest.fixture
def traces() -> Callable[[str], Traces]:
    """A look at all that a fleet could leave on the machine."""
    return machine.look


@pytest.fixture
def left_behind() -> Callable[[str, Traces], Traces]:
    """What is there now and was not there before."""
    return machine.left_behind
