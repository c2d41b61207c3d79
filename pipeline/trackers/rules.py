"""When an issue may be created, when to ask again, which issue stays, what a comment asks: pure decisions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

#: Waits between searches while a creation is in doubt, and between attempts at a tracker that is away.
WAITS = tuple(timedelta(seconds=s) for s in (5, 15, 30, 60, 120, 300, 600))
#: Longer than this we do not stay away, whatever the tracker asks for.
LONGEST_WAIT = timedelta(hours=1)
#: Polling looks back this much further than to its last look: two looks at one change do no harm.
OVERLAP = timedelta(minutes=10)
#: How far polling looks back when it has never looked, or not for long.
FURTHEST_BACK = timedelta(days=30)

#: The word by which development asks for a run.
COMMAND = "/reproduce"
#: What a version may look like: it becomes the name of a tag or a package, never an option or a path.
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")


def may_create(doubt_since: datetime | None, now: datetime, *, index_lag: timedelta) -> bool:
    """Whether a search that found nothing proves that there is nothing.

    Args:
        doubt_since: when the last creation began whose outcome is not known; None: there is none.
        index_lag: how long after its creation an issue may be missing from a search.
    """
    return doubt_since is None or now >= doubt_since + index_lag


def wait(tries: int, asked: timedelta | None = None) -> timedelta:
    """How long to wait after ``tries`` attempts in vain; ``asked``: what the tracker asked for."""
    ours = WAITS[min(max(tries, 1), len(WAITS)) - 1]
    return min(max(ours, asked or ours), LONGEST_WAIT)


def window(last_look: datetime | None, now: datetime, *, index_lag: timedelta) -> timedelta:
    """How far back the next look asks, so that nothing between two looks is missed."""
    if last_look is None:
        return FURTHEST_BACK
    return min(max(now - last_look, timedelta(0)) + OVERLAP + index_lag, FURTHEST_BACK)


class Found(Protocol):
    """An issue as far as it matters here."""

    @property
    def key(self) -> str:
        """Its key."""

    @property
    def ours(self) -> bool:
        """Whether we created it."""


def doubles(issues: Iterable[Found], *, known: str, settled: Collection[str]) -> list[str]:
    """Which issues that carry a defect's label are doubles of the one that we know as the defect's.

    An issue that a person made (a copy carries our label too) is never one, nor is one that was settled
    before: a person may have opened it again.
    """
    return [issue.key for issue in issues if issue.ours and issue.key != known and issue.key not in settled]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a comment asks for; ``version`` None: it is meant for us, and not understood."""

    version: str | None


def asked(text: str) -> Asked | None:
    """What a comment asks of us; None: it is not meant for us.

    The first line that begins with the word counts; a quotation (``>``, ``bq.``) does not begin with it.
    """
    for line in text.splitlines():
        words = line.strip().replace("\\", "").split()
        if not words or words[0].lower() != COMMAND:
            continue
        version = words[1] if len(words) == 2 else ""
        return Asked(version=version if _VERSION.fullmatch(version) else None)
    return None


def allowed(names: Iterable[str], commanders: Collection[str]) -> bool:
    """Whether an author with these names may ask for runs; ``*`` among the commanders: everybody may."""
    known = {name.casefold() for name in commanders}
    return "*" in known or any(name.casefold() in known for name in names)
