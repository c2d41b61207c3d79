"""The fleet as Ansible sees it (its dynamic inventory's JSON)."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.errors import GarantError
from pipeline.fleet.service import ssh_known_hosts
from pipeline.fleet.tables import ClientRow, HostRow, StoreRow
from pipeline.settings import Settings

#: Of OpenSSH on the controller: only the pinned keys, only our identity, no key learnt, no question asked.
_SSH_OPTIONS = (
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "HostKeyAlgorithms=ssh-ed25519",
    "IdentitiesOnly=yes",
)


def write_known_hosts(session: Session, folder: Path) -> Path:
    """Write the pinned keys of the whole fleet to ``known_hosts`` in the folder, atomically; returns it."""
    path = folder / "known_hosts"
    text = ssh_known_hosts(session, session.scalars(select(HostRow).where(HostRow.state != "retired")))
    if path.exists() and path.read_text(encoding="ascii") == text:
        return path
    handle, name = tempfile.mkstemp(dir=folder, prefix=".known_hosts-")
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
    os.replace(name, path)
    return path


def inventory(
    session: Session, settings: Settings, *, known_hosts: Path, stores: Iterable[str] | None = None
) -> dict[str, Any]:
    """Groups and host variables in the form of ``ansible-inventory --list``.

    Groups: ``client_<id>``, ``store_<id>`` (hyphens become underscores), ``role_server``,
    ``role_register``. Retired hosts are left out.

    Args:
        known_hosts: the file of pinned keys, see ``write_known_hosts``.
        stores: only these stores; None for all.

    Raises:
        GarantError: the settings name no SSH identity.
    """
    if settings.ssh_identity is None:
        raise GarantError(
            f"no SSH identity: set `ssh_identity: /path/to/key` in {settings.home / 'garant.yaml'}"
        )
    chosen = (
        select(HostRow, StoreRow, ClientRow)
        .join(StoreRow, StoreRow.id == HostRow.store_id)
        .join(ClientRow, ClientRow.id == StoreRow.client_id)
        .where(HostRow.state != "retired", StoreRow.state != "retired")
        .order_by(HostRow.id)
    )
    if stores is not None:
        chosen = chosen.where(StoreRow.id.in_(list(stores)))
    rows = [(host, store, client) for host, store, client in session.execute(chosen)]
    hosts = {host.id: host for host in session.scalars(select(HostRow))}
    lan = {h.store_id: h.lan_address or h.address for h, _, _ in rows if h.role == "server"}
    groups: dict[str, list[str]] = {}
    hostvars: dict[str, dict[str, Any]] = {}
    for host, store, client in rows:
        for name in (f"client_{client.id}", f"store_{store.id}", f"role_{host.role}"):
            groups.setdefault(name.replace("-", "_"), []).append(host.id)
        hostvars[host.id] = {
            **_connection(host, hosts, settings, known_hosts),
            "set_client": client.id,
            "set_store": store.id,
            "set_role": host.role,
            "set_register": host.register,
            "set_server_lan": lan.get(store.id),
        }
    return {
        "_meta": {"hostvars": hostvars},
        "all": {"children": ["ungrouped", *sorted(groups)]},
        **{name: {"hosts": members} for name, members in sorted(groups.items())},
    }


def _connection(
    host: HostRow, hosts: Mapping[str, HostRow], settings: Settings, known_hosts: Path
) -> dict[str, Any]:
    # OpenSSH splits this option's value at blanks unless it is quoted within.
    options = [*_SSH_OPTIONS, f'UserKnownHostsFile="{known_hosts}"']
    if host.jump is not None:
        over = hosts[host.jump]
        proxy = ["ssh", "-F", "none", "-i", str(settings.ssh_identity), "-W", "%h:%p", "-p", str(over.port)]
        proxy += [part for option in options for part in ("-o", option)] + [f"{over.user}@{over.address}"]
        options.append(f"ProxyCommand={shlex.join(proxy)}")
    return {
        "ansible_host": host.address,
        "ansible_port": host.port,
        "ansible_user": host.user,
        "ansible_python_interpreter": settings.host_python,
        "ansible_ssh_private_key_file": str(settings.ssh_identity),
        "ansible_ssh_common_args": shlex.join(part for option in options for part in ("-o", option)),
    }
