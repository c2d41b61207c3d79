"""Errors of the fleet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import GarantError, RefusedError


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong at one place of a fleet file; ``line`` counts from 1, 0 is the file as a whole."""

    line: int
    field: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"line": self.line, "field": self.field, "reason": self.reason}

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.field}: {self.reason}" if self.field else f"{where}{self.reason}"


class FleetFileError(GarantError):
    """A fleet file has faults; nothing of it was imported."""

    #: More than so many faults are counted, not listed.
    SHOWN = 50

    def __init__(self, name: str, faults: Sequence[Fault]) -> None:
        self.faults = list(faults)
        shown = "\n".join(f"  {fault}" for fault in self.faults[: self.SHOWN])
        more = f"\n  and {len(self.faults) - self.SHOWN} more" if len(self.faults) > self.SHOWN else ""
        count = f"{len(self.faults)} fault{'s' if len(self.faults) != 1 else ''}"
        super().__init__(f"{name}: {count}, nothing was imported\n{shown}{more}")


class HostKeyChangedError(RefusedError):
    """A host shows another key than the pinned one: a new machine, or somebody in between."""

    def __init__(self, host_id: str, *, pinned: str, shown: str) -> None:
        super().__init__(
            f"host {host_id} shows the key {shown}, pinned is {pinned}: refused. If the host was replaced, "
            f"verify its new key on the spot, put it into the fleet file and import that with "
            f"`--accept-new-key {host_id}`"
        )
        self.host_id, self.pinned, self.shown = host_id, pinned, shown


class HostLoginError(RefusedError):
    """The host is the right one, but does not let us in."""


class IdentityError(GarantError):
    """Our own SSH key cannot be used; no host was asked."""
