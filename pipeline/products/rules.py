"""What a look at the product's repository means: new versions, moved tags, checks that are due. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from pipeline.defects.rules import UNFIXED, at_least, version_key

#: Our people are told once a repository did not answer for so many looks in a row.
ALERT_AFTER = 3
#: However long a repository is away, it is asked at least this often.
MOST_WAIT = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A version that is known already; ``moved_to``: its tag names this commit by now."""

    version: str
    commit: str
    baseline: bool = False
    moved_to: str | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is new in a look: versions to remember, and tags that name another commit than before."""

    new: Mapping[str, str]
    moved: Mapping[str, str]


def compare(known: Iterable[Seen], found: Mapping[str, str]) -> Change:
    """Hold what a look found (tag to commit) against what is known; a tag that is gone stays known.

    A tag that moved is reported once per commit that it is moved to; moved back it is as it was.
    """
    before = {seen.version: seen for seen in known}
    moved = {
        version: commit
        for version, commit in found.items()
        if (seen := before.get(version)) is not None and commit != (seen.moved_to or seen.commit)
    }
    return Change(new={v: c for v, c in found.items() if v not in before}, moved=moved)


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A defect with a bundle, as far as new versions concern it; ``bad``: where it was reproduced."""

    defect: str
    state: str
    bad: str
    first_bad: str | None
    fixed_in: str | None


def concerns(version: str, suspect: Suspect) -> bool:
    """Whether the defect's bundle is to be played on a new version.

    Open: on every version from the first bad one on, but for the one where it was reproduced. Fixed and not
    yet in all stores: on later versions, where it may come back. Closed: the regression gate plays it.
    """
    if suspect.state in UNFIXED:
        since = suspect.first_bad or suspect.bad
        return at_least(version, since) and not _same(version, suspect.bad)
    if suspect.state == "fixed" and suspect.fixed_in is not None:
        return at_least(version, suspect.fixed_in) and not _same(version, suspect.fixed_in)
    return False


def _same(version: str, other: str) -> bool:
    return at_least(version, other) and at_least(other, version)


def due(
    suspects: Iterable[Suspect], versions: Collection[Seen], checked: Collection[tuple[str, str]]
) -> list[tuple[str, Seen]]:
    """The checks to begin: (defect, version), each pair once for ever, oldest version first.

    Of the versions that were there at the first look only the newest counts: the history is the bisection's.
    A version whose tag was moved is not played: what its name means is in doubt.
    """
    if not versions:
        return []
    newest = max(versions, key=lambda seen: version_key(seen.version))
    fresh = sorted(
        (s for s in versions if s.moved_to is None and (not s.baseline or s is newest)),
        key=lambda seen: version_key(seen.version),
    )
    return [
        (suspect.defect, seen)
        for suspect in suspects
        for seen in fresh
        if (suspect.defect, seen.version) not in checked and concerns(seen.version, suspect)
    ]


def next_look(every: timedelta, failures: int) -> timedelta:
    """How long to wait: the interval; doubled with each look in vain, up to an hour (or the interval)."""
    doubled: timedelta = every * 2 ** min(failures, 6)
    return min(doubled, max(MOST_WAIT, every))
