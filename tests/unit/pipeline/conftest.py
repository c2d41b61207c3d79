"""Two clients on virtual time: one Russian with two stores in two zones, one English with one store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pipeline.application import Garant
from pipeline.engine.memory import MemoryEngine
from pipeline.fleet.tables import ClientRow, HostRow, StoreRow

#: store -> client, name, zone
_STORES = {
    "k-tverskaya": ("kupets", "Тверская, 12", "Europe/Moscow"),
    "k-leninskaya": ("kupets", "Ленинская, 3", "Asia/Kamchatka"),
    "n-main": ("norden", "Main Street", "Europe/Berlin"),
}
_CLIENTS = {
    "kupets": ("Купец", "ru", "Europe/Moscow", "it@kupets.invalid"),
    "norden": ("Norden", "en", "Europe/Berlin", "it@norden.invalid"),
}


@pytest.fixture
def chains(app: Garant) -> Garant:
    """The application with the clients kupets and norden; every host runs 10.4.2."""
    stamp: dict[str, Any] = {"created_at": app.clock(), "updated_at": app.clock()}
    with app.unit("person:test") as unit:
        for client, (name, language, zone, address) in _CLIENTS.items():
            contact = {"name": "Отдел ИТ", "channel": "email", "address": address, "role": "it"}
            unit.session.add(
                ClientRow(
                    id=client,
                    name=name,
                    language=language,
                    zone=zone,
                    tariff="contract",
                    contract="test",
                    contacts=[contact],
                    service_manager=f"manager-{client}@support.invalid",
                    state="active",
                    **stamp,
                )
            )
        unit.session.flush()
        for store, (client, name, zone) in _STORES.items():
            unit.session.add(
                StoreRow(
                    id=store,
                    client_id=client,
                    name=name,
                    zone=zone,
                    windows=[],
                    trading_hours=[],
                    tags=[],
                    state="active",
                    **stamp,
                )
            )
            unit.session.flush()
            for register in (None, 1):
                unit.session.add(
                    HostRow(
                        id=f"{store}-{'server' if register is None else f'r{register}'}",
                        store_id=store,
                        role="server" if register is None else "register",
                        register=register,
                        address="127.0.0.1",
                        port=22,
                        user="root",
                        host_key="ssh-ed25519 AAAA",
                        lan_address=None,
                        jump=None,
                        version="10.4.2",
                        verified_at=app.clock(),
                        state="in-service",
                        **stamp,
                    )
                )
    return app


@pytest.fixture
def run(app: Garant, clock: Any) -> Callable[..., None]:
    """Let the workers work up to an instant that lies ``by`` ahead, stopping at every wake-up on the way."""

    def forward(by: timedelta = timedelta(0)) -> None:
        engine, handler = app.engine, app.dispatcher("test")
        assert isinstance(engine, MemoryEngine)
        end = clock.now + by
        while True:
            engine.run_due(handler)
            coming = engine.next_due()
            if coming is None or coming > end:
                break
            clock.now = coming
        clock.now = end

    return forward
