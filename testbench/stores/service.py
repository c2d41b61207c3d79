"""The stores of one state directory, as demo, tests and people use them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from testbench.progress import Progress, Step, silent
from testbench.stores import isolated, plain
from testbench.stores.detect import detect_mode
from testbench.stores.errors import ModeUnavailableError, StateError, StoresError
from testbench.stores.layout import product_version
from testbench.stores.network import Network
from testbench.stores.readiness import product_answers, refuse_silent, ssh_answers, wait_for
from testbench.stores.rules import (
    FleetSite,
    HostSite,
    Mode,
    StorePlan,
    StoreSite,
    check_plans,
    on_loopback,
    place,
)
from testbench.stores.ssh import Ssh
from testbench.stores.state import Fleet, StateDir, default_state_dir, register_for

FILL = "var/lib/.garant-fill"


class Stores:
    """A fleet of local stores that is up. Make one with ``Stores.up``, find one with ``Stores.open``."""

    def __init__(self, state: StateDir, fleet: Fleet) -> None:
        self._state = state
        self._fleet = fleet
        self.site: FleetSite = fleet.site
        self.ssh = Ssh(state.ssh, plain.login() if fleet.mode == "plain" else "root")
        self._network = Network(self.site, state.netns)

    @classmethod
    def up(
        cls,
        plans: Sequence[StorePlan],
        state_dir: Path | None = None,
        mode: Mode | Literal["auto"] = "auto",
        *,
        progress: Progress | None = None,
        wait_product: bool = True,
        timeout_s: float = 60.0,
    ) -> Stores:
        """Bring the stores up and wait until every sshd answers, and every product where the plan has one.

        Args:
            plans: the stores wanted.
            state_dir: where the fleet is kept (None: ``default_state_dir()``); one fleet a directory.
            mode: ``auto`` takes the fullest that this machine can do (``detect_mode()``).
            progress: called with a ``Step`` as the work goes on.
            wait_product: also wait for ``GET /status`` of each product.
            timeout_s: the longest wait for sshd, and again for the products, in seconds.

        Raises:
            StoresUsageError: a plan is wrong.
            StateError: the directory already has stores, or no range of addresses is free.
            ModeUnavailableError: the mode cannot be had here.
            StartError: a host did not answer.

            Nothing is left behind in any of these cases, nor on Ctrl-C.

        """
        check_plans(plans)
        for plan in plans:
            if plan.product is not None:
                product_version(plan.product)
        chosen = detect_mode().choose(mode)
        if chosen != "plain" and os.geteuid() != 0:
            raise ModeUnavailableError(
                "an ordinary user's stores live in a user namespace: call reexec_inside_user_namespace() "
                "first in a program, or use `testbench stores up` and `testbench stores exec -- COMMAND`"
            )
        progress = progress or silent
        state = StateDir(state_dir or default_state_dir())
        with state.lock() as held:
            if state.fleet_file.exists() or register_for(state.path).index_of(state.path) is not None:
                raise StateError(
                    f"{state.path} already has stores (up, or left by a run that was killed): "
                    f"run `testbench stores down --state-dir {state.path}` first, or give another --state-dir"
                )
            try:
                fleet = _intend(state, plans, chosen)
                stores = cls(state, fleet)
                stores.ssh.prepare(stores.site.hosts)
                if chosen == "plain":
                    plain.make(state, fleet, progress)
                else:
                    isolated.make(state, fleet, held, progress)
                stores._wait(stores.site.hosts, wait_product, timeout_s, progress)
            except BaseException:
                _clear(state, silent)
                raise
        return stores

    @classmethod
    def open(cls, state_dir: Path | None = None) -> Stores:
        """The stores that are up in this directory; raises StateError when there are none."""
        state = StateDir(state_dir or default_state_dir())
        fleet = state.read()
        if fleet is None:
            raise StateError(f"no stores are up in {state.path}: bring some up with `testbench stores up`")
        return cls(state, fleet)

    @property
    def state_dir(self) -> Path:
        """The fleet's state directory."""
        return self._state.path

    @property
    def mode(self) -> Mode:
        """How the hosts are kept apart and supervised."""
        return self._fleet.mode

    def down(self, progress: Progress | None = None) -> list[str]:
        """Remove the fleet with everything of it; returns what was removed."""
        return down(self.state_dir, progress)

    def describe(self) -> dict[str, Any]:
        """The fleet as `testbench stores list --json` prints it, states as the kernel has them now."""
        ssh = self.ssh
        return {
            "mode": self.mode,
            "state_dir": str(self.state_dir),
            "controller_address": self.site.controller,
            "ssh": {
                "user": ssh.user,
                "identity": str(ssh.identity),
                "known_hosts": str(ssh.known_hosts),
                "config": str(ssh.config),
            },
            "reduced": list(plain.REDUCED) if self.mode == "plain" else [],
            "stores": [self._describe_store(store) for store in self.site.stores],
        }

    def _describe_store(self, store: StoreSite) -> dict[str, Any]:
        return {
            "name": store.name,
            "zone": store.plan.zone,
            "shop": store.shop,
            "wan": "up" if self.mode == "plain" else self._network.wan_state(store),
            "hosts": [
                {
                    **asdict(host),
                    "host_key": self.ssh.host_key(host.name),
                    "state": self.host_state(host.name),
                }
                for host in store.hosts
            ],
        }

    def host_state(self, host: str) -> str:
        """``up``, ``down`` or ``frozen``."""
        self.site.host(host)
        return isolated.host_state(self._state, self._fleet, host)

    def host_root(self, host: str) -> Path:
        """The host's disk as this machine sees it (for observers that go round its sshd)."""
        self.site.host(host)
        return self._state.root(host)

    def console(self, host: str) -> str:
        """What the host's PID 1 said."""
        self.site.host(host)
        with contextlib.suppress(FileNotFoundError):
            return self._state.console(host).read_text(errors="replace")
        return ""

    def run(
        self, host: str, command: str, data: str | None = None, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the host over SSH, ``data`` on its stdin; exit code 255: ssh failed."""
        self.site.host(host)
        return self.ssh.run(host, command, data, timeout_s)

    def cut(self, store: str) -> None:
        """Take the store's WAN link down: the store trades on, nobody outside reaches it."""
        with self._changing():
            self._own_network().cut(self.site.store(store))

    def restore(self, store: str) -> None:
        """Bring the store's WAN link back, at full speed."""
        with self._changing():
            self._own_network().restore(self.site.store(store))

    def slow(self, store: str, rate: str) -> None:
        """Limit the store's WAN link in both directions to ``rate`` (512kbit, 2mbit; ``off``: no limit)."""
        with self._changing():
            site = self.site.store(store)
            if rate == "off":
                self._own_network().full_speed(site)
            else:
                self._own_network().slow(site, rate)

    def unplug(self, host: str) -> None:
        """Pull the host's LAN cable: a register works offline; its sshd is not reached either."""
        with self._changing():
            self._own_network().plug(self.site.host(host)[0], host, False)

    def plug(self, host: str) -> None:
        """Put the host's LAN cable back."""
        with self._changing():
            self._own_network().plug(self.site.host(host)[0], host, True)

    def fill(self, host: str) -> int:
        """Fill the host's disk to the last block; returns the bytes taken."""
        path = self.host_root(host) / FILL
        self._own_network()  # no own network, no own disk: never fill the machine's
        with self._changing(), path.open("ab") as file:
            free = os.fstatvfs(file.fileno())
            size = free.f_bavail * free.f_frsize
            if size:
                os.posix_fallocate(file.fileno(), path.stat().st_size, size)
        return size

    def unfill(self, host: str) -> None:
        """Give the space taken by ``fill`` back."""
        with self._changing():
            (self.host_root(host) / FILL).unlink(missing_ok=True)

    def kill(self, host: str) -> None:
        """Cut the host's power: PID 1 and all else is killed, the disk stays, the address is silent."""
        store, _ = self.site.host(host)
        with self._changing():
            stopped = (
                plain.stop(self._state, host)
                if self.mode == "plain"
                else isolated.stop(self._state, self._fleet, host)
            )
            if not stopped:
                raise StoresError(
                    f"host {host} is already down; start it with `testbench stores start {host}`"
                )
            if self.mode != "plain":
                self._network.plug(store, host, False)

    def start(self, host: str, *, wait_product: bool = True, timeout_s: float = 60.0) -> None:
        """Switch a killed host on again with the disk it had; waits as ``up`` does. Raises StartError."""
        store, site = self.site.host(host)
        with self._changing() as held:
            if self.host_state(host) != "down":
                raise StoresError(f"host {host} is {self.host_state(host)}, not down; nothing to start")
            if self.mode == "plain":
                plain.start(self._state, host)
            else:
                self._network.plug(store, host, True)
                isolated.start(self._state, self._fleet, [host], held, silent)
            if self.mode == "plain" or self._network.wan_state(store) != "cut":
                self._wait([site], wait_product, timeout_s, silent)

    def freeze(self, host: str) -> None:
        """Hang the host: nothing in it runs, its connections stay open. Needs a cgroup."""
        self._freeze(host, True)

    def thaw(self, host: str) -> None:
        """Let a frozen host go on."""
        self._freeze(host, False)

    def _freeze(self, host: str, frozen: bool) -> None:
        self.site.host(host)
        with self._changing():
            if not isolated.freeze(self._fleet, host, frozen):
                raise StoresError(
                    f"host {host} has no cgroup and cannot be frozen: bring the stores up as root"
                )

    def _wait(self, hosts: Sequence[HostSite], product: bool, timeout_s: float, progress: Progress) -> None:
        mute = wait_for(
            hosts,
            ssh_answers,
            lambda done, all_: progress(Step("sshd", "hosts that answer", done, all_)),
            timeout_s,
        )
        if mute:
            said = self.console(mute[0].name)[-600:].strip()
            refuse_silent(mute, "sshd", timeout_s, f"its console says: {said or 'nothing'}")
        if not product or self.mode == "plain":
            return
        with_product = [host for host in hosts if self.site.host(host.name)[0].plan.product is not None]
        mute = wait_for(
            with_product,
            product_answers,
            lambda done, all_: progress(Step("product", "products that answer", done, all_)),
            timeout_s,
        )
        if mute:
            log = self._state.root(mute[0].name) / "var/log/set/service.log"
            said = log.read_text(errors="replace")[-600:].strip() if log.exists() else ""
            refuse_silent(mute, "SET", timeout_s, f"/var/log/set/service.log says: {said or 'nothing'}")

    def _own_network(self) -> Network:
        """The hosts' network; raises StoresError in mode plain, where they have none, nor a disk."""
        if self.mode == "plain":
            raise StoresError(
                f"the stores in {self.state_dir} are in mode plain: {plain.REDUCED[2]}; {plain.REDUCED[3]}; "
                "see `garant doctor` for what brings a fuller mode"
            )
        return self._network

    @contextlib.contextmanager
    def _changing(self) -> Iterator[int]:
        """The fleet's lock, with the fleet still there: another command may have taken it down meanwhile."""
        with self._state.lock() as held:
            if not self._state.fleet_file.exists():
                self._state.remove()
                raise StateError(
                    f"no stores are up in {self.state_dir}: bring some up with `testbench stores up`"
                )
            yield held


def _intend(state: StateDir, plans: Sequence[StorePlan], mode: Mode) -> Fleet:
    """Take a range of addresses and write down what is going to be made, before any of it is."""
    if mode == "plain":
        addresses = {host.name: host.address for host in on_loopback(place(plans, 0), {}).hosts}
        ports = plain.free_ports(addresses)
        fleet = Fleet(mode=mode, index=0, plans=tuple(plans), cgroup=None, ports=ports)
        state.write(fleet)
        return fleet
    register = register_for(state.path)
    index = register.take(state.path)
    cgroup = isolated.cgroup_for(index)
    fleet = Fleet(
        mode=mode, index=index, plans=tuple(plans), cgroup=str(cgroup) if cgroup else None, ports={}
    )
    fleet.site  # noqa: B018 - refuses plans that do not fit before anything is made
    state.write(fleet)
    if mode == "systemd":
        register.raise_settings()
    return fleet


def _clear(state: StateDir, progress: Progress) -> list[str]:
    register = register_for(state.path)
    index = register.index_of(state.path)
    found = [*plain.clear(state), *isolated.clear(state, index, progress)]
    if index is not None:
        register.release(index)
    state.remove()
    return found


def down(state_dir: Path | None = None, progress: Progress | None = None) -> list[str]:
    """Remove the fleet of this directory, also what a killed run left of it; returns what was removed.

    Raises:
        StateError: another command is working on the fleet and did not finish in time.

    """
    state = StateDir(state_dir or default_state_dir())
    if not state.path.exists() and register_for(state.path).index_of(state.path) is None:
        return []
    with state.lock():
        return _clear(state, progress or silent)
