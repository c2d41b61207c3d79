"""Imports a fleet file into the database: all of it in one transaction, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from pipeline.engine.unit import UnitOfWork
from pipeline.fleet import document
from pipeline.fleet.errors import Fault, FleetFileError
from pipeline.fleet.keys import fingerprint
from pipeline.fleet.reading import FleetFile
from pipeline.fleet.rules import nearest, weekly_times
from pipeline.fleet.tables import ClientRow, HostRow, StoreRow

Row = ClientRow | StoreRow | HostRow


@dataclass(kw_only=True)
class ImportResult:
    """What an import did, as ``kind id`` (``host kupets-1-r1``)."""

    created: list[str] = field(default_factory=list)
    #: By ``kind id``: the fields that changed.
    changed: dict[str, list[str]] = field(default_factory=dict)
    unchanged: int = 0
    #: Hosts of the file's stores that the file does not name; they stay unless retired.
    missing: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "created": self.created,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "missing": self.missing,
            "retired": self.retired,
        }


def import_fleet(
    unit: UnitOfWork,
    file: FleetFile,
    *,
    accept_new_keys: Collection[str] = (),
    retire_missing: bool = False,
) -> ImportResult:
    """Bring the database to what the file says of the clients, stores and hosts that it names.

    What the file does not name stays. Importing the same file again changes nothing.

    Args:
        accept_new_keys: hosts whose pinned key may be replaced by the file's; each is an event.
        retire_missing: retire the hosts of a named store that the file does not name.

    Raises:
        FleetFileError: a fault in the file, or against what the database holds (another key, a store of
            another client, a register's number given twice); nothing is imported.
    """
    faults = [*_file_faults(file), *_unknown_accepted(file, accept_new_keys)]
    if faults:
        raise FleetFileError(file.name, sorted(faults, key=lambda f: f.line))
    work = _Import(unit, file, set(accept_new_keys), ImportResult(), retire_missing)
    work.run()
    if work.faults:
        raise FleetFileError(file.name, sorted(work.faults, key=lambda f: f.line))
    unit.session.flush()
    return work.result


def _hosts(
    file: FleetFile,
) -> Iterator[tuple[int, document.Client, document.Store, document.Host]]:
    """Every host with its line."""
    for c, client in enumerate(file.fleet.clients):
        for s, store in enumerate(client.stores):
            for h, host in enumerate(store.hosts):
                yield file.line("clients", c, "stores", s, "hosts", h), client, store, host


def _file_faults(file: FleetFile) -> list[Fault]:
    """What is wrong between the parts of a file."""
    faults: list[Fault] = []
    once = _Once(faults)
    for c, client in enumerate(file.fleet.clients):
        once(file.line("clients", c), "client", client.id)
        for s, store in enumerate(client.stores):
            line = file.line("clients", c, "stores", s)
            once(line, "store", store.id)
            servers = sum(host.role == "server" for host in store.hosts)
            if servers != 1:
                faults.append(
                    Fault(line=line, field="hosts", reason=f"store {store.id} has {servers} servers, not 1")
                )
    for line, _client, store, host in _hosts(file):
        once(line, "host", host.name)
        once(line, "address", f"{host.address} port {host.port} (by way of {host.jump or 'no jump host'})")
        if host.role == "register" and host.register_ is None:
            faults.append(Fault(line=line, field="register", reason=f"register {host.name} needs its number"))
        elif host.role == "server" and host.register_ is not None:
            faults.append(Fault(line=line, field="register", reason=f"server {host.name} has no number"))
        elif host.role == "register":
            once(line, f"register of store {store.id}", str(host.register_))
        if host.jump == host.name:
            faults.append(Fault(line=line, field="jump", reason="a host is not its own jump host"))
    return faults


class _Once:
    """Notes a fault for what is given a second time."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults
        self._first: dict[tuple[str, str], int] = {}

    def __call__(self, line: int, field: str, value: str) -> None:
        first = self._first.get((field, value))
        if first is None:
            self._first[field, value] = line
            return
        self._faults.append(Fault(line=line, field=field, reason=f"{value} is in line {first} already"))


def _unknown_accepted(file: FleetFile, accepted: Collection[str]) -> list[Fault]:
    named = {host.name for _, _, _, host in _hosts(file)}
    faults = []
    for name in sorted(set(accepted) - named):
        near = nearest(name, named)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        faults.append(Fault(line=0, field="--accept-new-key", reason=f"host {name} is not in the file{hint}"))
    return faults


class _Import:
    def __init__(
        self, unit: UnitOfWork, file: FleetFile, accepted: set[str], result: ImportResult, retire: bool
    ) -> None:
        self._unit = unit
        self._file = file
        self._accepted = accepted
        self.result = result
        self._retire = retire
        self.faults: list[Fault] = []

    def run(self) -> None:
        for c, client in enumerate(self._file.fleet.clients):
            self._client(client)
            for s, store in enumerate(client.stores):
                line = self._file.line("clients", c, "stores", s)
                if not self._store(line, client, store):
                    continue
                for h, host in enumerate(store.hosts):
                    self._host(self._file.line("clients", c, "stores", s, "hosts", h), store, host)
        self._unit.session.flush()
        self._after()

    def _client(self, client: document.Client) -> None:
        values: dict[str, Any] = {
            "name": client.name,
            "language": client.language,
            "zone": client.zone,
            "tariff": client.tariff,
            "contract": client.contract,
            "service_manager": client.service_manager,
            "contacts": [contact.model_dump() for contact in client.contacts],
        }
        row = self._unit.session.get(ClientRow, client.id)
        self._apply("client", client.id, row, values, lambda: ClientRow(id=client.id, state="active"))

    def _store(self, line: int, client: document.Client, store: document.Store) -> bool:
        row = self._unit.session.get(StoreRow, store.id)
        if row is not None and row.client_id != client.id:
            reason = f"store {store.id} belongs to client {row.client_id}: give this one another id"
            self.faults.append(Fault(line=line, field="id", reason=reason))
            return False
        values: dict[str, Any] = {
            "client_id": client.id,
            "name": store.name,
            "zone": store.zone or client.zone,
            "windows": [weekly_times(text) for text in store.windows],
            "trading_hours": [weekly_times(text) for text in store.trading_hours],
            "tags": list(store.tags),
        }
        self._apply("store", store.id, row, values, lambda: StoreRow(id=store.id, state="active"))
        return True

    def _host(self, line: int, store: document.Store, host: document.Host) -> None:
        row = self._unit.session.get(HostRow, host.name)
        values: dict[str, Any] = {
            "store_id": store.id,
            "role": host.role,
            "register": host.register_,
            "address": host.address,
            "port": host.port,
            "user": host.user,
            "host_key": host.host_key,
            "lan_address": host.lan_address,
            "jump": host.jump,
        }
        if row is not None and not self._may_replace(line, row, host, store):
            return
        if row is not None and row.state == "retired":
            values["state"] = "unknown"
        self._apply("host", host.name, row, values, lambda: HostRow(id=host.name, state="unknown"))

    def _may_replace(self, line: int, row: HostRow, host: document.Host, store: document.Store) -> bool:
        if row.store_id != store.id and row.state != "retired":
            owner = self._unit.session.get(StoreRow, row.store_id)
            here = self._unit.session.get(StoreRow, store.id)
            if owner is not None and here is not None and owner.client_id != here.client_id:
                reason = (
                    f"{row.id} is a host of store {row.store_id}, another client's: name this one otherwise"
                )
                self.faults.append(Fault(line=line, field="name", reason=reason))
                return False
        if row.host_key == host.host_key:
            return True
        old, new = fingerprint(row.host_key), fingerprint(host.host_key)
        if host.name in self._accepted:
            self._unit.record("host", row.id, "host_key_replaced", before=old, after=new)
            return True
        reason = (
            f"another key ({new}) than the pinned one ({old}) for {row.id}: if the host was really "
            f"replaced, import with `--accept-new-key {row.id}`"
        )
        self.faults.append(Fault(line=line, field="host_key", reason=reason))
        return False

    def _apply(
        self, kind: str, id_: str, row: Row | None, values: dict[str, Any], make: Callable[[], Row]
    ) -> None:
        name, now = f"{kind} {id_}", self._unit.now
        if row is None:
            row = make()
            row.created_at = row.updated_at = now
            for key, value in values.items():
                setattr(row, key, value)
            self._unit.session.add(row)
            self._unit.record(kind, id_, "imported")
            self.result.created.append(name)
            return
        changed = sorted(key for key, value in values.items() if getattr(row, key) != value)
        if not changed:
            self.result.unchanged += 1
            return
        for key in changed:
            setattr(row, key, values[key])
        row.updated_at = now
        self._unit.record(kind, id_, "changed", fields=changed)
        self.result.changed[name] = changed

    def _after(self) -> None:
        """What holds only for the database as a whole, once the file is in it."""
        named = {host.name: line for line, _, _, host in _hosts(self._file)}
        for c, client in enumerate(self._file.fleet.clients):
            for s, store in enumerate(client.stores):
                line = self._file.line("clients", c, "stores", s)
                self._one_store(line, store.id, set(named))
        jumps = [(line, host) for line, _, _, host in _hosts(self._file) if host.jump is not None]
        for line, host in jumps:
            over = self._unit.session.get(HostRow, host.jump)
            if over is None or over.state == "retired":
                self.faults.append(
                    Fault(line=line, field="jump", reason=f"no host {host.jump!r} in the fleet")
                )
            elif over.jump is not None:
                reason = f"{over.id} is itself reached through {over.jump}; one jump at most"
                self.faults.append(Fault(line=line, field="jump", reason=reason))

    def _one_store(self, line: int, store_id: str, named: set[str]) -> None:
        chosen = select(HostRow).where(HostRow.store_id == store_id, HostRow.state != "retired")
        rows = list(self._unit.session.scalars(chosen.order_by(HostRow.id)))
        for row in [row for row in rows if row.id not in named]:
            if self._retire:
                row.state, row.updated_at = "retired", self._unit.now
                self._unit.record("host", row.id, "retired", reason="not in the imported file")
                self.result.retired.append(row.id)
            else:
                self.result.missing.append(row.id)
        taken: dict[tuple[str, int | None], str] = {}
        for row in rows:
            if row.state == "retired":
                continue
            other = taken.setdefault((row.role, row.register), row.id)
            if other != row.id:
                what = f"register {row.register}" if row.role == "register" else "the server"
                reason = (
                    f"{other} and {row.id} would both be {what} of store {store_id}: name the host as it is "
                    "known, or retire the old one (`--retire-missing`)"
                )
                self.faults.append(Fault(line=line, field="hosts", reason=reason))
