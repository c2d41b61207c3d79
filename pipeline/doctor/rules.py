"""What a finding means; no look at the machine here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """How well something is."""

    OK = "ok"
    REDUCED = "reduced"  # something works less well, or not at all, but the rest goes on
    MISSING = "missing"  # Garant cannot do its main work without it


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at."""

    name: str
    state: State
    detail: str
    #: The command or the change that brings it; empty when all is well.
    action: str = ""

    def as_json(self) -> dict[str, str]:
        """For programs."""
        return {"name": self.name, "state": self.state, "detail": self.detail, "action": self.action}


#: Program -> the Debian package that brings it, what needs it, and whether the main work needs it.
PROGRAMS: tuple[tuple[str, str, str, bool], ...] = (
    ("git", "git", "the product's history, builds and bisection", True),
    ("ssh", "openssh-client", "Ansible reaches the stores by it", True),
    ("ssh-keygen", "openssh-client", "signatures of releases", True),
    ("zstd", "zstd", "update packages", True),
    ("sshd", "openssh-server", "local stores: every host runs one", False),
    ("ip", "iproute2", "local stores: their networks", False),
    ("nft", "nftables", "local stores: cutting them off", False),
    ("unshare", "util-linux", "local stores: their namespaces", False),
    ("runsvdir", "runit", "local stores of an ordinary user", False),
    ("newuidmap", "uidmap", "local stores of an ordinary user", False),
)


def program(name: str, path: str | None) -> Finding:
    """The finding for one of ``PROGRAMS``, by where it was found (None: nowhere)."""
    _, package, reason, essential = next(row for row in PROGRAMS if row[0] == name)
    if path is not None:
        return Finding(name=name, state=State.OK, detail=path)
    state = State.MISSING if essential else State.REDUCED
    return Finding(
        name=name, state=state, detail=f"not found; {reason}", action=f"apt-get install {package}   (as root)"
    )


def python(version: tuple[int, int]) -> Finding:
    """Whether this interpreter is one that Garant is made for (3.11 to 3.13)."""
    text = ".".join(map(str, version))
    if (3, 11) <= version <= (3, 13):
        return Finding(name="python", state=State.OK, detail=text)
    return Finding(
        name="python",
        state=State.MISSING,
        detail=f"{text}; Garant is made for 3.11 to 3.13",
        action="make clean && make setup PYTHON=python3.11",
    )


def room(name: str, what: str, free_bytes: int, wanted_bytes: int) -> Finding:
    """Whether there is room enough (memory, disk)."""
    free, wanted = free_bytes / 2**30, wanted_bytes / 2**30
    if free_bytes >= wanted_bytes:
        return Finding(name=name, state=State.OK, detail=f"{free:.1f} GiB free on {what}")
    return Finding(
        name=name,
        state=State.REDUCED,
        detail=f"{free:.1f} GiB free on {what}; {wanted:.1f} are wanted",
        action="free some room, or take fewer stores: garant demo --stores 1 --registers 2",
    )


def identity(file: Path, found: bool) -> Finding:
    """Whether the key is there with which stores are reached."""
    if found:
        return Finding(name="ssh identity", state=State.OK, detail=str(file))
    return Finding(
        name="ssh identity",
        state=State.REDUCED,
        detail=f"no key at {file}; stores are reached by it",
        action=f"ssh-keygen -t ed25519 -N '' -f {file}   (or set `ssh_identity` in garant.yaml)",
    )


def product(file: Path | None, found: bool) -> Finding:
    """Whether the bench knows the product that the stores run."""
    if file is not None and found:
        return Finding(name="product", state=State.OK, detail=str(file))
    return Finding(
        name="product",
        state=State.REDUCED,
        detail=f"{file} does not exist" if file else "none is set; nothing can be reproduced or released",
        action="set `product: PATH of product.yaml` in garant.yaml",
    )


def revision(at: str | None, newest: str | None) -> Finding:
    """Whether the database has the newest tables."""
    if at == newest:
        return Finding(name="database", state=State.OK, detail=f"at revision {at}")
    return Finding(
        name="database",
        state=State.MISSING,
        detail=f"at revision {at or 'none'}, this version needs {newest}",
        action="garant db upgrade",
    )


def overall(findings: Iterable[Finding]) -> State:
    """The worst of them."""
    states = {finding.state for finding in findings}
    return next((state for state in (State.MISSING, State.REDUCED) if state in states), State.OK)
