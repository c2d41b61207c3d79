"""Versions on the Python package index, through pip."""

from __future__ import annotations

import subprocess
from pathlib import Path

from testbench.products.errors import SourceError, VersionError
from testbench.products.interpreters import find_python
from testbench.products.port import Resolved
from testbench.products.versions import in_order, is_prerelease, order


class PyPISource:
    """A package; its releases are those that pip would offer to the interpreter asked for."""

    needs_environment = True

    def __init__(self, name: str, python: str | None) -> None:
        self._name = name
        self._python = python

    def versions(self) -> list[str]:
        """What pip lists, oldest first (no pre-releases, nothing yanked)."""
        command = [str(find_python(self._python)), "-m", "pip", "index", "versions", self._name]
        try:
            result = subprocess.run(
                [*command, "--disable-pip-version-check"],
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
        except subprocess.TimeoutExpired as problem:
            raise SourceError(f"the package index did not answer for {self._name} in 180 s") from problem
        for line in result.stdout.splitlines():
            if line.startswith("Available versions:"):
                names = (name.strip() for name in line.partition(":")[2].split(","))
                return in_order(name for name in names if name and not is_prerelease(name))
        raise SourceError(
            f"pip cannot list the versions of {self._name}: {result.stderr.strip()[-300:]}; "
            "check the name in product.yaml and the way to the package index"
        )

    def resolve(self, asked: str) -> Resolved:
        """The version itself; whether it exists shows when it is installed."""
        if order(asked)[0] == 0 or not asked[:1].isdigit():
            raise VersionError(f"{asked!r} is not a version; {self._name} has versions like 1.2.3")
        return Resolved(asked, asked)

    def fill(self, resolved: Resolved, folder: Path) -> None:
        """Nothing: the build line installs it."""

    def default_build(self) -> tuple[str, ...]:
        """Install into the build's own environment."""
        flags = "--disable-pip-version-check --no-input"
        return (f"{{python}} -m pip install {flags} '{self._name}'=={{version}}",)
