"""What supervises a host: systemd, or runit where systemd cannot be had. A port and its two adapters.

A supervisor gives the files that make it run a host's services, and the program that becomes PID 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: Where Debian has the generators; each one costs a process at boot and looks for things that no host has.
GENERATORS = Path("/usr/lib/systemd/system-generators")


@dataclass(frozen=True, kw_only=True)
class Service:
    """One supervised program of a host."""

    name: str
    description: str
    command: Sequence[str]
    log: str
    #: The program that must be there before the service is tried; None: always there.
    needs: str | None = None


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a host; ``link`` makes it a symbolic link instead."""

    path: str
    content: str = ""
    link: str | None = None
    mode: int = 0o644


class Supervisor(Protocol):
    """Keeps a host's services running."""

    #: PID 1 of the host with its arguments.
    init: Sequence[str]
    #: The host must have a cgroup of its own, mounted at /sys/fs/cgroup.
    wants_cgroup: bool
    #: The program outside, so that its absence can be told.
    program: str
    #: Debian's package with that program.
    package: str

    def files(self, services: Sequence[Service]) -> list[File]:
        """The files that make it supervise these services."""

    def control(self, service: str) -> str:
        """A shell script ``start|stop|restart|status`` for one service, the same everywhere."""


_CONTROL = """#!/bin/sh
# {name} start|stop|restart|status: hides which supervisor runs this host.
case "$1" in
    start) {start} ;;
    stop) {stop} ;;
    restart) {restart} ;;
    status) if {running}; then echo running; else echo stopped; exit 3; fi ;;
    *) echo "usage: ${{0##*/}} start|stop|restart|status" >&2; exit 2 ;;
esac
"""


class Systemd:
    """systemd as PID 1, with our units and none of the machine's."""

    init: Sequence[str] = ("/usr/lib/systemd/systemd", "--system", "--log-target=console", "--show-status=no")
    wants_cgroup = True
    program = "/usr/lib/systemd/systemd"
    package = "systemd"

    def __init__(self, generators: Path = GENERATORS) -> None:
        self._generators = generators

    def files(self, services: Sequence[Service]) -> list[File]:
        """A unit per service, wanted by a default target that pulls in nothing else."""
        wants = " ".join(f"{service.name}.service" for service in services)
        target = f"[Unit]\nDescription=Store host\nDefaultDependencies=no\nWants={wants}\n"
        settings = "[Manager]\nDefaultTimeoutStopSec=10s\nRuntimeWatchdogSec=0\nStatusUnitFormat=name\n"
        files = [
            File(path="/etc/systemd/system/default.target", content=target),
            File(path="/etc/systemd/system.conf", content=settings),
            *(
                File(path=f"/etc/systemd/system/{service.name}.service", content=_unit(service))
                for service in services
            ),
        ]
        if self._generators.is_dir():
            files += [
                File(path=f"/etc/systemd/system-generators/{generator.name}", link="/dev/null")
                for generator in sorted(self._generators.iterdir())
            ]
        return files

    def control(self, service: str) -> str:
        """By systemctl, which is quiet on success."""
        unit = f"{service}.service"
        return _CONTROL.format(
            name=service,
            start=f"exec systemctl start {unit}",
            stop=f"exec systemctl stop {unit}",
            restart=f"exec systemctl restart {unit}",
            running=f"systemctl --quiet is-active {unit}",
        )


def _unit(service: Service) -> str:
    # No default dependencies: they pull in sysinit.target with all its first-boot work. No start limit: a
    # register that crashes in a loop is what the bench is there to show, so it must go on being started.
    condition = f"ConditionFileIsExecutable={service.needs}\n" if service.needs else ""
    return (
        f"[Unit]\nDescription={service.description}\nDefaultDependencies=no\nStartLimitIntervalSec=0\n{condition}"
        f"[Service]\nExecStart={' '.join(service.command)}\n"
        "Restart=always\nRestartSec=500ms\nKillMode=mixed\n"
        f"Environment=PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1\n"
        f"StandardOutput=append:{service.log}\nStandardError=append:{service.log}\n"
    )


class Runit:
    """runsvdir as PID 1: 2 MiB and 20 ms a host; no cgroup needed, so also inside a user namespace."""

    init: Sequence[str] = ("/usr/bin/runsvdir", "-P", "/etc/service")
    wants_cgroup = False
    program = "/usr/bin/runsvdir"
    package = "runit"

    def files(self, services: Sequence[Service]) -> list[File]:
        """A folder with a ``run`` script per service."""
        return [
            File(path=f"/etc/service/{service.name}/run", content=_run(service), mode=0o755)
            for service in services
        ]

    def control(self, service: str) -> str:
        """By sv, which waits until it is so (10 s, then it is an error; stop then kills)."""
        folder = f"/etc/service/{service}"
        return _CONTROL.format(
            name=service,
            start=f"sv -w 10 start {folder} >/dev/null",
            stop=f"sv -w 10 force-stop {folder} >/dev/null",
            restart=f"sv -w 10 force-restart {folder} >/dev/null",
            running=f"sv status {folder} | grep -q ^run:",
        )


def _run(service: Service) -> str:
    wait = f"[ -x {service.needs} ] || {{ sleep 1; exit 0; }}\n" if service.needs else ""
    return (
        f"#!/bin/sh\n# {service.description}\nexec >>{service.log} 2>&1\n{wait}"
        f"export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1\nexec {' '.join(service.command)}\n"
    )
