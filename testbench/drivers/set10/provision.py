"""Bench slot of one run: the product's processes on loopback, in a workspace of this run only.

A build that can run a whole store in one process does so: it starts in a third of the time. Scenarios that
restart something get real processes, because a restart there is a kill -9.
"""

from __future__ import annotations

import json
import os
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from testbench.drivers.port import Build, Limits
from testbench.drivers.set10.erp import Erp
from testbench.drivers.set10.processes import POLL_SECONDS, Child, StartError
from testbench.drivers.set10.wire import Wire
from testbench.scenarios.schema import Scenario

#: A component starts in a tenth of a second; far more than that is a build that does not start.
START_SECONDS = 20.0
WHOLE_STORE = "bin/set-store"


class Store:
    """One store under test; a context manager that leaves no process behind."""

    def __init__(self, build: Build, scenario: Scenario, workspace: Path, limits: Limits) -> None:
        self._build = build
        self._scenario = scenario
        self._folder = workspace
        self._limits = limits
        self._zone = ZoneInfo(scenario.zone)
        self.deadline = time.monotonic() + limits.seconds
        self._clock_file = workspace / "clock"
        self._now: datetime | None = None
        self.erp = Erp()
        self._children: dict[int | None, Child] = {}
        self._wires: dict[int | None, Wire] = {}
        self._addresses: dict[int | None, tuple[str, int]] = {}
        needs_processes = any(event.type == "restart" for event in scenario.events)
        self._is_whole = (build.path / WHOLE_STORE).is_file() and not needs_processes

    def __enter__(self) -> Store:
        """Start everything.

        Raises:
            StartError: a process did not come up.
        """
        try:
            self.set_clock(self._scenario.clock.start)
            if self._is_whole:
                self._start_whole()
            else:
                for register in (None, *self._scenario.registers):
                    self.start(register)
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()

    def destroy(self) -> None:
        """Kill every process; what they wrote stays in the workspace."""
        for wire in self._wires.values():
            wire.close()
        for child in self._children.values():
            child.kill()
        self.erp.close()

    def set_clock(self, moment: datetime) -> None:
        """The product's "now" from here on; written whole, as the product may read at any time."""
        if moment == self._now:
            return
        self._now = moment
        temporary = self._clock_file.with_suffix(".new")
        temporary.write_text(moment.astimezone(self._zone).isoformat(), encoding="ascii")
        os.replace(temporary, self._clock_file)

    @property
    def now(self) -> datetime:
        """What the product's clock shows."""
        assert self._now is not None
        return self._now

    def wire(self, register: int | None) -> Wire:
        """The way to a register, or (None) to the server."""
        return self._wires[register]

    def another_wire(self, register: int | None) -> Wire:
        """A connection of its own to a register or the server, for a second thread; the caller closes it."""
        return Wire(*self._addresses[register], self.deadline)

    def data(self, register: int | None) -> Path:
        """The data folder of a register or the server."""
        return self._folder / _name(register).replace(" ", "-")

    def start(self, register: int | None) -> None:
        """Start one component in a process of its own, again at its address when it had one.

        Raises:
            StartError: it did not come up.
        """
        folder = self.data(register)
        folder.mkdir(exist_ok=True)
        config = folder / "set.json"
        config.write_text(json.dumps(self._settings(register)), encoding="utf-8")
        announced = folder / "listen.json"
        announced.unlink(missing_ok=True)
        program = "bin/set-server" if register is None else "bin/set-register"
        child = self._children.get(register) or self._child(_name(register), program, config)
        self._children[register] = child
        child.start()
        record = child.announced(announced, self._start_deadline())
        self._connect(register, str(record.get("host")), int(record.get("port", 0)))

    def kill(self, register: int | None) -> None:
        """kill -9, as a power cut is."""
        self._wires[register].close()
        self._children[register].kill()

    def ended(self, within: float = 0.0) -> list[tuple[Child, int]]:
        """Processes that nobody ended and that are gone ``within`` seconds, with their exit codes."""
        until = time.monotonic() + within
        while True:
            codes = [(child, child.exit_code) for child in self._children.values()]
            gone = [(child, code) for child, code in codes if code is not None]
            if gone or time.monotonic() >= until:
                return gone
            time.sleep(POLL_SECONDS)

    def _start_whole(self) -> None:
        config = self._folder / "store.json"
        store = {
            "server": self._settings(None),
            "registers": [self._settings(register) for register in self._scenario.registers],
        }
        config.write_text(json.dumps(store), encoding="utf-8")
        child = self._child("store", WHOLE_STORE, config)
        self._children[None] = child
        child.start()
        ready = child.first_line(self._start_deadline())
        urls: dict[int | None, Any] = {None: ready.get("server")}
        registers = ready.get("registers")
        for number in self._scenario.registers:
            urls[number] = registers.get(str(number)) if isinstance(registers, dict) else None
        for register, url in urls.items():
            parts = urlsplit(str(url))
            self._connect(register, parts.hostname or "", parts.port or 0)

    def _connect(self, register: int | None, host: str, port: int) -> None:
        if not port:
            raise StartError(f"{_name(register)} did not say where it listens")
        self._addresses[register] = host, port
        self._wires[register] = Wire(host, port, self.deadline)

    def _child(self, name: str, program: str, config: Path) -> Child:
        command = [
            str(self._build.python),
            "-I",  # nothing of the bench's own environment reaches the product
            "-B",  # the build is shared by all runs
            str(self._build.path / program),
            "--config",
            str(config),
        ]
        env = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(self._folder)}
        return Child(name, command, self._folder, self._limits, env)

    def _settings(self, register: int | None) -> dict[str, Any]:
        host, port = self._addresses.get(register, ("127.0.0.1", 0))
        server = self._addresses.get(None)
        return {
            "role": "server" if register is None else "register",
            "shop": self._scenario.shop,
            "cash": register,
            "zone": self._scenario.zone,
            "listen": f"{host}:{port}",
            "server_url": f"http://{server[0]}:{server[1]}" if server and register is not None else None,
            "data_dir": str(self.data(register)),
            "log_file": str(self._folder / f"{self.data(register).name}.log"),
            "clock_file": str(self._clock_file),
            "transport_interval_s": 0,
            "erp_url": self.erp.url if register is None else None,
        }

    def _start_deadline(self) -> float:
        return min(self.deadline, time.monotonic() + START_SECONDS)


def _name(register: int | None) -> str:
    return "server" if register is None else f"register {register}"
