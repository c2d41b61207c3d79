"""The port to the place where a product's versions are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Resolved:
    """What was asked for, exactly."""

    #: The full commit id (git) or the exact version (package index).
    id: str
    #: The release's name, where it is a release.
    version: str | None


class VersionSource(Protocol):
    """A repository or a package index."""

    #: Whether every build gets a virtual environment of its own, whatever its build lines say.
    needs_environment: bool

    def versions(self) -> list[str]:
        """The releases, oldest first.

        Raises:
            SourceError: the place does not answer.
        """

    def resolve(self, asked: str) -> Resolved:
        """What a tag, commit or version is exactly.

        Raises:
            VersionError: there is no such version.
            SourceError: the place does not answer.
        """

    def fill(self, resolved: Resolved, folder: Path) -> None:
        """Put the sources of that version into the empty ``folder`` (nothing, for a package index).

        Raises:
            SourceError: the place does not answer.
        """

    def default_build(self) -> tuple[str, ...]:
        """The build lines where product.yaml gives none; ``{python}``, ``{version}``, ``{build}`` in them."""
