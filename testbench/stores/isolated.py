"""Hosts in namespaces of their own (modes systemd and runit): made, started again, removed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from testbench.progress import Progress, Step
from testbench.stores import launch, processes
from testbench.stores.errors import StartError
from testbench.stores.layout import host_files, write_host
from testbench.stores.network import Network, remove_links
from testbench.stores.rules import FleetSite, HostSite, Mode, StoreSite, fleet_network
from testbench.stores.ssh import Ssh
from testbench.stores.state import Fleet, StateDir
from testbench.stores.supervisors import Runit, Supervisor, Systemd

SUPERVISORS: dict[Mode, type[Systemd] | type[Runit]] = {"systemd": Systemd, "runit": Runit}
#: How long `down` waits for the machine's init to collect the dead hosts: nothing is left, not even zombies.
COLLECTED_S = 3.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


def supervisor_of(mode: Mode) -> Supervisor:
    """The supervisor of the hosts in this mode."""
    return SUPERVISORS[mode]()


def make(state: StateDir, fleet: Fleet, held: int, progress: Progress) -> None:
    """Disks, network, then every host's PID 1. ``held`` is the state directory's lock."""
    site = fleet.site
    ssh = Ssh(state.ssh)
    state.netns.mkdir()
    if fleet.cgroup:
        processes.make_cgroup(Path(fleet.cgroup))
    total = len(site.hosts)
    progress(Step("disks", "writing the hosts' disks", 0, total))
    supervisor = supervisor_of(fleet.mode)
    done = 0
    for store in site.stores:
        for host in store.hosts:
            _make_disk(state, ssh, site, store, host, supervisor)
            done += 1
            progress(Step("disks", "writing the hosts' disks", done, total))
    network = Network(site, state.netns)
    _launch({"namespaces": network.namespaces()}, held)
    network.connect(held)
    progress(Step("network", "links and routes", len(site.stores), len(site.stores)))
    start(state, fleet, [host.name for host in site.hosts], held, progress)


def _make_disk(
    state: StateDir, ssh: Ssh, site: FleetSite, store: StoreSite, host: HostSite, supervisor: Supervisor
) -> None:
    root = state.root(host.name)
    root.mkdir(parents=True)
    state.hosts.chmod(0o700)
    options = f"size={store.plan.disk_mb}m,mode=755"
    launch.mount("tmpfs", str(root), "tmpfs", launch.MS_NOSUID | launch.MS_NODEV, options)
    host_key = ssh.host_key_file(host.name).read_text()
    files = host_files(site, store, host, supervisor, host_key, ssh.public_key())
    write_host(root, store.plan.zone, files, store.plan.product)


def start(state: StateDir, fleet: Fleet, hosts: Sequence[str], held: int, progress: Progress) -> None:
    """Start PID 1 of these hosts on the disks that they have; raises StartError with the reason."""
    supervisor = supervisor_of(fleet.mode)
    orders = []
    for name in hosts:
        cgroup = Path(fleet.cgroup) / name if fleet.cgroup else None
        if cgroup:
            processes.make_cgroup(cgroup)
        orders.append(
            {
                "name": name,
                "root": str(state.root(name)),
                "netns": str(state.netns / name),
                "cgroup": str(cgroup) if cgroup else None,
                "cgroup_mount": supervisor.wants_cgroup,
                "init": list(supervisor.init),
                "environment": {"PATH": _PATH, "container": "garant", "LANG": "C.UTF-8"},
                "console": str(state.console(name)),
                "pid_file": str(state.pid_file(name)),
            }
        )
    _launch(
        {"hosts": orders}, held, lambda done: progress(Step("hosts", "starting hosts", done, len(orders)))
    )


def _launch(order: dict[str, object], held: int, on_host: Callable[[int], None] | None = None) -> None:
    command = [sys.executable, "-I", "-S", launch.__file__]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=(held,),
    ) as launcher:
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        assert launcher.stderr is not None
        launcher.stdin.write(json.dumps({"lock": held, **order}))
        launcher.stdin.close()
        for number, _ in enumerate(launcher.stdout, 1):
            if on_host:
                on_host(number)
        reason = launcher.stderr.read().strip()
    if launcher.returncode:
        raise StartError(
            f"the hosts could not be started: {reason}; see `garant doctor` for what this machine lacks"
        )


def clear(state: StateDir, index: int | None, progress: Progress) -> list[str]:
    """Remove everything of the fleet but its state directory; returns what was found, for people.

    Goes by names (links, cgroup), by the namespaces bound below the state directory and by mount points
    below it, never by a list of what succeeded: so it also removes what a killed ``up`` left half made.
    """
    found: list[str] = []
    mounts = _mounts_below(state.path)
    inodes = {Path(path).stat().st_ino for path in mounts if Path(path).parent == state.netns}
    # What we may not write is not ours: inside a user namespace the machine's own fleets are seen, too.
    cgroup = cgroup_for(index) if index is not None else None
    while True:
        pids = {*processes.in_namespaces(inodes), *(processes.in_cgroup(cgroup) if cgroup else [])}
        if not pids:
            break
        found.append(f"{len(pids)} processes")
        progress(Step("down", f"ending {len(pids)} processes"))
        processes.end(pids, COLLECTED_S)
    if index is not None:
        found += remove_links(index, str(fleet_network(index)))
    for path in reversed(mounts):
        launch.unmount(path)
    if mounts:
        found.append(f"{len(mounts)} mounts")
    if cgroup and cgroup.exists():
        processes.remove_cgroup(cgroup)
        found.append(f"cgroup {cgroup.name}")
    return found


def cgroup_for(index: int) -> Path | None:
    """The cgroup that a fleet's hosts go under; None where none can be made (then no host can be frozen)."""
    cgroup = _cgroup_of(index)
    return cgroup if cgroup and os.access(cgroup.parent, os.W_OK) else None


def _cgroup_of(index: int) -> Path | None:
    mount = processes.cgroup2_mount()
    return mount / f"garant-stores-{index}" if mount else None


def _mounts_below(folder: Path) -> list[str]:
    """Mount points below ``folder``, the outer ones first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        path = line.split()[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        path = path.removesuffix("//deleted")
        if path.startswith(f"{folder}/"):
            found.append(path)
    return found


def stop(state: StateDir, fleet: Fleet, host: str) -> bool:
    """Kill PID 1 of the host, and with it everything in it, as a power cut does; False when it was down."""
    pid = processes.recorded_pid(state.pid_file(host))
    if pid is None:
        return False
    freeze(fleet, host, False)  # a frozen process is killed only when it thaws
    processes.end([pid])
    if fleet.cgroup:
        processes.remove_cgroup(Path(fleet.cgroup) / host, keep=True)
    return True


def freeze(fleet: Fleet, host: str, frozen: bool) -> bool:
    """Stop or go on with every process of the host at once; False when hosts have no cgroup."""
    if not fleet.cgroup:
        return False
    switch = Path(fleet.cgroup) / host / "cgroup.freeze"
    with contextlib.suppress(FileNotFoundError):
        switch.write_text("1" if frozen else "0")
    return True


def host_state(state: StateDir, fleet: Fleet, host: str) -> str:
    """``up``, ``frozen`` or ``down``, as the kernel has it."""
    if processes.recorded_pid(state.pid_file(host)) is None:
        return "down"
    if fleet.cgroup:
        with contextlib.suppress(OSError):
            if (Path(fleet.cgroup) / host / "cgroup.freeze").read_text().strip() == "1":
                return "frozen"
    return "up"
