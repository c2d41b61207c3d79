"""A tiny product with SET's host contract, below a temporary root: real processes, HTTP, links."""

import contextlib
import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

#: bin/set-register and bin/set-server of the fake: answers GET /status from its folder and the state file.
PROGRAM = """#!/usr/bin/python3
import http.server, json, pathlib, sys
here = pathlib.Path(__file__).resolve().parent.parent
config = json.loads(pathlib.Path(sys.argv[2]).read_text())
behaviour = (here / "behaviour").read_text().strip()
version = (here / "VERSION").read_text().strip()
if behaviour == "dies":
    sys.exit(1)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = json.loads(pathlib.Path(config["state_file"]).read_text())
        status.update(product="set10", version=version, role=config["role"], state="ready")
        if behaviour == "broken":
            status["state"] = "broken"
        if behaviour == "forgets":
            status["goods"] = 0
        body = json.dumps(status).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


port = int(config["listen"].rpartition(":")[2])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

#: cash / set-server: stop, start, status. kill-at names a moment at which it kills whoever called it.
CONTROL = """#!/bin/sh
root={root}
strike() {{
    if [ "$(cat $root/kill-at 2>/dev/null)" = "$1" ]; then
        victims=$(cat $root/kill-whom)
        rm $root/kill-at
        echo $$ > $root/orphan.pid
        [ "$victims" = parent ] || kill -9 $PPID
        [ "$victims" = worker ] || kill -9 $(cat $root/parent.pid)
        sleep 1
    fi
}}
strike before-$1
echo "$1 $(date +%s.%N)" >> $root/control.log
if [ "$1" = start ] && [ -s $root/refusals ]; then
    sed -i 1d $root/refusals
    exit 1
fi
case $1 in
stop)
    [ -f $root/product.pid ] && kill -9 $(cat $root/product.pid) 2>/dev/null
    rm -f $root/product.pid
    listens="import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
    while /usr/bin/python3 -c "$listens" 2>/dev/null; do sleep 0.05; done
    ;;
start)
    # One at a time, as a supervisor does: the command of a killed worker may still be at it.
    (
        flock 9
        [ -f $root/product.pid ] && kill -0 $(cat $root/product.pid) 2>/dev/null && exit 0
        $root/opt/set/current/bin/set-{role} --config $root/etc/set/set.json </dev/null >/dev/null 2>&1 9>&- &
        echo $! > $root/product.pid
    ) 9> $root/start.lock
    ;;
esac
strike after-$1
exit 0
"""


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_build(folder: Path, version: str, behaviour: str = "good") -> Path:
    """Write a build of the fake product; behaviour: good, broken, dies, forgets (its goods)."""
    (folder / "bin").mkdir(parents=True)
    (folder / "VERSION").write_text(version + "\n")
    (folder / "behaviour").write_text(behaviour + "\n")
    for role in ("server", "register"):
        program = folder / "bin" / f"set-{role}"
        program.write_text(PROGRAM)
        program.chmod(0o755)
    return folder


class FakeHost:
    """One host below ``root``, as it is after provisioning with ``version``."""

    def __init__(self, root: Path, role: str, version: str, *, server_url: str | None = None) -> None:
        self.root = root
        self.role = role
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = {
            "role": role,
            "listen": f"0.0.0.0:{self.port}",
            "server_url": server_url,
            "state_file": str(root / "state.json"),
        }
        for folder in ("etc/set", "etc/garant", "opt/set/releases", "usr/local/bin", "var/lib/garant"):
            (root / folder).mkdir(parents=True)
        (root / "etc/set/set.json").write_text(json.dumps(config))
        (root / "etc/garant/policy.json").write_text('{"approvals": 2}')
        control = root / "usr/local/bin" / ("cash" if role == "register" else "set-server")
        control.write_text(CONTROL.format(root=root, port=self.port, role=role))
        control.chmod(0o755)
        self.control = control
        write_build(root / "opt/set/releases" / version, version)
        (root / "opt/set/current").symlink_to(f"releases/{version}")
        self.state: dict[str, Any] = {"goods": 3, "registers": {}}
        if role == "register":
            self.state.update(shift={"number": 7, "open": False}, open_receipt=False, unsent_receipts=0)
        self.says()
        self.start()

    def says(self, **state: Any) -> None:
        """Let the product answer this from now on."""
        self.state.update(state)
        draft = self.root / "state.json.new"
        draft.write_text(json.dumps(self.state))
        draft.replace(self.root / "state.json")

    def start(self) -> None:
        """Start it as its supervisor does and wait until it answers."""
        os.spawnl(os.P_WAIT, str(self.control), str(self.control), "start")
        for _ in range(200):
            if self.version() is not None:
                return
            time.sleep(0.02)
        raise AssertionError(f"the fake product under {self.root} does not start")

    def stop(self) -> None:
        """Kill it, when it runs."""
        pid = self.root / "product.pid"
        if pid.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid.read_text()), signal.SIGKILL)
            pid.unlink()

    def version(self) -> str | None:
        """The version that answers, None when none does."""
        try:
            with urllib.request.urlopen(f"{self.url}/status", timeout=2) as answer:
                found: str = json.loads(answer.read())["version"]
                return found
        except (OSError, urllib.error.URLError):
            return None

    def linked(self) -> str:
        """The version that is linked."""
        return Path(os.readlink(self.root / "opt/set/current")).name

    def starts_and_stops(self) -> list[str]:
        """What the product was told, in order."""
        return [line.split()[0] for line in (self.root / "control.log").read_text().splitlines()]

    def refuse_starts(self, times: int) -> None:
        """Let the next so many starts fail, as those of a supervisor that goes down do."""
        (self.root / "refusals").write_text("no\n" * times)

    def wait_for_orphan(self) -> None:
        """Wait until the command whose caller was killed has ended: it goes on for a second."""
        status = Path(f"/proc/{(self.root / 'orphan.pid').read_text().strip()}/status")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            while "State:\tZ" not in status.read_text():
                time.sleep(0.02)

    def kill_at(self, moment: str, whom: str) -> None:
        """Let the next ``before-stop``, ``after-start`` ... kill ``worker``, ``parent`` or ``both``."""
        (self.root / "kill-at").write_text(moment)
        (self.root / "kill-whom").write_text(whom)
