"""What we remember of filing and of what development said, and the local tracker's issues."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Date, ForeignKey, String, Text, UniqueConstraint
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


class TrackerReportRow(Base):
    """What development last said of a defect by its issue's fields."""

    __tablename__ = "tracker_reports"

    defect_id: Mapped[str] = mapped_column(ForeignKey("defects.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(128))
    done: Mapped[bool]
    resolution: Mapped[str | None] = mapped_column(String(128))
    due: Mapped[date | None] = mapped_column(Date)
    fix_versions: Mapped[list[str]]
    #: When it was changed, by the tracker's clock: an older report that comes later is not taken.
    changed_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class TrackerRequestRow(Base):
    """A comment by which development asks for something: looked at once, answered once.

    State: running | answered | refused (its author may not ask).
    """

    __tablename__ = "tracker_requests"

    #: The defect, ``#``, the comment's id: the issue's key may change.
    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    defect_id: Mapped[str] = mapped_column(ForeignKey("defects.id"), index=True)
    author: Mapped[str] = mapped_column(String(128))
    #: None: what was asked was not understood.
    version: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    asked_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]


class TrackerDoubleRow(Base):
    """A double that we close: written before it is touched, and never touched again once it is closed."""

    __tablename__ = "tracker_doubles"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    defect_id: Mapped[str] = mapped_column(ForeignKey("defects.id"), index=True)
    original: Mapped[str] = mapped_column(String(64))
    found_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class TrackerLookRow(Base):
    """When a tracker was last looked through: the next look begins there."""

    __tablename__ = "tracker_looks"

    #: changes | doubles
    what: Mapped[str] = mapped_column(String(16), primary_key=True)
    at: Mapped[datetime]


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
    resolution: Mapped[str | None] = mapped_column(String(128))
    due: Mapped[date | None] = mapped_column(Date)
    fix_version: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    #: None: as it was created.
    changed_at: Mapped[datetime | None]


class TrackerCommentRow(Base):
    """A comment at an issue."""

    __tablename__ = "tracker_comments"
    __table_args__ = (UniqueConstraint("issue_key", "marker"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    issue_key: Mapped[str] = mapped_column(ForeignKey("tracker_issues.key"))
    #: Ours are known by what they are about; a developer's by a name made for it.
    marker: Mapped[str] = mapped_column(String(128))
    #: None: Garant.
    author: Mapped[str | None] = mapped_column(String(128))
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
