"""Collects from many hosts at once; what a host does not give is listed with the reason."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from pipeline.diagnosis.recipe import MAX_STORE_BYTES, plain_text, recipe, version_in
from pipeline.diagnosis.unpacking import unpack
from pipeline.diagnosis.wire import Limits, require_zstd, sent
from pipeline.errors import GarantError, UnavailableError
from pipeline.fleet import ssh
from pipeline.fleet.tables import HostRow

log = logging.getLogger(__name__)

#: Hosts at once: more do not make it faster on two cores (DESIGN section 9).
AT_ONCE = 10


@dataclass(kw_only=True)
class Collected:
    """What one host gave, in memory and not yet masked: nothing of it may be stored as it is."""

    host: str
    role: str
    register: int | None
    files: dict[str, bytes] = field(default_factory=dict)
    missing: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def version(self) -> str | None:
        """The product's version on the host, when it could be read and can be one."""
        return version_in(self.files.get("VERSION", b""))


class Room:
    """Bytes that all hosts of a store may give together: they are in memory until they are masked."""

    def __init__(self, size: int = MAX_STORE_BYTES) -> None:
        self._left = size
        self._lock = threading.Lock()

    def reserve(self, size: int) -> None:
        """Take ``size`` bytes of it; raises UnavailableError when there are not so many left."""
        with self._lock:
            if size > self._left:
                raise UnavailableError("the store's hosts together sent too much: take a shorter window")
            self._left -= size


def collect(
    hosts: Sequence[HostRow],
    *,
    identity: Path,
    python: str,
    seconds: float,
    jumps: Mapping[str, HostRow] | None = None,
    limits: Limits | None = None,
    connect_s: float = ssh.TIMEOUT_S,
    done: Callable[[Collected], None] = lambda _: None,
) -> list[Collected]:
    """Collect from all hosts, ``AT_ONCE`` at a time, in the order given; never raises for what a host does.

    Args:
        identity: the SSH key to log in with.
        python: the interpreter on the hosts.
        seconds: how far back the time in question goes.
        jumps: the hosts that others are reached through, by id.
        limits: of one host.
        connect_s: seconds for each of TCP connect, banner and authentication.
        done: called for each host in order, as soon as it and those before it are finished.

    Raises:
        IdentityError: our key cannot be used; no host was asked.
        GarantError: this machine has no zstd; no host was asked.
    """
    ssh.load_identity(identity)
    require_zstd()
    room = Room()

    def one(host: HostRow) -> Collected:
        result = Collected(host=host.id, role=host.role, register=host.register)
        begun = time.monotonic()
        try:
            with ssh.connect(
                host, identity=identity, timeout_s=connect_s, jump=(jumps or {}).get(host.jump or "")
            ) as client:
                _collect(client, result, python, seconds, limits or Limits(), room)
        except Exception as error:  # whatever a hostile host makes a library raise is that host's matter
            if not isinstance(error, (GarantError, OSError, paramiko.SSHException, EOFError)):
                log.exception("collecting from %s", host.id)
            what = "everything" if not result.files else "the rest"
            reason = plain_text(error, 500) or type(error).__name__
            result.missing.append({"what": what, "reason": reason})
        result.seconds = time.monotonic() - begun
        return result

    results: list[Collected] = []
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="collect") as pool:
        for result in pool.map(one, hosts):
            results.append(result)
            done(result)
    return results


def _collect(
    client: paramiko.SSHClient,
    result: Collected,
    python: str,
    seconds: float,
    limits: Limits,
    room: Room,
) -> None:
    items = recipe(result.role)
    with sent(client, items, python=python, seconds=seconds, limits=limits) as stream:
        unpack(stream, items, result.files, result.missing, reserve=room.reserve)
