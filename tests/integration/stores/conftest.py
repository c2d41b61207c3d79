"""Real stores: what the tests of this folder share. Needs root; skipped with the reason otherwise."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from testbench.stores import StorePlan, Stores, detect_mode, down
from testbench.stores.rules import fleet_network

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


def _output(*command: str) -> set[str]:
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())


def _others(marker: str) -> list[str]:
    """What the names of other people's fleets on this machine contain, by the register: they come and go."""
    names = []
    for entry in Path("/run/garant-stores").glob("fleet-*.json"):
        try:
            state_dir = json.loads(entry.read_text())["state_dir"]
        except (OSError, ValueError):
            continue
        if marker not in state_dir:
            index = int(entry.stem.removeprefix("fleet-"))
            start = ".".join(str(fleet_network(index)).split(".")[:2])
            third = int(str(fleet_network(index)).split(".")[2])
            networks = [f"{start}.{third + offset}." for offset in range(16)]
            names += [
                f"gst{index}",
                f"gst{index}w",
                f"garant-stores-{index}",
                f"{state_dir}/",
                entry.name,
                *networks,
            ]
    return names


@pytest.fixture
def traces() -> Callable[[str], Traces]:
    """A look at all that a fleet could leave on the machine, by other means than the code under test.

    ``marker`` is part of the tested fleet's path. What belongs to other fleets, which somebody may run beside
    the tests, is left out; while there are any, the shared settings are theirs too.
    """

    def look(marker: str) -> Traces:
        others = _others(marker)

        def ours(items: set[str]) -> set[str]:
            return {item for item in items if not any(name in item for name in others)}

        processes = set()
        for process in psutil.process_iter(["pid", "cmdline"]):
            command = " ".join(process.info["cmdline"] or [])
            if marker in command or "/opt/set/current" in command or "/etc/service" in command:
                with contextlib.suppress(OSError):
                    cgroups = Path(f"/proc/{process.pid}/cgroup").read_text()
                    processes.add(f"{process.pid} {command} {cgroups}")
        settings = _output("sysctl", "fs.inotify", "net.ipv4.ip_forward", "kernel.pid_max")
        found = {
            "processes": processes,
            "links": {line.split("@")[0].split()[1] for line in _output("ip", "-o", "link")},
            "routes": _output("ip", "route", "show", "table", "all"),
            "mounts": {
                line.split(" ", 2)[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()
            },
            "cgroups": {str(path) for path in Path("/sys/fs/cgroup").rglob("garant-stores-*")},
            "register": {str(path) for path in Path("/run/garant-stores").glob("fleet-*")},
        }
        alone = {"settings": settings, "run": {str(path) for path in Path("/run").glob("garant*")}}
        return {name: ours(items) for name, items in found.items()} | ({} if others else alone)

    return look


@pytest.fixture
def left_behind(traces: Callable[[str], Traces]) -> Callable[[str, Traces], Traces]:
    """What is there now and was not there before."""

    def compare(marker: str, before: Traces) -> Traces:
        now = traces(marker)
        kinds = now.keys() & before.keys()
        return {kind: now[kind] - before[kind] for kind in kinds if now[kind] - before[kind]}

    return compare
