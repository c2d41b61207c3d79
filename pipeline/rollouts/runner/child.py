"""The process of one Ansible run: ``python -m pipeline.rollouts.runner.child FOLDER``.

It never outlives the worker that started it: a run whose worker died would go on touching hosts that nobody
counts any more. Hosts in mid-change finish by themselves; their module keeps a receipt.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import psutil

_MODULE = "set_update"
#: Seconds between two looks at whether the worker lives.
_WATCH = 0.5


class _Stream:
    """Appends to events.jsonl what the worker needs to know; everything else stays in Ansible's artifacts."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "events.jsonl").open("a", encoding="utf-8")

    def take(self, event: dict[str, Any]) -> bool:
        """Called by ansible-runner. It must return True: else the statistics stay empty."""
        kind, data = event.get("event"), event.get("event_data") or {}
        host = data.get("host")
        if not host:
            return True
        if kind == "runner_on_unreachable":
            # Any task that finds the host gone: nobody knows how far it came.
            self._write({"what": "unreachable", "host": host, "detail": _message(data)})
        elif data.get("task_action") != _MODULE:
            if kind == "runner_on_failed" and not data.get("ignore_errors"):
                self._write({"what": "prevented", "host": host, "detail": _message(data)})
        elif kind == "runner_on_start":
            self._write({"what": "begun", "host": host})
        elif kind in ("runner_on_ok", "runner_on_failed"):
            result = data.get("res") or {}
            if "state" in result:
                self._write({"what": "reported", "host": host, "result": result})
            else:
                # The module died, or was never sent: no result of its own.
                self._write({"what": "silent", "host": host, "detail": _message(data)})
        return True

    def _write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """After the last event."""
        self._file.close()


def _message(data: dict[str, Any]) -> str:
    result = data.get("res") or {}
    said = result.get("msg") or result.get("module_stderr") or result.get("exception") or ""
    return " ".join(str(said).split())[-500:]


class _Ending:
    """Whether the run is to end, and the way to tell ansible-playbook so."""

    def __init__(self) -> None:
        self._told = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: self.tell())

    def tell(self) -> None:
        """Ansible-playbook ends in order on SIGTERM; its workers would survive a SIGKILL of it."""
        if self._told.is_set():
            return
        self._told.set()
        for process in psutil.Process().children(recursive=False):
            try:
                process.terminate()
            except psutil.Error:
                continue

    def told(self) -> bool:
        """For ansible-runner's cancel_callback."""
        return self._told.is_set()

    def watch(self, parent: int) -> None:
        """End the run when the worker is gone."""
        while not self._told.wait(_WATCH):
            if os.getppid() != parent:
                self.tell()


def main(folder: Path) -> int:
    """Run the order that lies in the folder."""
    import ansible_runner

    order = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    ending = _Ending()
    parent = int(os.environ.get("GARANT_RUN_PARENT", "0"))
    if parent:
        threading.Thread(target=ending.watch, args=(parent,), daemon=True).start()
    stream = _Stream(folder)
    # Connections of this run only: one that an earlier run left open would pass the pinned keys by. Not below
    # the order's folder: a socket's path has at most 107 characters.
    sockets = Path(tempfile.mkdtemp(prefix="garant-ssh-"))
    try:
        run = ansible_runner.run(
            private_data_dir=str(folder),
            project_dir=order["playbooks"],
            playbook=order["playbook"],
            inventory=str(folder / "inventory.yml"),
            limit=order["limit"],
            extravars=order["extravars"],
            envvars={
                "ANSIBLE_CONFIG": f"{order['playbooks']}/ansible.cfg",
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
                # ansible-playbook of our own environment, whatever PATH the worker was started with.
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            },
            ident=order["ident"],
            forks=order["forks"],
            suppress_env_files=True,
            quiet=True,
            event_handler=stream.take,
            cancel_callback=ending.told,
        )
    finally:
        stream.close()
        _hang_up(sockets)
    draft = folder / "end.json.partial"
    end = {"status": "canceled" if ending.told() else run.status, "rc": run.rc}
    if run.status == "failed":
        end["detail"] = _last_words(run)
    draft.write_text(json.dumps(end), encoding="utf-8")
    draft.rename(folder / "end.json")
    return 0


def _hang_up(sockets: Path) -> None:
    for socket in sockets.iterdir():
        # The host's name is not looked at: the socket says which connection.
        command = ["ssh", "-F", "none", "-O", "exit", "-o", f"ControlPath={socket}", "host"]
        subprocess.run(command, capture_output=True, check=False, timeout=10)
    shutil.rmtree(sockets, ignore_errors=True)


def _last_words(run: Any) -> str:
    with run.stdout as text:
        lines = [line for line in text.read().splitlines() if line.strip()]
    return " ".join(lines[-3:])[-500:]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
