"""Which stores a rollout is for: ``client=kupets,tag=pilot``. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

KEYS = ("client", "store", "tag", "version", "zone")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A store, as far as it can be selected by."""

    store: str
    client: str
    zone: str
    tags: Collection[str]
    #: What its hosts run.
    versions: Collection[str]


def parse(text: str) -> Mapping[str, frozenset[str]]:
    """The expression as key to the values that are accepted; empty for ``all``.

    Conditions are joined by commas, all must hold; values of one key are separated by ``|``, one must.

    Raises:
        ValueError: a key that does not exist, or a condition without a value.
    """
    if text.strip() in ("", "all"):
        return {}
    found: dict[str, frozenset[str]] = {}
    for part in text.split(","):
        key, equals, values = part.strip().partition("=")
        wanted = frozenset(value.strip() for value in values.split("|") if value.strip())
        if key not in KEYS or not equals or not wanted:
            raise ValueError(
                f"selection {part.strip()!r} is not understood: write `all`, or conditions of "
                f"{', '.join(KEYS)} such as client=kupets,tag=pilot|north"
            )
        found[key] = wanted if key not in found else found[key] & wanted
    return found


def matches(wanted: Mapping[str, frozenset[str]], candidate: Candidate) -> bool:
    """Whether the store is selected."""
    values = {
        "client": {candidate.client},
        "store": {candidate.store},
        "zone": {candidate.zone},
        "tag": set(candidate.tags),
        "version": set(candidate.versions),
    }
    return all(values[key] & accepted for key, accepted in wanted.items())
