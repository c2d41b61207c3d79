"""The embedded tracker: in our database, files in the home folder, shown by the web."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pipeline.database import Database
from pipeline.errors import NotFoundError, UnavailableError
from pipeline.trackers.port import Attached, Draft, Issue
from pipeline.trackers.tables import (
    TrackerAttachmentRow,
    TrackerCommentRow,
    TrackerIssueRow,
    TrackerLinkRow,
)


class LocalTracker:
    """One project.

    Args:
        folder: where attachments are kept, named by their sha256.
        clock: the present instant (aware).
    """

    name = "local"

    def __init__(
        self, database: Database, folder: Path, *, project: str, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._folder, self._project, self._clock = database, folder, project, clock

    def find(self, label: str) -> list[Issue]:
        """At most one: a label is unique here."""
        with self._database.reading() as session:
            row = session.scalars(select(TrackerIssueRow).where(TrackerIssueRow.label == label)).one_or_none()
            return [_issue(session, row)] if row else []

    def create(self, draft: Draft) -> Issue:
        """Create the issue; a label that is taken already answers with its issue."""
        try:
            with self._database.transaction() as session:
                last = session.scalar(select(func.max(TrackerIssueRow.number))) or 0
                row = TrackerIssueRow(
                    key=f"{self._project}-{last + 1}",
                    number=last + 1,
                    label=draft.label,
                    title=draft.title,
                    body=draft.body,
                    state="open",
                    created_at=self._clock(),
                )
                session.add(row)
                session.flush()
                return _issue(session, row)
        except IntegrityError as error:  # another process took the label or the number in between
            found = self.find(draft.label)
            if found:
                return found[0]
            raise UnavailableError("the local tracker was busy: ask again") from error

    def attach(self, key: str, name: str, file: Path) -> bool:
        """Keep the file under its digest; the row follows, so no row ever lacks its file."""
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        with self._database.transaction() as session:
            self._row(session, key)
            if session.get(TrackerAttachmentRow, (key, name, digest)) is not None:
                return False
            self._folder.mkdir(parents=True, exist_ok=True)
            aside = self._folder / f"{digest}.part"
            shutil.copyfile(file, aside)
            aside.replace(self._folder / digest)
            size = file.stat().st_size
            session.add(
                TrackerAttachmentRow(issue_key=key, name=name, digest=digest, size=size, at=self._clock())
            )
        return True

    def comment(self, key: str, text: str, marker: str) -> bool:
        """Add a comment once per marker."""
        with self._database.transaction() as session:
            self._row(session, key)
            there = select(TrackerCommentRow.id).where(
                TrackerCommentRow.issue_key == key, TrackerCommentRow.marker == marker
            )
            if session.scalar(there) is not None:
                return False
            session.add(TrackerCommentRow(issue_key=key, marker=marker, text=text, at=self._clock()))
        return True

    def link(self, key: str, global_id: str, url: str, title: str) -> None:
        """Add or replace a link."""
        with self._database.transaction() as session:
            self._row(session, key)
            session.merge(TrackerLinkRow(issue_key=key, global_id=global_id, url=url, title=title))

    def state(self, key: str) -> Issue:
        """The issue with its attachments."""
        with self._database.reading() as session:
            return _issue(session, self._row(session, key))

    def close(self) -> None:
        """The database is the application's."""

    def _row(self, session: Session, key: str) -> TrackerIssueRow:
        row = session.get(TrackerIssueRow, key)
        if row is None:
            raise NotFoundError(f"the local tracker has no issue {key!r}: see `garant defect list`")
        return row


def _issue(session: Session, row: TrackerIssueRow) -> Issue:
    files = session.scalars(
        select(TrackerAttachmentRow)
        .where(TrackerAttachmentRow.issue_key == row.key)
        .order_by(TrackerAttachmentRow.at, TrackerAttachmentRow.name)
    )
    return Issue(
        key=row.key,
        url=f"/tracker/{row.key}",
        title=row.title,
        state=row.state,
        attachments=tuple(Attached(name=file.name, size=file.size) for file in files),
    )
