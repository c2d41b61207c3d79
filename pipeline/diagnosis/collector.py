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

from pipeline.diagnosis import by_shell
from pipeline.diagnosis.bandwidth import TokenBucket
from pipeline.diagnosis.errors import LinkError
from pipeline.diagnosis.recipe import MAX_STORE_BYTES, Recipe, item_of, plain_text, version_in
from pipeline.diagnosis.recipe_file import default_recipe
from pipeline.diagnosis.unpacking import Progress, unpack
from pipeline.diagnosis.wire import Limits, NoPythonError, Order, require_zstd, sent
from pipeline.errors import GarantError, UnavailableError
from pipeline.fleet import ssh
from pipeline.fleet.tables import HostRow

log = logging.getLogger(__name__)

#: Hosts at once: more do not make it faster on two cores (DESIGN section 9).
AT_ONCE = 10
#: Tries in a row that may bring nothing new before a link that answers is given up all the same.
BARREN_TRIES = 3
#: Waits between tries to reach a host whose link broke (seconds); the last one repeats.
WAITS_S = (0.5, 1.0, 2.0, 5.0)
#: How much of a limited bandwidth may be saved up (seconds of it).
_BURST_S = 0.25


@dataclass(kw_only=True)
class Collected:
    """What one host gave, in memory and not yet masked: nothing of it may be stored as it is.

    ``address`` is where that was; ``tries`` how often it was connected to: again whenever its link broke.
    """

    host: str
    role: str
    register: int | None
    files: dict[str, bytes] = field(default_factory=dict)
    missing: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    tries: int = 0
    address: str = ""

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
        """Take ``size`` bytes of it, or give some back (a negative size).

        Raises:
            UnavailableError: there are not so many left.
        """
        with self._lock:
            if size > self._left:
                raise UnavailableError("the store's hosts together sent too much: take a shorter window")
            self._left -= size


class Throttle:
    """Keeps a store's link below a rate: all its hosts together, for they share it."""

    def __init__(
        self,
        rate: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Args: rate: bytes a second; None for no limit."""
        self.rate = rate
        self._bucket = TokenBucket(rate, rate * _BURST_S) if rate is not None else None
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()

    def taken(self, size: int) -> None:
        """So many bytes came: wait until more may."""
        if self._bucket is None:
            return
        with self._lock:
            wait = self._bucket.take(size, self._clock())
        if wait > 0:
            self._sleep(wait)


@dataclass(frozen=True, kw_only=True)
class How:
    """How a store is collected from.

    Attributes:
        recipe: what is collected.
        python: the interpreter on the hosts; those without it are asked by their shell.
        since_s: how far back the time in question begins (seconds before now).
        until_s: how far back it ends.
        share: of one processor that the collection may take on a host.
        throttle: of the store's link.
        limits: of one host.
        at_once: hosts that are asked at the same time.
        connect_s: seconds for each of TCP connect, banner and authentication.
    """

    since_s: float
    until_s: float = 0.0
    python: str = "/usr/bin/python3"
    recipe: Recipe = field(default_factory=default_recipe)
    share: float = 0.25
    throttle: Throttle = field(default_factory=lambda: Throttle(None))
    limits: Limits = field(default_factory=Limits)
    at_once: int = AT_ONCE
    connect_s: float = ssh.TIMEOUT_S

    def order(self, role: str) -> Order:
        """What is asked of a host of this role."""
        return Order(
            items=self.recipe.items(role),
            python=self.python,
            since_s=self.since_s,
            until_s=self.until_s,
            share=self.share,
            rate=self.throttle.rate,
            taken=self.throttle.taken,
        )


def collect(
    hosts: Sequence[HostRow],
    how: How,
    *,
    identity: Path,
    jumps: Mapping[str, HostRow] | None = None,
    done: Callable[[Collected], None] = lambda _: None,
) -> list[Collected]:
    """Collect from all hosts, some at a time, in the order given; never raises for what a host does.

    Args:
        identity: the SSH key to log in with.
        jumps: the hosts that others are reached through, by id.
        done: called for each host in order, as soon as it and those before it are finished.

    Raises:
        IdentityError: our key cannot be used; no host was asked.
        GarantError: this machine has no zstd; no host was asked.
    """
    ssh.load_identity(identity)
    require_zstd()
    room = Room()

    def one(host: HostRow) -> Collected:
        where = f"{host.address} port {host.port}" + (f" through {host.jump}" if host.jump else "")
        result = Collected(host=host.id, role=host.role, register=host.register, address=where)
        begun = time.monotonic()
        try:
            _Host(host, (jumps or {}).get(host.jump or ""), identity, how, room, result).collect()
        except Exception as error:  # whatever a hostile host makes a library raise is that host's matter
            if not isinstance(error, (GarantError, OSError, paramiko.SSHException, EOFError)):
                log.exception("collecting from %s", host.id)
            what = "everything" if not result.files else "the rest"
            reason = plain_text(error, 500) or type(error).__name__
            result.missing.append({"what": what, "reason": reason})
        result.seconds = time.monotonic() - begun
        return result

    results: list[Collected] = []
    with ThreadPoolExecutor(how.at_once, thread_name_prefix="collect") as pool:
        for result in pool.map(one, hosts):
            results.append(result)
            done(result)
    return results


class _Host:
    """One host's collection: connected to again, where it stopped, when its link breaks."""

    def __init__(
        self,
        host: HostRow,
        jump: HostRow | None,
        identity: Path,
        how: How,
        room: Room,
        result: Collected,
    ) -> None:
        self._host, self._jump, self._identity, self._how = host, jump, identity, how
        self._room, self._result = room, result
        self._order = how.order(host.role)
        self._by_shell = False
        self._progress = Progress()

    def collect(self) -> None:
        """Fill the result; raises what could not be overcome."""
        heard, barren, wait = time.monotonic(), 0, 0
        while True:
            before = self._came()
            try:
                self._once()
                return
            except LinkError as error:
                reason = error
                fresh = self._came() > before
                barren = 0 if fresh else barren + 1
            except UnavailableError as error:
                if not self._came() or self._result.tries == 0:
                    raise  # it never answered: nobody waits for a store that is off
                if not isinstance(error.__cause__, (OSError, EOFError, paramiko.SSHException)):
                    raise
                reason, fresh = LinkError(str(error)), False
            if fresh:
                heard, wait = time.monotonic(), 0
            gone_s = time.monotonic() - heard
            if not self._came() or barren >= BARREN_TRIES or gone_s > self._how.limits.patience_s:
                self._keep_what_came()
                raise reason
            time.sleep(WAITS_S[min(wait, len(WAITS_S) - 1)])
            wait += 1

    def _once(self) -> None:
        with ssh.connect(
            self._host, identity=self._identity, timeout_s=self._how.connect_s, jump=self._jump
        ) as client:
            self._result.tries += 1
            if not self._by_shell:
                try:
                    self._ask(client)
                    return
                except NoPythonError:
                    self._by_shell = True
        if self._by_shell:
            with ssh.connect(
                self._host, identity=self._identity, timeout_s=self._how.connect_s, jump=self._jump
            ) as client:
                by_shell.ask(
                    client,
                    self._order,
                    self._how.limits,
                    self._result.files,
                    self._result.missing,
                    self._progress,
                    self._room.reserve,
                )

    def _ask(self, client: paramiko.SSHClient) -> None:
        files = self._result.files
        with sent(
            client,
            self._order,
            limits=self._how.limits,
            have=tuple(files),
            progress=self._progress,
        ) as stream:
            unpack(
                stream,
                self._order.items,
                files,
                self._result.missing,
                reserve=self._room.reserve,
                progress=self._progress,
            )

    def _came(self) -> int:
        return sum(len(content) for content in self._result.files.values()) + len(self._progress.data)

    def _keep_what_came(self) -> None:
        """Of a text that grows at its end the whole lines that came are evidence too."""
        name, data = self._progress.name, bytes(self._progress.data)
        item = item_of(name, self._order.items) if name is not None else None
        lines = data[: data.rfind(b"\n") + 1]
        if name is None or item is None or not item.tail or not lines or name in self._result.files:
            return
        self._result.files[name] = lines
        self._result.missing.append(
            {"what": f"the end of {name}", "reason": f"the link broke after {len(lines)} bytes"}
        )
