"""The port to development's tracker."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An issue to be created.

    Attributes:
        label: made from the defect's identity: by it the issue is found again when the answer was lost.
    """

    label: str
    title: str
    body: str


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A file at an issue; size in bytes."""

    name: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Issue:
    """An issue as the tracker shows it."""

    key: str
    url: str
    title: str = ""
    state: str = ""
    attachments: tuple[Attached, ...] = field(default=())


class Tracker(Protocol):
    """What we need of a tracker. Every method but ``create`` may be repeated without harm.

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
