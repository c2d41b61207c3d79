"""A look at all that a fleet could leave on the machine, by other means than the code under test."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

import psutil

from testbench.stores.rules import fleet_network

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


def look(marker: str) -> Traces:
    """Everything of the machine that a fleet could leave something in.

    ``marker`` is part of the tested fleet's path. What belongs to other fleets, which somebody may run beside
    the tests, is left out; while there are any, the shared settings are theirs too.
    """
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
        "mounts": {line.split(" ", 2)[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()},
        "cgroups": {str(path) for path in Path("/sys/fs/cgroup").rglob("garant-stores-*")},
        "register": {str(path) for path in Path("/run/garant-stores").glob("fleet-*")},
    }
    alone = {"settings": settings, "run": {str(path) for path in Path("/run").glob("garant*")}}
    return {name: ours(items) for name, items in found.items()} | ({} if others else alone)


def left_behind(marker: str, before: Traces) -> Traces:
    """What is there now and was not there before."""
    now = look(marker)
    kinds = now.keys() & before.keys()
    return {kind: now[kind] - before[kind] for kind in kinds if now[kind] - before[kind]}
