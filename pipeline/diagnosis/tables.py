"""Evidence as rows; its files are in a folder, which is never changed once it is there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database import Base


class EvidenceRow(Base):
    """What was collected from a store for a case.

    State: collecting | collected | partial (something could not be had; see ``missing``) | failed (nothing) |
    deleting | deleted (see the tombstone). ``version`` is the product's on the store's server; the row's
    compare-and-set number is ``row_version``.
    """

    __tablename__ = "evidence"

    #: ``E-000001``
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(64), index=True)
    store_id: Mapped[str] = mapped_column(String(64))
    #: The time in question (UTC).
    window_from: Mapped[datetime]
    window_to: Mapped[datetime]
    #: How it is to be collected, where that was said: {"recipe": {...}, "bandwidth": bytes a second}.
    asked: Mapped[dict[str, Any] | None]
    folder: Mapped[str | None] = mapped_column(Text)
    #: Of evidence.json, which lists the digest of every file: so it is the digest of all of it.
    digest: Mapped[str | None] = mapped_column(String(80))
    version: Mapped[str | None] = mapped_column(String(64))
    collected_at: Mapped[datetime | None]
    #: Not deleted before this instant; later when its case or its defect is open by then.
    retain_until: Mapped[datetime | None]
    #: Who asked for it.
    requested_by: Mapped[str] = mapped_column(String(128))
    #: [{"host", "what", "reason"}]
    missing: Mapped[list[dict[str, Any]]]
    #: {"hosts", "files", "bytes", "seconds"}
    figures: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(32), index=True)
    row_version: Mapped[int] = mapped_column(Integer, nullable=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __mapper_args__ = {"version_id_col": row_version}  # noqa: RUF012 - SQLAlchemy reads it


class TombstoneRow(Base):
    """What stays of evidence whose files were deleted: never its content, and never removed itself."""

    __tablename__ = "evidence_tombstones"

    evidence_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(64), index=True)
    store_id: Mapped[str] = mapped_column(String(64))
    #: Of the evidence.json that was there: proves which evidence it was to whoever has a copy.
    digest: Mapped[str | None] = mapped_column(String(80))
    collected_at: Mapped[datetime | None]
    #: {"hosts", "files", "bytes"} that were deleted.
    figures: Mapped[dict[str, Any]]
    #: Who had it deleted (``person:NAME``; ``worker:ID`` when its time was over), why, and when it was gone.
    deleted_by: Mapped[str] = mapped_column(String(128))
    reason: Mapped[str] = mapped_column(Text)
    deleted_at: Mapped[datetime]
