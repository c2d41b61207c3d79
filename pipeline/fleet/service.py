"""The fleet's use cases and readings. Importing a file is in ``importer``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.engine.unit import UnitOfWork
from pipeline.errors import NotFoundError, RefusedError
from pipeline.fleet.rules import Eligibility, eligibility, unknown
from pipeline.fleet.tables import ClientRow, HostRow, StoreRow

#: What a host's state may be. Down and unknown both count against a store's budget (DESIGN section 5).
HOST_STATES = ("in-service", "down", "unknown", "retired")


def client(session: Session, client_id: str) -> ClientRow:
    """The client.

    Raises:
        NotFoundError: there is none; near names are given.
    """
    row = session.get(ClientRow, client_id)
    if row is None:
        known = session.scalars(select(ClientRow.id))
        raise NotFoundError(unknown("client", client_id, known, "garant fleet list"))
    return row


def store(session: Session, store_id: str) -> StoreRow:
    """The store.

    Raises:
        NotFoundError: there is none; near names are given.
    """
    row = session.get(StoreRow, store_id)
    if row is None:
        known = session.scalars(select(StoreRow.id))
        raise NotFoundError(unknown("store", store_id, known, "garant fleet list"))
    return row


def host(session: Session, host_id: str) -> HostRow:
    """The host, also a retired one.

    Raises:
        NotFoundError: there is none; near names are given.
    """
    row = session.get(HostRow, host_id)
    if row is None:
        known = session.scalars(select(HostRow.id))
        raise NotFoundError(unknown("host", host_id, known, "garant fleet show STORE"))
    return row


def clients(session: Session) -> list[ClientRow]:
    """All clients by id."""
    return list(session.scalars(select(ClientRow).order_by(ClientRow.id)))


def stores_of_client(session: Session, client_id: str) -> list[StoreRow]:
    """A client's stores by id; retired ones are left out.

    Raises:
        NotFoundError: there is no such client.
    """
    client(session, client_id)
    chosen = select(StoreRow).where(StoreRow.client_id == client_id, StoreRow.state != "retired")
    return list(session.scalars(chosen.order_by(StoreRow.id)))


def hosts_of_store(session: Session, store_id: str) -> list[HostRow]:
    """A store's hosts: the server first, then the registers by number; retired ones are left out.

    Raises:
        NotFoundError: there is no such store.
    """
    store(session, store_id)
    chosen = select(HostRow).where(HostRow.store_id == store_id, HostRow.state != "retired")
    return sorted(session.scalars(chosen), key=lambda row: (row.role != "server", row.register or 0, row.id))


def registers_of_client(session: Session, client_id: str) -> int:
    """How many registers a client has over all its stores."""
    chosen = (
        select(func.count())
        .select_from(HostRow)
        .join(StoreRow, StoreRow.id == HostRow.store_id)
        .where(
            StoreRow.client_id == client_id,
            StoreRow.state != "retired",
            HostRow.role == "register",
            HostRow.state != "retired",
        )
    )
    return session.scalar(chosen) or 0


def client_eligibility(session: Session, client_id: str) -> Eligibility:
    """Whether the tariff's terms apply to the client today, and why.

    Raises:
        NotFoundError: there is no such client.
    """
    return eligibility(client(session, client_id).tariff, registers_of_client(session, client_id))


def record_version(unit: UnitOfWork, host_id: str, version: str, verified_at: datetime) -> None:
    """The product's version was seen on the host itself, at the instant given (aware).

    An older sight than the one recorded is not taken. An event is written only when the version changed.

    Raises:
        NotFoundError: there is no such host.
    """
    row = unit.get(HostRow, host_id, called="host")
    if row.verified_at is not None and verified_at < row.verified_at:
        return
    before, row.version, row.verified_at, row.updated_at = row.version, version, verified_at, unit.now
    if before != version:
        unit.record("host", host_id, "version_verified", before=before, version=version)


def record_health(unit: UnitOfWork, host_id: str, state: str) -> None:
    """The host is in service, down, or nobody knows. An event is written only on change.

    Raises:
        NotFoundError: there is no such host.
        RefusedError: there is no such state, or the host is retired.
    """
    if state not in HOST_STATES or state == "retired":
        raise RefusedError(f"host {host_id}: no state {state!r}; there are in-service, down, unknown")
    row = unit.get(HostRow, host_id, called="host")
    if row.state == "retired":
        raise RefusedError(f"host {host_id} is retired: import it again before recording its health")
    if row.state != state:
        before, row.state, row.updated_at = row.state, state, unit.now
        unit.record("host", host_id, "health_changed", before=before, state=state)


def known_hosts_name(address: str, port: int) -> str:
    """How OpenSSH writes an address in known_hosts: bare at port 22, else ``[address]:port``."""
    return address if port == 22 else f"[{address}]:{port}"


def ssh_known_hosts(session: Session, hosts: Iterable[HostRow]) -> str:
    """The pinned keys of the hosts, and of the hosts that they are reached through, as known_hosts text.

    Raises:
        NotFoundError: a host's jump host is not in the fleet.
    """
    wanted: dict[str, HostRow] = {}
    for row in hosts:
        wanted[row.id] = row
        if row.jump is not None:
            wanted[row.jump] = host(session, row.jump)
    lines = [f"{known_hosts_name(row.address, row.port)} {row.host_key}" for row in wanted.values()]
    return "".join(f"{line}\n" for line in sorted(set(lines)))
