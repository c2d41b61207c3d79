"""Comparing the product's versions (pure)."""

import re

from .errors import RefusedError

_VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,7}")


def version_key(version: str) -> tuple[int, ...]:
    """Return a key that orders versions; missing components count as zero (10.4 = 10.4.0.0).

    Raises:
        RefusedError: the text is not a dotted number.
    """
    if not _VERSION.fullmatch(version):
        raise RefusedError(
            f"version {version!r} is not a dotted number such as 10.4.24.0: correct the release"
        )
    parts = [int(part) for part in version.split(".")]
    return tuple(parts + [0] * (8 - len(parts)))


def line_of(version: str) -> tuple[int, ...]:
    """Return the first three components: a register's are at most its server's (SET-INTERFACES 1.1)."""
    return version_key(version)[:3]


def at_most(version: str, limit: str) -> bool:
    """Say whether a register of ``version`` may work under a server of ``limit``."""
    return line_of(version) <= line_of(limit)
