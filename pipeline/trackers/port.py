"""The port to development's tracker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from pipeline.trackers.markup import Part

#: Every issue of ours carries this label beside the one of its defect: polling asks for it.
COMMON_LABEL = "garant"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An issue to be created.

    Attributes:
        label: made from the defect's identity: by it the issue is found again when the answer was lost.
        labels, components, fields: what the installation wants on its issues besides; ``fields`` as the
            tracker's own interface takes them.
    """

    label: str
    title: str
    body: Sequence[Part]
    labels: Sequence[str] = ()
    components: Sequence[str] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A file at an issue; size in bytes."""

    name: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Issue:
    """An issue as the tracker shows it.

    Attributes:
        done: whether development has nothing more to do there.
        ours: whether it was created by the account that we use (a person's copy of it carries its label too).
    """

    key: str
    url: str
    title: str = ""
    state: str = ""
    done: bool = False
    labels: tuple[str, ...] = ()
    ours: bool = True
    attachments: tuple[Attached, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Report:
    """What development says of an issue by its fields.

    Attributes:
        due: the day on which it wants to be done.
        updated_at: when it was last changed, by the tracker's clock (aware).
    """

    key: str
    status: str
    done: bool
    resolution: str | None
    due: date | None
    fix_versions: tuple[str, ...]
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class Remark:
    """A comment at an issue.

    Attributes:
        id: the tracker's own, never used again.
        author: for people.
        names: everything by which the author may be named in the settings: account, login, address.
    """

    id: str
    author: str
    names: frozenset[str]
    text: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at by ``check``; ``text`` says what was found, or what to mend."""

    what: str
    ok: bool
    text: str


class Filing(Protocol):
    """What we tell development. Every method but ``create`` may be repeated without harm.

    All raise ``UnavailableError`` when the tracker does not answer or is overloaded (nothing was done),
    ``RefusedError`` when it says no (rights, unknown project, missing field), ``NotFoundError`` for an issue
    that does not exist.
    """

    #: As kept with the defect: ``local`` or ``jira``.
    name: str

    def find(self, label: str) -> list[Issue]:
        """Issues that carry the label, oldest first. One created moments ago may not be found yet."""

    def create(self, draft: Draft) -> Issue:
        """Create an issue. Raises ``UnknownOutcomeError`` when it may have been created all the same."""

    def attach(self, key: str, name: str, file: Path) -> bool:
        """Attach the file, unless one of this name, size and digest is there: then it answers False."""

    def comment(self, key: str, text: str, marker: str) -> bool:
        """Add a comment, unless one with this marker is there: then it answers False."""

    def link(self, key: str, global_id: str, url: str, title: str) -> None:
        """Link the issue to a page of ours; the same ``global_id`` again replaces the link."""

    def state(self, key: str) -> Issue:
        """The issue as it is now, with its attachments."""

    def close(self) -> None:
        """Give connections back."""


class Following(Protocol):
    """What development tells us, and what keeps its list in order. Errors as in ``Filing``."""

    def report(self, key: str) -> Report:
        """The issue's fields as they are now."""

    def changed(self, within: timedelta) -> list[Report]:
        """Issues of ours (by ``COMMON_LABEL``) that were changed within the time given, by its own clock."""

    def remarks(self, key: str) -> list[Remark]:
        """All comments at the issue but our own, oldest first."""

    def move(self, key: str, *, done: bool) -> bool:
        """Bring the issue to its end, or back to work; False when it is there already.

        Raises:
            RefusedError: its workflow has no such way from where it is; the ways it has are named.
        """

    def duplicates(self, key: str, of: str) -> bool:
        """Link the issue as a double of another; False when it is linked so already."""

    def check(self) -> list[Finding]:
        """Look whether the settings fit the tracker; changes nothing there."""


class Tracker(Filing, Following, Protocol):
    """A whole tracker."""
