"""The embedded tracker: in our database, files in the home folder, shown by the web."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pipeline.database import Database
from pipeline.errors import NotFoundError, UnavailableError
from pipeline.trackers.markup import plain
from pipeline.trackers.port import COMMON_LABEL, Attached, Draft, Finding, Issue, Remark, Report
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
        """At most one, for a label is unique here; all of them by the common label."""
        chosen = select(TrackerIssueRow).order_by(TrackerIssueRow.number)
        if label != COMMON_LABEL:
            chosen = chosen.where(TrackerIssueRow.label == label)
        with self._database.reading() as session:
            return [_issue(session, row) for row in session.scalars(chosen)]

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
                    body=plain(draft.body),
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

    def report(self, key: str) -> Report:
        """The issue's fields as they are now."""
        with self._database.reading() as session:
            return _report(self._row(session, key))

    def changed(self, within: timedelta) -> list[Report]:
        """By the time of the last change."""
        since = func.coalesce(TrackerIssueRow.changed_at, TrackerIssueRow.created_at)
        with self._database.reading() as session:
            rows = session.scalars(
                select(TrackerIssueRow)
                .where(since >= self._clock() - within)
                .order_by(TrackerIssueRow.number)
            )
            return [_report(row) for row in rows]

    def remarks(self, key: str) -> list[Remark]:
        """What developers wrote."""
        with self._database.reading() as session:
            self._row(session, key)
            rows = session.scalars(
                select(TrackerCommentRow)
                .where(TrackerCommentRow.issue_key == key, TrackerCommentRow.author.is_not(None))
                .order_by(TrackerCommentRow.id)
            )
            return [_remark(row) for row in rows]

    def move(self, key: str, *, done: bool) -> bool:
        """There are two states, and ways between them."""
        state = "done" if done else "open"
        with self._database.transaction() as session:
            row = self._row(session, key)
            if row.state == state:
                return False
            row.state, row.changed_at = state, self._clock()
            row.resolution = "Done" if done else None
        return True

    def duplicates(self, key: str, of: str) -> bool:
        """A label is unique here, so this is never needed; a link shows it all the same."""
        with self._database.transaction() as session:
            self._row(session, key)
            self._row(session, of)
            name = f"duplicates:{of}"
            if session.get(TrackerLinkRow, (key, name)) is not None:
                return False
            session.add(
                TrackerLinkRow(issue_key=key, global_id=name, url=f"/tracker/{of}", title=f"Double of {of}")
            )
        return True

    def check(self) -> list[Finding]:
        """It is in our own database: there is nothing to get wrong."""
        return [Finding(what="tracker", ok=True, text=f"local, project {self._project}")]

    def edit(
        self,
        key: str,
        *,
        author: str,
        comment_id: str,
        status: str | None = None,
        due: date | None = None,
        fix_version: str | None = None,
        comment: str | None = None,
    ) -> None:
        """A developer changes an issue by hand; what is None stays.

        Args:
            status: open or done.
            comment_id: a name for the comment that no other has.
        """
        with self._database.transaction() as session:
            row = self._row(session, key)
            row.changed_at = self._clock()
            if status is not None:
                row.state, row.resolution = status, "Done" if status == "done" else None
            row.due = due or row.due
            row.fix_version = fix_version or row.fix_version
            if comment is not None:
                said = {"issue_key": key, "marker": f"by:{comment_id}", "author": author, "text": comment}
                session.add(TrackerCommentRow(**said, at=self._clock()))

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
        done=row.state == "done",
        labels=(row.label, COMMON_LABEL),
        attachments=tuple(Attached(name=file.name, size=file.size) for file in files),
    )


def _report(row: TrackerIssueRow) -> Report:
    return Report(
        key=row.key,
        status=row.state,
        done=row.state == "done",
        resolution=row.resolution,
        due=row.due,
        fix_versions=(row.fix_version,) if row.fix_version else (),
        updated_at=row.changed_at or row.created_at,
    )


def _remark(row: TrackerCommentRow) -> Remark:
    author = row.author or ""
    return Remark(id=str(row.id), author=author, names=frozenset({author}), text=row.text)
