"""How long work tells where it is; the command line draws it, a service may store it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One sign of life of a running use case."""

    #: build, run, minimise, bisect, confirm, verify, ...
    phase: str
    #: For people: what is being done now.
    text: str
    #: How much is done, in the phase's own units, and how much there is at most; None when nobody knows.
    done: int | None = None
    total: int | None = None


Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """Tells nobody."""
