"""The order of versions; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.version import InvalidVersion, Version


def order(version: str) -> tuple[int, Version, list[tuple[int, str]]]:
    """A sort key: v1.2 < v1.10 and 1.0rc1 < 1.0; names that are no versions come first, by their numbers."""
    natural = [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", version)]
    try:
        return 1, Version(version), natural
    except InvalidVersion:
        # "release-2024.10", "store-7": the first number on is often a version all the same.
        digits = re.search(r"\d.*", version)
        try:
            return 1, Version(digits.group() if digits else ""), natural
        except InvalidVersion:
            return 0, Version("0"), natural


def is_prerelease(version: str) -> bool:
    """Whether it was published before a release (1.0rc1, 2.0.dev3)."""
    return order(version)[1].is_prerelease


def in_order(versions: Iterable[str]) -> list[str]:
    """Versions, oldest first."""
    return sorted(versions, key=order)
