"""Comparing versions of the product: dotted numbers (SET-INTERFACES 1.1). Pure."""

from __future__ import annotations

import re

_VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,7}")


def version_key(version: str) -> tuple[int, ...]:
    """A key that orders versions; missing components count as zero (10.4 = 10.4.0.0).

    Raises:
        ValueError: the text is not a dotted number.
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(f"version {version!r} is not a dotted number such as 10.4.24.0")
    parts = [int(part) for part in version.split(".")]
    return tuple(parts + [0] * (8 - len(parts)))


def at_least(version: str | None, wanted: str) -> bool:
    """Whether the version (None: not known) is the wanted one or a newer one."""
    return version is not None and version_key(version) >= version_key(wanted)


def above(version: str | None, limit: str) -> bool:
    """Whether the version (None: not known) is newer than the limit."""
    return version is not None and version_key(version) > version_key(limit)
