"""Defects and the clients' cases that show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database import Base


class DefectRow(Base):
    """A confirmed fault of the product, known by its signature.

    State: recorded | filed | fixed | closed | reopened. ``version`` is the product's; the row's own
    compare-and-set number is ``row_version``.
    """

    __tablename__ = "defects"
    # One row per fault for ever: a fault that comes back reopens its row, so its history stays together.
    __table_args__ = (Index(None, "product", "signature", unique=True),)

    #: ``D-000001``
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    product: Mapped[str] = mapped_column(String(64))
    #: What the oracle saw fail, as the bench names it; equal signatures are one defect.
    signature: Mapped[str] = mapped_column(String(255))
    #: The symptom, in one line, as development reads it.
    title: Mapped[str] = mapped_column(Text)
    #: The bench's verdict (DESIGN section 4) on ``version``.
    verdict: Mapped[str] = mapped_column(String(32))
    version: Mapped[str] = mapped_column(String(64))
    #: Share of runs that failed, and its 95 % interval [low, high].
    rate: Mapped[float | None] = mapped_column(Float)
    interval: Mapped[list[float] | None] = mapped_column(JSON)
    runs: Mapped[int | None]
    first_bad_release: Mapped[str | None] = mapped_column(String(64))
    first_bad_commit: Mapped[str | None] = mapped_column(String(64))
    parent_commit: Mapped[str | None] = mapped_column(String(64))
    #: Of the first bad commit: {"author", "date", "subject"}; None when the culprit is a range.
    culprit: Mapped[dict[str, Any] | None]
    events_before: Mapped[int | None]
    events_after: Mapped[int | None]
    #: The bundle's folder and the digest of its files.
    bundle: Mapped[str | None] = mapped_column(Text)
    bundle_digest: Mapped[str | None] = mapped_column(String(80))
    #: Minimal steps in words: {"ru": [...], "en": [...]}.
    steps: Mapped[dict[str, Any]]
    #: The first version that no longer shows it, by the two-sided rule.
    fixed_in: Mapped[str | None] = mapped_column(String(64))
    tracker: Mapped[str | None] = mapped_column(String(16))
    tracker_key: Mapped[str | None] = mapped_column(String(64))
    tracker_url: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(32), index=True)
    row_version: Mapped[int] = mapped_column(Integer, nullable=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __mapper_args__: dict[str, Any] = {"version_id_col": row_version}  # noqa: RUF012 - SQLAlchemy reads it


class DefectCaseRow(Base):
    """A client's case that shows the defect."""

    __tablename__ = "defect_cases"

    defect_id: Mapped[str] = mapped_column(ForeignKey("defects.id"), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(64), index=True)
    store_id: Mapped[str | None] = mapped_column(String(64))
    linked_at: Mapped[datetime]


class ClientDefectRow(Base):
    """One client's part in a defect: open until its last affected store runs the fix."""

    __tablename__ = "defect_clients"

    defect_id: Mapped[str] = mapped_column(ForeignKey("defects.id"), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: Grows when the defect comes back, so that a client is told again of what happened again.
    turn: Mapped[int]
    started_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
