"""The local tracker's issues as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.errors import NotFoundError
from pipeline.trackers.tables import (
    TrackerAttachmentRow,
    TrackerCommentRow,
    TrackerIssueRow,
    TrackerLinkRow,
)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An issue in a list, with how much there is at it."""

    issue: TrackerIssueRow
    comments: int
    attachments: int


def issues(session: Session) -> list[Listed]:
    """All issues, the newest first."""
    comments = _counts(session, TrackerCommentRow)
    files = _counts(session, TrackerAttachmentRow)
    rows = session.scalars(select(TrackerIssueRow).order_by(TrackerIssueRow.number.desc()))
    return [
        Listed(issue=row, comments=comments.get(row.key, 0), attachments=files.get(row.key, 0))
        for row in rows
    ]


def issue(session: Session, key: str) -> TrackerIssueRow:
    """The issue.

    Raises:
        NotFoundError: the local tracker has none of this key.
    """
    row = session.get(TrackerIssueRow, key)
    if row is None:
        raise NotFoundError(f"the local tracker has no issue {key!r}: see `garant defect list`")
    return row


def comments(session: Session, key: str) -> list[TrackerCommentRow]:
    """The issue's comments, oldest first."""
    chosen = select(TrackerCommentRow).where(TrackerCommentRow.issue_key == key)
    return list(session.scalars(chosen.order_by(TrackerCommentRow.id)))


def attachments(session: Session, key: str) -> list[TrackerAttachmentRow]:
    """The issue's files, oldest first."""
    chosen = select(TrackerAttachmentRow).where(TrackerAttachmentRow.issue_key == key)
    return list(session.scalars(chosen.order_by(TrackerAttachmentRow.at, TrackerAttachmentRow.name)))


def links(session: Session, key: str) -> list[TrackerLinkRow]:
    """The issue's links to pages of ours."""
    chosen = select(TrackerLinkRow).where(TrackerLinkRow.issue_key == key)
    return list(session.scalars(chosen.order_by(TrackerLinkRow.title)))


def attachment(session: Session, home: Path, key: str, digest: str) -> tuple[TrackerAttachmentRow, Path]:
    """An attachment of the issue by its sha256, and the file that holds it.

    Only a digest that stands in the issue's rows becomes a path, so no name from outside does.

    Raises:
        NotFoundError: the issue has no such attachment, or its file is gone.
    """
    chosen = select(TrackerAttachmentRow).where(
        TrackerAttachmentRow.issue_key == key, TrackerAttachmentRow.digest == digest
    )
    row = session.scalars(chosen.order_by(TrackerAttachmentRow.at)).first()
    if row is None:
        raise NotFoundError(f"issue {key} of the local tracker has no attachment {digest[:12]}")
    file = home / "tracker" / row.digest
    if not file.is_file():
        raise NotFoundError(f"{row.name} of {key} is gone from {file.parent}: file the defect again")
    return row, file


def _counts(session: Session, rows: type[TrackerCommentRow] | type[TrackerAttachmentRow]) -> dict[str, int]:
    counted = session.execute(select(rows.issue_key, func.count()).group_by(rows.issue_key))
    return {row[0]: row[1] for row in counted}
