"""The port to the place where development publishes versions."""

from __future__ import annotations

from typing import Protocol


class Publications(Protocol):
    """A repository or a package index, asked over the network."""

    def versions(self) -> dict[str, str]:
        """Release to the exact thing that it names (commit, or the version itself).

        Raises:
            UnavailableError: the place does not answer in time, refuses, or is gone.
        """
