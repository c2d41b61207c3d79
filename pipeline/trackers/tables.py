"""The local tracker's issues, and what we remember of filing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database import Base


class FilingRow(Base):
    """What we know of creating one issue; written before the tracker is asked, so a kill leaves a trace."""

    __tablename__ = "tracker_filings"

    label: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: The last creation whose outcome we do not know began then; None: none is in doubt.
    doubt_since: Mapped[datetime | None]
    key: Mapped[str | None] = mapped_column(String(64))
    #: How often the tracker was asked in vain; the wait grows with it.
    tries: Mapped[int]


class TrackerIssueRow(Base):
    """An issue of the local tracker."""

    __tablename__ = "tracker_issues"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    label: Mapped[str] = mapped_column(String(64), unique=True)
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    #: open | done
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]


class TrackerCommentRow(Base):
    """A comment at an issue."""

    __tablename__ = "tracker_comments"
    __table_args__ = (UniqueConstraint("issue_key", "marker"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    issue_key: Mapped[str] = mapped_column(ForeignKey("tracker_issues.key"))
    marker: Mapped[str] = mapped_column(String(128))
    text: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]


class TrackerAttachmentRow(Base):
    """A file at an issue; the bytes are in the home folder, named by digest."""

    __tablename__ = "tracker_attachments"

    issue_key: Mapped[str] = mapped_column(ForeignKey("tracker_issues.key"), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int]
    at: Mapped[datetime]


class TrackerLinkRow(Base):
    """A link from an issue to a page of ours."""

    __tablename__ = "tracker_links"

    issue_key: Mapped[str] = mapped_column(ForeignKey("tracker_issues.key"), primary_key=True)
    global_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
