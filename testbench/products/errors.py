"""What can go wrong between a product's description and a build of it."""

from __future__ import annotations

from testbench.errors import TestbenchError


class VersionError(TestbenchError):
    """The product has no such version; the message says which there are."""


class SourceError(TestbenchError):
    """The place where the versions are did not answer: a repository, a package index."""


class BuildFailedError(TestbenchError):
    """This version does not build or fails its smoke test: it is untestable, and will be so again."""

    def __init__(self, message: str, *, stage: str) -> None:
        super().__init__(message)
        #: build or smoke
        self.stage = stage


class BuildInfraError(TestbenchError):
    """The machine failed while building (disk full, no index, killed); nothing is remembered."""
