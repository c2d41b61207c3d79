"""Real hosts by Ansible: one ansible-runner run an order, in a process group of its own.

The run is a child process (``pipeline.rollouts.runner.child``) that writes what it learns to ``events.jsonl``
in the order's folder and, at its own end, ``end.json``. A run without ``end.json`` did not come to its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import psutil
import yaml

from pipeline.errors import UnavailableError
from pipeline.rollouts.findings import Answer
from pipeline.rollouts.runner.port import Action, HostAnswer, Listener, RunEnd, RunHost, RunOrder, silent

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
FORKS = 20
#: Seconds between two looks at the events, and that a run is given to end after it was told to.
_LOOK = 0.05
_GRACE = 20.0


class AnsibleRunner:
    """The runner of the port over the project's playbooks.

    Args:
        identity: private key for all hosts; None: what the SSH agent and the user's own settings give.
        python: the interpreter on the hosts; never discovered.
        playbooks: their folder.
    """

    def __init__(
        self,
        *,
        identity: Path | None = None,
        python: str = "/usr/bin/python3",
        playbooks: Path = PLAYBOOKS,
        forks: int = FORKS,
    ) -> None:
        self._identity, self._python, self._playbooks, self._forks = identity, python, playbooks, forks

    def run(self, order: RunOrder, listener: Listener, cancelled: threading.Event) -> RunEnd:
        """As the port says."""
        self._prepare(order)
        answers: dict[str, HostAnswer] = {}
        with self._started(order) as child:
            events = _Events(order, listener, answers)
            ends = time.monotonic() + order.seconds
            stopped = ""
            while child.poll() is None:
                events.read()
                if not stopped and (cancelled.is_set() or time.monotonic() > ends):
                    stopped = "cancelled" if cancelled.is_set() else f"not over after {order.seconds:.0f} s"
                    _end_group(child)
                time.sleep(_LOOK)
            events.read()
        end = _read_end(order.folder)
        complete = not stopped and end is not None and end.get("status") in ("successful", "failed")
        detail = stopped or _why(order.folder, end)
        return RunEnd(complete=complete, answers=silent(order, answers), detail=detail)

    def stop_leftover(self, order_folder: Path) -> None:
        """As the port says. The child is known by its pid and start time: pids are given anew."""
        with contextlib.suppress(OSError, ValueError, KeyError, psutil.Error):
            record = json.loads((order_folder / "child.json").read_text(encoding="utf-8"))
            process = psutil.Process(record["pid"])
            if abs(process.create_time() - record["created"]) < 1:
                _end_tree(process)

    def _prepare(self, order: RunOrder) -> None:
        if not (self._playbooks / "ansible.cfg").is_file():
            raise UnavailableError(
                f"no playbooks in {self._playbooks}: run Garant from its own project folder"
            )
        # What an attempt that never began left is of no use; one that began is never prepared again.
        shutil.rmtree(order.folder, ignore_errors=True)
        try:
            order.folder.mkdir(parents=True, mode=0o700)
            (order.folder / "known_hosts").write_text(order.known_hosts, encoding="utf-8")
            inventory = yaml.safe_dump(self._inventory(order), sort_keys=True)
            (order.folder / "inventory.yml").write_text(inventory, encoding="utf-8")
            spec = json.dumps(self._spec(order), indent=1)
            (order.folder / "order.json").write_text(spec, encoding="utf-8")
        except OSError as error:
            raise UnavailableError(
                f"run {order.ident} cannot be prepared: {error}. Free space there"
            ) from error

    def _inventory(self, order: RunOrder) -> dict[str, Any]:
        groups: dict[str, dict[str, Any]] = {
            "role_server": {"hosts": {}},
            "role_register": {"hosts": {}},
        }
        for host in order.hosts:
            groups[f"role_{host.role}"]["hosts"][host.name] = self._host(order, host)
        return {"all": {"children": groups}}

    def _host(self, order: RunOrder, host: RunHost) -> dict[str, Any]:
        options = f"-o UserKnownHostsFile={order.folder / 'known_hosts'}"
        if host.jump is not None:
            options += f" -o ProxyJump={host.jump}"
        values: dict[str, Any] = {
            "ansible_host": host.address,
            "ansible_port": host.port,
            "ansible_user": host.user,
            "ansible_python_interpreter": self._python,
            "ansible_ssh_common_args": options,
            "effect_id": host.effect_id,
        }
        if self._identity is not None:
            values["ansible_ssh_private_key_file"] = str(self._identity)
        if host.server_lan is not None:
            values["set_server_lan"] = host.server_lan
        return values

    def _spec(self, order: RunOrder) -> dict[str, Any]:
        return {
            "ident": order.ident,
            "playbook": f"{order.action.value}.yml",
            "playbooks": str(self._playbooks),
            "limit": ",".join(host.name for host in order.hosts),
            "forks": min(self._forks, max(1, len(order.hosts))),
            "extravars": {
                # The tables are for people; each further task costs every host some time.
                "set_host_report": False,
                "release_dir": str(order.release),
                "set_host_health_timeout": int(order.health_timeout_s),
            }
            if order.action is Action.UPDATE
            else {"set_host_report": False},
        }

    @contextlib.contextmanager
    def _started(self, order: RunOrder) -> Iterator[subprocess.Popen[bytes]]:
        log = (order.folder / "child.log").open("wb")
        command = [sys.executable, "-m", "pipeline.rollouts.runner.child", str(order.folder)]
        environment = {**os.environ, "GARANT_RUN_PARENT": str(os.getpid())}
        with log:
            try:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise UnavailableError(f"run {order.ident} cannot be started: {error}") from error
        try:
            with contextlib.suppress(psutil.Error, OSError):
                created = psutil.Process(child.pid).create_time()
                record = json.dumps({"pid": child.pid, "created": created})
                (order.folder / "child.json").write_text(record, encoding="utf-8")
            yield child
        finally:
            if child.poll() is None:
                _end_group(child)
            child.wait()


class _Events:
    """Reads what the child has written since the last look; a half line is read next time."""

    def __init__(self, order: RunOrder, listener: Listener, answers: dict[str, HostAnswer]) -> None:
        self._path = order.folder / "events.jsonl"
        self._names = {host.name for host in order.hosts}
        self._listener, self._answers = listener, answers
        self._file: IO[bytes] | None = None
        self._rest = b""

    def read(self) -> None:
        """Tell the listener what is new."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    _offset = 0

    def _take(self, event: Mapping[str, Any]) -> None:
        name = event["host"]
        if name not in self._names:
            return
        if event["what"] == "begun":
            self._listener.begun(name)
            return
        answer = HostAnswer(
            host=name,
            answer=Answer(event["what"]),
            result=event.get("result"),
            detail=str(event.get("detail") or ""),
        )
        self._answers[name] = answer
        self._listener.answered(answer)


def _read_end(folder: Path) -> Mapping[str, Any] | None:
    try:
        record = json.loads((folder / "end.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _why(folder: Path, end: Mapping[str, Any] | None) -> str:
    if end is not None:
        return str(end.get("detail") or "")
    with contextlib.suppress(OSError):
        lines = (folder / "child.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return f"the run died: {lines[-1]}"
    return "the run died"


def _end_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(psutil.Error):
        _end_tree(psutil.Process(child.pid))


def _end_tree(process: psutil.Process) -> None:
    """SIGTERM to the child, which ends ansible-playbook in order; what is left after the grace is killed.

    Ansible's workers make sessions of their own, so the tree is read before anything is told to end.
    """
    tree = [process, *process.children(recursive=True)]
    process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(tree, timeout=_GRACE)
    for left in alive:
        with contextlib.suppress(psutil.Error):
            left.kill()
    psutil.wait_procs(alive, timeout=5)
