"""Finds the Python interpreter that a product asks for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from testbench.products.errors import SourceError


def find_python(version: str | None) -> Path:
    """The interpreter of this minor version ("3.11"); the one that runs the bench when none is asked for.

    Looked for: the running one, ``pythonX.Y`` on the PATH, and pyenv's folder.

    Raises:
        SourceError: there is none; the message says how to get one.
    """
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version is None or version == running:
        # The base interpreter: a virtual environment made from a virtual environment would see its packages.
        base = Path(sys.base_prefix) / "bin" / f"python{running}"
        return base if base.exists() else Path(sys.executable)
    for candidate in _candidates(version):
        if _is(candidate, version):
            return candidate
    raise SourceError(
        f"Python {version} is asked for by product.yaml but not on this machine; install it "
        f"(apt install python{version} python{version}-venv, or: pyenv install {version}) or change `python:`"
    )


def _candidates(version: str) -> Iterator[Path]:
    found = shutil.which(f"python{version}")
    if found:
        yield Path(found)
    yield from sorted(
        Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python{version}"),
        key=lambda path: [int(part) for part in path.parts[-3].split(".") if part.isdigit()],
        reverse=True,
    )


def _is(python: Path, version: str) -> bool:
    """Whether it starts and is this version: pyenv has shims for versions that are switched off, too."""
    probe = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        result = subprocess.run(
            [python, "-I", "-c", probe], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.stdout.strip() == version
