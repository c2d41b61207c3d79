"""The life of a defect as pure decisions: joining, coming back, fixed, closed for a client."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Development still has to find or ship the fix.
UNFIXED = frozenset({"recorded", "filed", "reopened"})


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Order of the product's versions: numbers by value, words before numbers (``10.4-rc1`` < ``10.4.0``)."""
    parts = re.findall(r"\d+|[a-z]+", version.lower().removeprefix("v"))
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def at_least(version: str, other: str) -> bool:
    """Whether ``version`` is ``other`` or newer; trailing zeros do not count (``10.4`` is ``10.4.0``)."""
    left, right = version_key(version), version_key(other)
    size = max(len(left), len(right))
    zero = ((1, 0, ""),)
    return left + zero * (size - len(left)) >= right + zero * (size - len(right))


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What a new sighting of a known signature means: the defect's next state, and whether it came back."""

    state: str
    came_back: bool


def seen_again(state: str, fixed_in: str | None, version: str) -> Sighting:
    """The same signature was reproduced again on ``version``.

    Below the fixed version it is the old fault in a store that has not got the fix: nothing came back, but a
    closed defect is open again for that client. At the fixed version or above the fix did not hold (DESIGN
    section 7: the defect reopens).
    """
    if state in UNFIXED:
        return Sighting(state=state, came_back=False)
    if fixed_in is not None and not at_least(version, fixed_in):
        return Sighting(state="fixed", came_back=False)
    return Sighting(state="reopened", came_back=True)


def affected(version: str | None, *, first_bad: str | None, fixed_in: str) -> bool:
    """Whether a host of this version may show the defect; one whose version is not known may."""
    if version is None:
        return True
    if at_least(version, fixed_in):
        return False
    return first_bad is None or at_least(version, first_bad)


def client_is_clean(versions: Iterable[str | None], *, first_bad: str | None, fixed_in: str) -> bool:
    """Whether no host of a client can show the defect any more (all hosts of all its stores are given)."""
    return not any(affected(version, first_bad=first_bad, fixed_in=fixed_in) for version in versions)
