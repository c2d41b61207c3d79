"""The process of a run: it never outlives the worker that started it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

#: Asks a host that takes the connection and never answers.
WORKER = """
import sys, threading
from pathlib import Path
from pipeline.rollouts.runner.ansible import AnsibleRunner
from pipeline.rollouts.runner.port import Action, RunHost, RunOrder

class Deaf:
    def begun(self, host): pass
    def answered(self, answer): pass

host = RunHost(
    name="h", role="server", address="127.0.0.1", port=int(sys.argv[2]), user="root", effect_id="e.1"
)
AnsibleRunner().run(
    RunOrder(ident="r", action=Action.PROBE, hosts=(host,), folder=Path(sys.argv[1]), release=Path("/none"),
             digest="", version="", known_hosts="", health_timeout_s=1, seconds=60),
    Deaf(), threading.Event())
"""


def wait_for(path: Path) -> dict[str, float]:
    """The child has begun when its record is there and Ansible runs below it."""
    while True:
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            record: dict[str, float] = json.loads(path.read_text())
            if psutil.Process(int(record["pid"])).children(recursive=True):
                return record
        time.sleep(0.05)


def test_a_killed_worker_takes_its_run_with_it(tmp_path: Path) -> None:
    """kill -9 of the worker: the run and everything below it end by themselves, no host is begun any more."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        folder = tmp_path / "run"
        with subprocess.Popen([sys.executable, "-c", WORKER, str(folder), str(port)]) as worker:
            record = wait_for(folder / "child.json")
            child = psutil.Process(int(record["pid"]))
            tree = [child, *child.children(recursive=True)]
            os.kill(worker.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(tree, timeout=60)

    assert not alive
    end = folder / "end.json"
    assert not end.exists() or json.loads(end.read_text())["status"] == "canceled"
