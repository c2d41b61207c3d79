"""SHA256SUMS of a bundle: written once, checked before anything in it is used."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from testbench.errors import TestbenchError

NAME = "SHA256SUMS"
#: What pytest and Python leave beside a test; never part of a bundle.
_CACHES = {"__pycache__", ".pytest_cache"}


class TamperedError(TestbenchError):
    """A bundle is not what was written; the message names the files."""


def write_sums(bundle: Path) -> None:
    """Write the sums of all files (``sha256sum -c SHA256SUMS`` checks them too)."""
    lines = [f"{_digest(bundle / name)}  {name}\n" for name in _files(bundle)]
    (bundle / NAME).write_text("".join(lines), encoding="utf-8")


def check_sums(bundle: Path) -> None:
    """Check that every file is there and as it was written, and that none was added.

    Raises:
        TamperedError: it is not so.
    """
    try:
        listed = (bundle / NAME).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise TamperedError(f"{bundle} has no readable {NAME}: {problem}; ask for the bundle again") from None
    sums = {}
    for line in listed.splitlines():
        found = re.fullmatch(r"([0-9a-f]{64})  (\S.*)", line)
        if not found:
            raise TamperedError(f"{bundle / NAME} has a line that is no sum: {line[:100]!r}")
        sums[found[2]] = found[1]
    present = set(_files(bundle))
    problems = [f"{name} is missing" for name in sorted(sums.keys() - present)]
    problems += [f"{name} was added" for name in sorted(present - sums.keys())]
    problems += [
        f"{name} was changed"
        for name in sorted(sums.keys() & present)
        if _digest(bundle / name) != sums[name]
    ]
    if problems:
        raise TamperedError(
            f"{bundle} is not as it was written: {'; '.join(problems[:5])}; ask for the bundle again"
        )


def _files(bundle: Path) -> list[str]:
    """Names of all files; a link is refused, it could show outside."""
    names = []
    for path in sorted(bundle.rglob("*")):
        name = path.relative_to(bundle)
        if path.is_symlink():
            raise TamperedError(f"{path} is a link; a bundle holds plain files only")
        if path.is_file() and not _CACHES.intersection(name.parts) and name.as_posix() != NAME:
            names.append(name.as_posix())
    return names


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
