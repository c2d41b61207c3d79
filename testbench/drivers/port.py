"""The port between the engine and what plays a scenario.

The engine (verdicts, minimisation, bisection, bundles) knows only these types. A driver is a module or
package under ``testbench.drivers`` with a function ``driver() -> Driver``; ``testbench.drivers.registry``
finds it by the name in product.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from testbench.outcomes import Outcome


@dataclass(frozen=True, kw_only=True)
class Build:
    """One version of a product, built and ready to be started; shared by all runs, so never written to."""

    product: str
    #: What was asked for: a tag, a commit, a version.
    asked: str
    #: What that is: the full commit id (git) or the exact version (package index).
    resolved: str
    #: The folder that holds the build.
    path: Path
    #: The interpreter that goes with the build (its own virtual environment where it has one).
    python: Path
    #: The release's name where ``resolved`` is a tagged commit or a package version, else None.
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one run may use; a driver ends the run and everything it started when a limit is reached."""

    #: Wall time of the whole run in seconds; a scenario may ask for less, never for more.
    seconds: float = 120.0
    #: Memory of all its processes together, and so of each, in bytes.
    memory_bytes: int = 2 * 1024**3
    #: Everything in the run's workspace together, in bytes.
    disk_bytes: int = 2 * 1024**3
    #: Size of any one file that the run writes, in bytes.
    file_bytes: int = 1024**3


class Layer(IntEnum):
    """The order in which a scenario is made smaller: events, then the data that they use, then settings."""

    EVENTS = 0
    DATA = 1
    CONFIGURATION = 2


@dataclass(frozen=True)
class Element:
    """One thing that can be left out of a scenario."""

    #: For people: "receipt.add 4600000000015", "good 4600000000015".
    label: str
    #: Elements of one unit (a shift, a receipt, a packet) are dropped together first.
    unit: str
    layer: Layer = Layer.EVENTS


class PlayedScenario(Protocol):
    """A scenario as its driver has loaded it; immutable."""

    @property
    def name(self) -> str:
        """A short name for reports: the file's or folder's name, or the title that it gives itself."""

    @property
    def size(self) -> int:
        """How many events (elements) one run replays."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of everything that decides how it plays; equal content gives an equal digest."""


S = TypeVar("S", bound=PlayedScenario)
S_co = TypeVar("S_co", bound=PlayedScenario, covariant=True)


class Reducible(Protocol[S_co]):
    """What of a scenario may be left out."""

    @property
    def elements(self) -> Sequence[Element]:
        """Everything that may be left out, in playing order; elements of a unit need not be neighbours."""

    def keep(self, indices: Sequence[int]) -> S_co:
        """The scenario with only these elements (ascending indices into ``elements``).

        Must not fail for any subset: what has become impossible is skipped when it is played.
        """


@runtime_checkable
class Suspecting(Protocol):
    """A reducible that can tell from a failure which elements have to do with it."""

    def suspected(self, outcome: Outcome) -> Sequence[Sequence[int]]:
        """Guesses at what is enough to fail like ``outcome`` (ascending indices), the smallest first.

        Each is tried before the search, which starts from the first that fails; a wrong guess costs one
        question and never changes what "smallest" means.
        """


class Driver(Protocol[S]):
    """Plays scenarios of one kind on builds of any product that works in this way."""

    def load(self, path: Path) -> S:
        """Read a scenario file, or the folder that holds one (a bundle's ``scenario/`` too).

        Raises:
            UsageError: it cannot be read or is not valid; the message names the file, the field and what is
                allowed.
        """

    def play(self, build: Build, scenario: S, workspace: Path, limits: Limits, right: Any = None) -> Outcome:
        """Play it once on ``build``; ``workspace`` is an empty folder of this run only.

        ``right`` is what ``observe`` gave for the version that is taken to be right: what differs from it is
        a failure too (the differential oracle). None: there is no such version.

        Never raises for what the product does: a failure of the product is ``bad``, a build that cannot be
        tested ``untestable``, a failure of the bench ``infra``. Ends every process that it started. ``bad``
        carries the signature, and what was expected and seen; the engine decides whether it is the failure
        looked for. What is worth keeping (logs, observations) is left in ``workspace``.
        """

    def observe(self, build: Build, scenario: S, workspace: Path, limits: Limits) -> Any:
        """Play it once without judging, for ``right``; None when the build cannot be played."""

    def against(self, scenario: S) -> str | None:
        """The version that the scenario itself takes to be right; None when it names none."""

    def reducible(self, scenario: S) -> Reducible[S] | None:
        """What may be left out of it, or None when it says nothing about that."""

    def write(self, scenario: S, target: Path) -> None:
        """Write it into the empty folder ``target`` so that ``load(target)`` gives an equal scenario.

        Only what the scenario needs goes there; nothing may refer to a path outside ``target``.
        """
