"""What development says of our defects, and the local tracker's issues, as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.engine.tables import JobRow
from pipeline.errors import NotFoundError
from pipeline.settings import TrackerSettings
from pipeline.trackers import service
from pipeline.trackers.tables import (
    TrackerAttachmentRow,
    TrackerCommentRow,
    TrackerDoubleRow,
    TrackerIssueRow,
    TrackerLinkRow,
    TrackerLookRow,
    TrackerReportRow,
    TrackerRequestRow,
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


def status(session: Session, settings: TrackerSettings) -> dict[str, Any]:
    """What is filed, what development says of it, and what stands in the way; for programs."""
    reports = {row.defect_id: row for row in session.scalars(select(TrackerReportRow))}
    requests = list(session.scalars(select(TrackerRequestRow).order_by(TrackerRequestRow.asked_at)))
    doubles = list(session.scalars(select(TrackerDoubleRow).order_by(TrackerDoubleRow.found_at)))
    last = session.get(TrackerLookRow, "changes")
    due_at, said = service.next_look(session)
    return {
        "kind": settings.kind,
        "url": settings.url,
        "project": settings.project,
        "looks": {"last": _when(last.at if last else None), "next": _when(due_at), "said": said},
        "issues": [
            _followed(defect_id, key, reports.get(defect_id), requests)
            for defect_id, key in service.filed(session, settings.kind)
        ],
        "requests": [
            {
                "id": row.id,
                "author": row.author,
                "version": row.version,
                "state": row.state,
                "asked_at": _when(row.asked_at),
                "answered_at": _when(row.answered_at),
            }
            for row in requests
        ],
        "doubles": [
            {
                "key": row.key,
                "defect": row.defect_id,
                "original": row.original,
                "closed": _when(row.closed_at),
            }
            for row in doubles
        ],
        "trouble": [
            {"effect": job.effect_id, "state": job.state, "error": job.error} for job in _trouble(session)
        ],
    }


def _followed(
    defect_id: str, key: str, report: TrackerReportRow | None, requests: list[TrackerRequestRow]
) -> dict[str, Any]:
    asked = sum(row.defect_id == defect_id for row in requests)
    said: dict[str, Any] = {"defect": defect_id, "key": key, "requests": asked}
    for name in ("status", "done", "resolution"):
        said[name] = getattr(report, name) if report else None
    return {
        **said,
        "due": report.due.isoformat() if report and report.due else None,
        "fix_versions": report.fix_versions if report else [],
        "changed_at": _when(report.changed_at if report else None),
        "seen_at": _when(report.seen_at if report else None),
    }


def _trouble(session: Session) -> list[JobRow]:
    """Calls to the tracker that failed, or wait for another try."""
    chosen = select(JobRow).where(
        JobRow.queue == service.QUEUE,
        JobRow.kind != service.FOLLOW,
        JobRow.state != "done",
        JobRow.error.is_not(None),
    )
    return list(session.scalars(chosen.order_by(JobRow.effect_id)))


def _when(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
