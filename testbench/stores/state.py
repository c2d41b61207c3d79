"""What is remembered between commands: the state directory of a fleet and the machine's register of fleets.

Everything is written down before it is made, so that ``down`` finds it after a kill -9 of its maker.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from testbench.stores.errors import StateError
from testbench.stores.network import index_is_taken
from testbench.stores.rules import FLEETS, FleetSite, Mode, StorePlan, fleet_network, on_loopback, place

REGISTER = Path("/run/garant-stores")
LOCK_WAIT_S = 15.0
#: systemd holds a few inotify instances a host, and the kernel's limit (128) counts all hosts as one user.
WANTED_SYSCTLS = {"fs/inotify/max_user_instances": 8192}
_OURS = ("fleet.json", "fleet.json.new", "ssh", "hosts", "netns", "register", "lock")


def default_state_dir() -> Path:
    """Where the fleet is kept without --state-dir: /run for root, $XDG_STATE_HOME for others."""
    if os.geteuid() == 0 and not in_user_namespace():
        return Path("/run/garant/stores")
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(base) / "garant/stores"


def in_user_namespace() -> bool:
    """True when root here is not root of the machine."""
    with contextlib.suppress(OSError):
        return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]
    return False


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[int]:
    """Hold an exclusive lock on the file ``path``; yields its descriptor, which children may keep.

    A child that inherits the descriptor holds the lock after its parent was killed: so ``down`` never runs
    beside a launcher that is still making things.

    Raises:
        StateError: somebody else held it for LOCK_WAIT_S seconds.

    """
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before us may have removed the file: then this lock guards nothing.
            if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                break
        except BlockingIOError:
            pass
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise StateError(
                f"{what} is being changed by another `testbench stores` command; try again when it is done"
            )
        time.sleep(0.02)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The intent of one ``up``: enough to work with the stores and to remove every trace of them."""

    mode: Mode
    index: int
    plans: tuple[StorePlan, ...]
    #: The cgroup that holds the hosts' cgroups; None when there is none.
    cgroup: str | None
    #: Plain mode: TCP ports of the hosts' sshd, by host name.
    ports: dict[str, int]

    @property
    def site(self) -> FleetSite:
        """Addresses of everything."""
        site = place(self.plans, self.index)
        return on_loopback(site, self.ports) if self.mode == "plain" else site


class StateDir:
    """The state directory of one fleet."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.fleet_file = self.path / "fleet.json"
        self.netns = self.path / "netns"
        self.hosts = self.path / "hosts"
        self.ssh = self.path / "ssh"
        self.holder = self.path / "holder"

    def root(self, host: str) -> Path:
        """Where the host's disk is mounted."""
        return self.hosts / host / "root"

    def console(self, host: str) -> Path:
        """What the host's PID 1 and its supervisor said."""
        return self.hosts / host / "console.log"

    def pid_file(self, host: str) -> Path:
        """Number and start time of the host's PID 1."""
        return self.hosts / host / "pid"

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Exclusive use of this fleet; makes the directory. Raises StateError when it is in use."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self.path / "lock", f"the fleet in {self.path}") as descriptor:
                yield descriptor
        except PermissionError as fault:
            raise StateError(
                f"{self.path}: permission denied; give a folder of your own with --state-dir"
            ) from fault

    def write(self, fleet: Fleet) -> None:
        """Write the intent down."""
        data = asdict(fleet)
        for plan in data["plans"]:
            plan["product"] = str(plan["product"]) if plan["product"] else None
        draft = self.path / "fleet.json.new"
        draft.write_text(json.dumps({"schema": 1, **data}, indent=1))
        os.replace(draft, self.fleet_file)

    def read(self) -> Fleet | None:
        """The fleet of this directory; None: there is none. Raises StateError when the file is damaged."""
        try:
            data: dict[str, Any] = json.loads(self.fleet_file.read_text())
            plans = []
            for plan in data["plans"]:
                plan["product"] = Path(plan["product"]) if plan["product"] else None
                plans.append(StorePlan(**plan))
            return Fleet(
                mode=data["mode"],
                index=data["index"],
                plans=tuple(plans),
                cgroup=data["cgroup"],
                ports=data["ports"],
            )
        except FileNotFoundError:
            return None
        except PermissionError as fault:
            raise StateError(
                f"{self.path} belongs to another user: run it as that user, or as root"
            ) from fault
        except (ValueError, KeyError, TypeError) as fault:
            raise StateError(
                f"{self.fleet_file} is damaged ({fault}); run `testbench stores down --state-dir {self.path}`"
            ) from fault

    def remove(self) -> None:
        """Remove what ``up`` put here, and the directory itself when nothing else is in it."""
        # From inside a user namespace the holder's note stays: only its user outside can end the holder.
        for name in (*_OURS, *(() if in_user_namespace() else ("holder",))):
            path = self.path / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()
            if self.path == default_state_dir():
                self.path.parent.rmdir()


class Register:
    """Which fleet index belongs to which state directory on this machine, and the settings changed for all.

    One folder with an entry per fleet. The last fleet to go puts the settings back.
    """

    def __init__(
        self,
        folder: Path = REGISTER,
        settings: Path = Path("/proc/sys"),
        in_use: Callable[[int, str], str | None] = index_is_taken,
    ) -> None:
        self.folder = folder
        self._in_use = in_use
        self._settings = settings
        self._changed = folder / "sysctls.json"

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock", "the register of fleets"):
            yield

    def _entries(self) -> dict[int, str]:
        entries = {}
        for path in self.folder.glob("fleet-*.json"):
            with contextlib.suppress(ValueError):
                entries[int(path.stem.removeprefix("fleet-"))] = str(
                    json.loads(path.read_text())["state_dir"]
                )
        return entries

    def index_of(self, state_dir: Path) -> int | None:
        """The index given to this state directory, or None."""
        for index, owner in self._entries().items():
            if owner == str(state_dir):
                return index
        return None

    def take(self, state_dir: Path) -> int:
        """Give the directory a free index.

        Raises:
            StateError: every index is in use; the message names by whom.

        """
        with self._held():
            entries = self._entries()
            reasons = []
            for index in range(FLEETS):
                network = str(fleet_network(index))
                reason = entries.get(index) or self._in_use(index, network)
                if reason is None:
                    entry = self.folder / f"fleet-{index}.json"
                    entry.write_text(json.dumps({"state_dir": str(state_dir), "made_by": os.getpid()}))
                    return index
                reasons.append(f"{network}: {reason}")
        raise StateError(
            f"all {FLEETS} fleet ranges of this machine are in use ({'; '.join(reasons[:3])}; ...): "
            "take one down with `testbench stores down --state-dir ...`"
        )

    def raise_settings(self) -> None:
        """Raise the kernel settings that many hosts need; the value before is written down first."""
        with self._held():
            changed = self._read_changed()
            for name, wanted in WANTED_SYSCTLS.items():
                path = self._settings / name
                value = int(path.read_text())
                if value < wanted:
                    changed.setdefault(name, value)
                    self._changed.write_text(json.dumps(changed))
                    path.write_text(str(wanted))

    def _read_changed(self) -> dict[str, int]:
        try:
            return dict(json.loads(self._changed.read_text()))
        except (OSError, ValueError):
            return {}

    def release(self, index: int) -> None:
        """Give the index back; the last one restores the settings and removes the register."""
        with self._held():
            (self.folder / f"fleet-{index}.json").unlink(missing_ok=True)
            if self._entries():
                return
            for name, value in self._read_changed().items():
                path = self._settings / name
                # Somebody who set it to another value since then means that value.
                if int(path.read_text()) == WANTED_SYSCTLS[name]:
                    path.write_text(str(value))
            self._changed.unlink(missing_ok=True)
            (self.folder / "lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def register_for(state_dir: Path) -> Register:
    """The machine's register; inside a user namespace the fleet is alone and keeps its own."""
    return Register(state_dir / "register") if in_user_namespace() else Register()
