"""The fleet in the database as a fleet file."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from pipeline.fleet.rules import weekly_text
from pipeline.fleet.service import clients, hosts_of_store, stores_of_client
from pipeline.fleet.tables import HostRow, StoreRow


def exported(session: Session) -> dict[str, Any]:
    """All clients, stores and hosts that are not retired, in the form that an import reads."""
    return {
        "clients": [
            _without_empty(
                {
                    "id": client.id,
                    "name": client.name,
                    "language": client.language,
                    "zone": client.zone,
                    "tariff": client.tariff,
                    "contract": client.contract,
                    "service_manager": client.service_manager,
                    "contacts": client.contacts,
                    "stores": [_store(session, store) for store in stores_of_client(session, client.id)],
                }
            )
            for client in clients(session)
        ]
    }


def _store(session: Session, store: StoreRow) -> dict[str, Any]:
    return _without_empty(
        {
            "id": store.id,
            "name": store.name,
            "zone": store.zone,
            "windows": [weekly_text(window) for window in store.windows],
            "trading_hours": [weekly_text(hours) for hours in store.trading_hours],
            "tags": store.tags,
            "hosts": [_host(host) for host in hosts_of_store(session, store.id)],
        }
    )


def _host(host: HostRow) -> dict[str, Any]:
    return _without_empty(
        {
            "name": host.id,
            "role": host.role,
            "register": host.register,
            "address": host.address,
            "port": host.port,
            "user": host.user,
            "host_key": host.host_key,
            "lan_address": host.lan_address,
            "jump": host.jump,
        }
    )


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, [], "")}
