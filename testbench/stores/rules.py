"""Pure rules of the local stores: names, addresses, rates. No I/O, no clock (DESIGN 9, STYLE rule 1)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from testbench.stores.errors import StoresUsageError

#: RFC 2544: set aside for benchmarks, so never a real neighbour of this machine.
RANGE = ipaddress.ip_network("198.18.0.0/15")
FLEET_PREFIX = 20  # 4,096 addresses a fleet: 32 fleets at once on one machine
FLEETS = 2 ** (FLEET_PREFIX - RANGE.prefixlen)
WAN_PREFIX = 24  # the first /24 of a fleet: the controller is .1, the routers follow from .2
FIRST_ROUTER = 2
MOST_STORES = 250
MOST_REGISTERS = 99
SERVER_PORT, REGISTER_PORT, DEPOT_PORT = 8090, 8095, 8091

Role = Literal["server", "register"]
Mode = Literal["systemd", "runit", "plain"]
MODES: tuple[Mode, ...] = ("systemd", "runit", "plain")

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_RATE = re.compile(r"(\d+)(kbit|mbit|gbit)")
_BITS = {"kbit": 1_000, "mbit": 1_000_000, "gbit": 1_000_000_000}


@dataclass(frozen=True, kw_only=True)
class StorePlan:
    """One store as it is wanted."""

    #: Lower-case letters, digits, hyphens; hosts are called ``<name>-server``, ``<name>-r1``, ...
    name: str
    #: IANA zone of the store, e.g. ``Asia/Novosibirsk``.
    zone: str = "Europe/Moscow"
    registers: int = 2
    #: Shop number in set.json; None: the store's place in the plan, from 1.
    shop: int | None = None
    #: A product build: a folder with ``bin/`` and ``VERSION``. None: hosts without a product.
    product: Path | None = None
    #: Overrides of set.json for every host of the store, e.g. ``{"transport_interval_s": 0}``.
    config: Mapping[str, object] = field(default_factory=dict)
    #: Content of /etc/garant/allowed_signers; None: no such file.
    allowed_signers: str | None = None
    #: Content of /etc/garant/policy.json; None: no such file.
    policy: Mapping[str, object] | None = None
    #: Size of each host's disk in MiB (a tmpfs: memory is taken only for what is written).
    disk_mb: int = 96


@dataclass(frozen=True, kw_only=True)
class HostSite:
    """One host with its place in the network."""

    name: str
    role: Role
    #: Number of the register in its store; None for the server.
    register: int | None
    #: Where people, Ansible and paramiko reach its sshd.
    address: str
    port: int
    #: Where its own store reaches it.
    lan_address: str

    @property
    def service_port(self) -> int:
        """TCP port on which the product answers ``GET /status``."""
        return SERVER_PORT if self.role == "server" else REGISTER_PORT


@dataclass(frozen=True, kw_only=True)
class StoreSite:
    """One store with its addresses and hosts; the server is the first host."""

    plan: StorePlan
    number: int
    shop: int
    wan_address: str
    gateway: str
    lan: str
    hosts: tuple[HostSite, ...]

    @property
    def name(self) -> str:
        """The store's name."""
        return self.plan.name

    @property
    def server(self) -> HostSite:
        """The store's SET server."""
        return self.hosts[0]


@dataclass(frozen=True, kw_only=True)
class FleetSite:
    """All stores of one fleet on this machine."""

    index: int
    network: str
    #: The controller's (this machine's) own address on the stores' WAN.
    controller: str
    stores: tuple[StoreSite, ...]

    @property
    def link(self) -> str:
        """Name of the fleet's WAN bridge; every link of the fleet on the machine starts with it."""
        return f"gst{self.index}"

    @property
    def hosts(self) -> list[HostSite]:
        """All hosts, store by store."""
        return [host for store in self.stores for host in store.hosts]

    def uplink(self, store: StoreSite) -> str:
        """The machine's end of the store's WAN link."""
        return f"{self.link}w{store.number}"

    def store(self, name: str) -> StoreSite:
        """The store with this name; raises StoresUsageError naming those that exist."""
        for store in self.stores:
            if store.name == name:
                return store
        known = ", ".join(store.name for store in self.stores)
        raise StoresUsageError(f"no store {name!r} in this fleet; its stores are: {known}")

    def host(self, name: str) -> tuple[StoreSite, HostSite]:
        """The host with this name and its store; raises StoresUsageError naming those that exist."""
        for store in self.stores:
            for host in store.hosts:
                if host.name == name:
                    return store, host
        known = ", ".join(host.name for host in self.hosts)
        raise StoresUsageError(f"no host {name!r} in this fleet; its hosts are: {known}")


def plain_plans(stores: int, registers: int, zones: Sequence[str], product: Path | None) -> list[StorePlan]:
    """Plans for ``store1`` .. ``storeN``, the zones given out in turn."""
    zones = zones or ["Europe/Moscow"]
    return [
        StorePlan(
            name=f"store{number}", zone=zones[(number - 1) % len(zones)], registers=registers, product=product
        )
        for number in range(1, stores + 1)
    ]


def check_plans(plans: Sequence[StorePlan]) -> None:
    """Raise StoresUsageError for the first thing that makes the plans unusable."""
    if not 1 <= len(plans) <= MOST_STORES:
        raise StoresUsageError(f"{len(plans)} stores wanted; one fleet holds 1 to {MOST_STORES}")
    seen: set[str] = set()
    shops: set[int] = set()
    for number, plan in enumerate(plans, 1):
        if not _NAME.fullmatch(plan.name):
            raise StoresUsageError(
                f"store name {plan.name!r}: use 1 to 31 lower-case letters, digits, hyphens, a letter first"
            )
        if not 1 <= plan.registers <= MOST_REGISTERS:
            raise StoresUsageError(
                f"store {plan.name}: {plan.registers} registers; 1 to {MOST_REGISTERS} can be had"
            )
        if plan.disk_mb < 4:
            raise StoresUsageError(
                f"store {plan.name}: a disk of {plan.disk_mb} MiB is too small; give at least 4"
            )
        shop = plan.shop or number
        hosts = {f"{plan.name}-server", *(f"{plan.name}-r{n}" for n in range(1, plan.registers + 1))}
        if seen & hosts or shop in shops:
            raise StoresUsageError(
                f"store {plan.name} (shop {shop}): name or shop number is given twice in the plan"
            )
        seen |= hosts
        shops.add(shop)


def fleet_network(index: int) -> ipaddress.IPv4Network:
    """The /20 of the fleet with this index (0 to 31)."""
    size = 2 ** (32 - FLEET_PREFIX)
    return ipaddress.IPv4Network((int(RANGE.network_address) + index * size, FLEET_PREFIX))


def place(plans: Sequence[StorePlan], index: int) -> FleetSite:
    """Give every host its address.

    The fleet's first /24 is the WAN; the rest is cut into equal LANs, large enough for the store with
    the most registers. A host has one address, for its store and for the controller, whose way leads through
    the store's router.

    Raises:
        StoresUsageError: the plans are wrong, or do not fit into one fleet's addresses.

    """
    check_plans(plans)
    network = fleet_network(index)
    base = int(network.network_address)
    largest = max(plan.registers for plan in plans)
    lan_size = 1 << (largest + 4 - 1).bit_length()  # network, gateway, server, registers, broadcast
    wan_size = 2 ** (32 - WAN_PREFIX)
    room = (network.num_addresses - wan_size) // lan_size
    if len(plans) > room:
        raise StoresUsageError(
            f"{len(plans)} stores of up to {largest} registers do not fit one fleet ({room} do); "
            "make a second fleet with its own --state-dir"
        )
    stores = []
    for number, plan in enumerate(plans):
        lan = base + wan_size + number * lan_size
        names: list[tuple[str, Role, int | None]] = [(f"{plan.name}-server", "server", None)]
        names += [(f"{plan.name}-r{n}", "register", n) for n in range(1, plan.registers + 1)]
        hosts = []
        for offset, (name, role, register) in enumerate(names, 2):
            address = str(ipaddress.IPv4Address(lan + offset))
            hosts.append(
                HostSite(
                    name=name, role=role, register=register, address=address, port=22, lan_address=address
                )
            )
        stores.append(
            StoreSite(
                plan=plan,
                number=number,
                shop=plan.shop or number + 1,
                wan_address=str(ipaddress.IPv4Address(base + FIRST_ROUTER + number)),
                gateway=str(ipaddress.IPv4Address(lan + 1)),
                lan=str(ipaddress.IPv4Network((lan, 32 - lan_size.bit_length() + 1))),
                hosts=tuple(hosts),
            )
        )
    controller = str(ipaddress.IPv4Address(base + 1))
    return FleetSite(index=index, network=str(network), controller=controller, stores=tuple(stores))


def on_loopback(site: FleetSite, ports: Mapping[str, int]) -> FleetSite:
    """The same fleet with each host on a loopback address and sshd port of its own (mode plain)."""
    stores = []
    for store in site.stores:
        hosts = []
        for number, host in enumerate(store.hosts, 1):
            address = f"127.77.{store.number + 1}.{number}"
            hosts.append(replace(host, address=address, lan_address=address, port=ports.get(host.name, 0)))
        stores.append(replace(store, hosts=tuple(hosts), wan_address="127.0.0.1", lan="127.0.0.0/8"))
    return replace(site, network="127.0.0.0/8", controller="127.0.0.1", stores=tuple(stores))


def rate_bits(rate: str) -> int:
    """Bits a second of ``512kbit``, ``2mbit``, ``1gbit``; raises StoresUsageError for anything else."""
    match = _RATE.fullmatch(rate)
    if match is None or int(match[1]) == 0:
        raise StoresUsageError(
            f"rate {rate!r} is not understood; write it as 512kbit, 2mbit or 1gbit (or off)"
        )
    return int(match[1]) * _BITS[match[2]]


def bucket_bytes(bits: int) -> int:
    """Burst of the token bucket for this rate: at least one full segment batch, at most 20 ms of traffic."""
    return max(16_384, bits // 8 // 50)


def set_config(store: StoreSite, host: HostSite) -> dict[str, object]:
    """The content of /etc/set/set.json (the plan's overrides win)."""
    return {
        "role": host.role,
        "shop": store.shop,
        "cash": host.register,
        "zone": store.plan.zone,
        "listen": f"0.0.0.0:{host.service_port}",
        "server_url": f"http://{store.server.lan_address}:{SERVER_PORT}",
        "data_dir": "/var/lib/set",
        "log_file": "/var/log/set/set.log",
        "clock_file": None,
        "transport_interval_s": 1.0,
        "erp_url": None,
        **store.plan.config,
    }
