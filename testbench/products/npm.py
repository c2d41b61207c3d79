"""Versions on the npm registry, through npm."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from testbench.products.errors import SourceError, VersionError
from testbench.products.port import Resolved
from testbench.products.versions import in_order, is_prerelease, order


class NpmSource:
    """A package, installed into ``{build}/node_modules``."""

    needs_environment = False

    def __init__(self, name: str) -> None:
        self._name = name

    def versions(self) -> list[str]:
        """What npm lists, oldest first (no pre-releases)."""
        try:
            result = subprocess.run(
                ["npm", "view", self._name, "versions", "--json"],
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
        except FileNotFoundError as problem:
            raise SourceError("npm is not on this machine; install it (apt install npm)") from problem
        except subprocess.TimeoutExpired as problem:
            raise SourceError(f"the npm registry did not answer for {self._name} in 180 s") from problem
        if result.returncode:
            raise SourceError(f"npm cannot list the versions of {self._name}: {result.stderr.strip()[-300:]}")
        listed = json.loads(result.stdout)
        names = [listed] if isinstance(listed, str) else list(listed)
        return in_order(name for name in names if not is_prerelease(name))

    def resolve(self, asked: str) -> Resolved:
        """The version itself; whether it exists shows when it is installed."""
        if order(asked)[0] == 0 or not asked[:1].isdigit():
            raise VersionError(f"{asked!r} is not a version; {self._name} has versions like 1.2.3")
        return Resolved(asked, asked)

    def fill(self, resolved: Resolved, folder: Path) -> None:
        """Nothing: the build line installs it."""

    def default_build(self) -> tuple[str, ...]:
        """Install without running the package's own scripts."""
        flags = "--ignore-scripts --no-audit --no-fund --no-save"
        return (f"npm install {flags} --prefix {{build}} '{self._name}'@{{version}}",)
