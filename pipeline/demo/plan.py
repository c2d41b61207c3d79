"""Who plays in the story: clients, stores, versions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: The clients' versions when the story begins. Both show the defect; a later tag mends it.
VERSIONS = ("v10.4.7.0", "v10.4.6.0")
#: The newest release when the story begins, and the one that appears in its course.
RELEASED, FIXED = "v10.4.7.0", "v10.4.8.0"

_CLIENTS = (
    ("zarya", "Торговая сеть «Заря»", "ru", "Europe/Moscow"),
    ("baltia", "Baltia Stores", "en", "Europe/Kaliningrad"),
)
_ZONES = {
    "zarya": ("Europe/Moscow", "Asia/Yekaterinburg", "Asia/Novosibirsk"),
    "baltia": ("Europe/Kaliningrad",),
}


@dataclass(frozen=True, kw_only=True)
class PlannedStore:
    """One store of the story."""

    id: str
    client: str
    zone: str
    #: The tag that it runs.
    version: str
    registers: int


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """The whole cast.

    Attributes:
        seed: of the goods and of what is sold; the same seed tells the same story.
    """

    stores: tuple[PlannedStore, ...]
    seed: int

    @property
    def troubled(self) -> PlannedStore:
        """The store in which the defect shows."""
        return self.stores[0]

    @property
    def offline(self) -> PlannedStore | None:
        """The store that is cut off when the update comes: the last; None when there is only one."""
        return self.stores[-1] if len(self.stores) > 1 else None

    @property
    def faulty(self) -> PlannedStore:
        """The store with a register on which the new version dies: not the canary when there is a choice.

        In the canary store it halts the rollout; that too is a story, told when there are too few stores.
        """
        return self.stores[1] if len(self.stores) > 2 else self.stores[0]

    @property
    def clients(self) -> list[str]:
        """The clients that have a store, in order."""
        return list(dict.fromkeys(store.client for store in self.stores))

    def stores_of(self, client: str) -> list[PlannedStore]:
        """A client's stores."""
        return [store for store in self.stores if store.client == client]


def make_plan(stores: int, registers: int, seed: int) -> DemoPlan:
    """Deal the stores out to the clients: about a third to the second one, none when there is one store."""
    second = stores // 3
    planned = []
    for number in range(1, stores + 1):
        place = 1 if number > stores - second else 0
        client = _CLIENTS[place][0]
        zones = _ZONES[client]
        planned.append(
            PlannedStore(
                id=f"{client}-{number}",
                client=client,
                zone=zones[(number - 1) % len(zones)],
                version=VERSIONS[place],
                registers=registers,
            )
        )
    return DemoPlan(stores=tuple(planned), seed=seed)


def fleet_document(plan: DemoPlan, described: dict[str, Any]) -> dict[str, Any]:
    """The fleet as ``garant fleet import`` reads it, from what the local stores say of themselves.

    The demo's clients are far below 100 registers, so the tariff's terms hold by contract. Their stores may
    be updated at any hour: a story that waits for the night is no demo.
    """
    sites = {store["name"]: store for store in described["stores"]}
    clients = []
    for id_, name, language, zone in _CLIENTS:
        stores = [_store(store, sites[store.id], described) for store in plan.stores_of(id_)]
        if not stores:
            continue
        contacts = [{"name": "IT", "channel": "email", "address": f"it@{id_}.example", "role": "it"}]
        clients.append(
            {
                "id": id_,
                "name": name,
                "language": language,
                "zone": zone,
                "tariff": "contract",
                "contract": "demo",
                "service_manager": "sofia.manager@vendor.example",
                "contacts": contacts,
                "stores": stores,
            }
        )
    return {"clients": clients}


def _store(store: PlannedStore, site: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    hosts = [
        {
            "name": host["name"],
            "role": host["role"],
            "register": host["register"],
            "address": host["address"],
            "port": host["port"],
            "user": described["ssh"]["user"],
            "host_key": host["host_key"],
            "lan_address": host["lan_address"],
        }
        for host in site["hosts"]
    ]
    return {
        "id": store.id,
        "name": store.id,
        "zone": store.zone,
        "windows": ["daily 00:00-00:00"],
        "tags": ["demo"],
        "hosts": hosts,
    }
