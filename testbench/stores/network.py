"""Links, addresses and routes of the stores, and the faults of the WAN; all by ip(8) and tc(8) batches.

    machine (controller) -- bridge gstI -- gstIwS | wan -- router S -- lan -- pN | eth0 -- host

A router knows two destinations only, its LAN and the controller, and the bridge's ports are isolated from
each other: no store can reach another store, nor anything beyond this machine. One ``unreachable`` route over
the fleet's whole range, with the worst metric, keeps packets for a host that is gone off the default route.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from testbench.stores.errors import StoresError
from testbench.stores.rules import WAN_PREFIX, FleetSite, StoreSite, bucket_bytes, rate_bits

WORST_METRIC = 4294967295


def _program(name: str) -> str:
    """The program's path: tc is in /usr/sbin, which is not on an ordinary user's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or name


def _batch(
    commands: list[str], netns: Path | None, program: str = "ip", force: bool = False, held: int | None = None
) -> None:
    inside = ["nsenter", f"--net={netns}", "--"] if netns else []
    options = ["-force", "-batch", "-"] if force else ["-batch", "-"]
    done = subprocess.run(
        [*inside, _program(program), *options],
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        check=False,
        pass_fds=() if held is None else (held,),
    )
    if done.returncode and not force:
        where = netns.name if netns else "this machine"
        raise StoresError(
            f"network of {where} could not be changed: {done.stderr.strip()}; "
            "run `testbench stores down`, then up again"
        )


class Network:
    """The fleet's network; ``folder`` holds the bind-mounted namespaces, one file each."""

    def __init__(self, fleet: FleetSite, folder: Path) -> None:
        self.fleet = fleet
        self.folder = folder

    def router(self, store: StoreSite) -> Path:
        """The namespace file of a store's router."""
        return self.folder / f"{store.name}-router"

    def host(self, name: str) -> Path:
        """The namespace file of a host."""
        return self.folder / name

    def namespaces(self) -> list[dict[str, object]]:
        """The namespaces that the launcher is to make."""
        routers = [{"path": str(self.router(store)), "forward": True} for store in self.fleet.stores]
        hosts = [{"path": str(self.host(host.name)), "forward": False} for host in self.fleet.hosts]
        return [*routers, *hosts]

    def connect(self, held: int) -> None:
        """Make every link, address and route; ``held`` is the fleet's lock, kept by each batch."""
        self._connect_machine(held)
        for store in self.fleet.stores:
            self._connect_store(store, held)

    def _connect_machine(self, held: int) -> None:
        fleet = self.fleet
        commands = [
            "link set lo up",
            f"link add {fleet.link} type bridge",
            f"link set {fleet.link} addrgenmode none",
            f"addr add {fleet.controller}/{WAN_PREFIX} dev {fleet.link}",
            f"link set {fleet.link} up",
            f"route add unreachable {fleet.network} metric {WORST_METRIC}",
        ]
        for store in fleet.stores:
            uplink = fleet.uplink(store)
            commands += [
                f"link add {uplink} type veth peer name wan netns {self.router(store)}",
                f"link set {uplink} addrgenmode none master {fleet.link}",
                f"link set {uplink} type bridge_slave isolated on",
                f"link set {uplink} up",
                f"route add {store.lan} via {store.wan_address} dev {fleet.link} src {fleet.controller}",
            ]
        _batch(commands, None, held=held)

    def _connect_store(self, store: StoreSite, held: int) -> None:
        prefix = store.lan.partition("/")[2]
        commands = [
            "link set lo up",
            "link add lan type bridge",
            "link set lan addrgenmode none",
            f"addr add {store.gateway}/{prefix} dev lan",
            "link set lan up",
            "link set wan addrgenmode none",
            f"addr add {store.wan_address}/32 dev wan",
            "link set wan up",
            self._way_back(store),
        ]
        for number, host in enumerate(store.hosts):
            commands += [
                f"link add p{number} type veth peer name eth0 netns {self.host(host.name)}",
                f"link set p{number} addrgenmode none master lan",
                f"link set p{number} up",
            ]
        _batch(commands, self.router(store), held=held)
        for host in store.hosts:
            commands = [
                "link set lo up",
                "link set eth0 addrgenmode none",
                f"addr add {host.lan_address}/{prefix} dev eth0",
                "link set eth0 up",
                f"route add default via {store.gateway}",
            ]
            _batch(commands, self.host(host.name), held=held)

    def _way_back(self, store: StoreSite) -> str:
        return f"route replace {self.fleet.controller}/32 dev wan src {store.wan_address}"

    def cut(self, store: StoreSite) -> None:
        """Take the store's WAN link down: the store trades on, but nobody outside reaches it."""
        _batch(["link set wan down"], self.router(store))

    def restore(self, store: StoreSite) -> None:
        """Bring the WAN link back at full speed."""
        # The kernel forgets a link's routes when the link goes down, and does not bring them back.
        _batch(["link set wan up", self._way_back(store)], self.router(store))
        self.full_speed(store)

    def slow(self, store: StoreSite, rate: str) -> None:
        """Limit the WAN link in both directions to ``rate`` (tbf; netem is not in every kernel)."""
        bits = rate_bits(rate)
        shape = f"root tbf rate {bits}bit burst {bucket_bytes(bits)} latency 400ms"
        _batch([f"qdisc replace dev wan {shape}"], self.router(store), "tc")
        _batch([f"qdisc replace dev {self.fleet.uplink(store)} {shape}"], None, "tc")

    def full_speed(self, store: StoreSite) -> None:
        """Take the limit of ``slow`` away; no error when there is none."""
        _batch(["qdisc del dev wan root"], self.router(store), "tc", force=True)
        _batch([f"qdisc del dev {self.fleet.uplink(store)} root"], None, "tc", force=True)

    def plug(self, store: StoreSite, host: str, plugged: bool) -> None:
        """Pull out or put back the LAN cable of one host (the host keeps its address and routes)."""
        number = [site.name for site in store.hosts].index(host)
        _batch([f"link set p{number} {'up' if plugged else 'down'}"], self.router(store))

    def wan_state(self, store: StoreSite) -> str:
        """``up``, ``slow`` or ``cut``, as the kernel has it."""
        shown = subprocess.run(
            [
                "nsenter",
                f"--net={self.router(store)}",
                "--",
                _program("ip"),
                "-json",
                "link",
                "show",
                "dev",
                "wan",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if shown.returncode:
            return "cut"
        link = json.loads(shown.stdout)[0]
        if "UP" not in link["flags"]:
            return "cut"
        return "slow" if link.get("qdisc") == "tbf" else "up"


def remove_links(index: int, network: str) -> list[str]:
    """Remove every link and route of the fleet with this index from the machine; returns what was removed.

    Works by name and range alone, so it also clears up what a killed run left.
    """
    prefix = f"gst{index}"
    shown = subprocess.run(
        [_program("ip"), "-json", "link", "show"], capture_output=True, text=True, check=True
    )
    names = [link["ifname"] for link in json.loads(shown.stdout or "[]")]
    links = [name for name in names if name == prefix or name.startswith(f"{prefix}w")]
    if links:
        _batch([f"link del {name}" for name in links], None, force=True)
    routes = subprocess.run(
        [_program("ip"), "route", "show", "type", "unreachable", "exact", network],
        capture_output=True,
        text=True,
        check=False,
    )
    if routes.stdout.strip():
        _batch([f"route del unreachable {network} metric {WORST_METRIC}"], None, force=True)
        links.append(f"route {network}")
    return links


def index_is_taken(index: int, network: str) -> str | None:
    """What on this machine already uses the fleet index, or None; a link, or any route into its range."""
    link = subprocess.run(
        [_program("ip"), "link", "show", "dev", f"gst{index}"], capture_output=True, check=False
    )
    if link.returncode == 0:
        return f"link gst{index}"
    shown = subprocess.run(
        [_program("ip"), "route", "show", "root", network, "table", "all"],
        capture_output=True,
        text=True,
        check=False,
    )
    first = shown.stdout.strip().splitlines()
    return f"route {first[0].strip()}" if first else None
