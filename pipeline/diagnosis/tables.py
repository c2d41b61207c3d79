"""Evidence as rows; its files are in a folder, which is never changed once it is there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database import Base


class EvidenceRow(Base):
    """What was collected from a store for a case.

    State: collecting | collected | partial (something could not be had; see ``missing``) | failed (nothing).
    ``version`` is the product's on the store's server; the row's compare-and-set number is ``row_version``.
    """

    __tablename__ = "evidence"

    #: ``E-000001``
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(64), index=True)
    store_id: Mapped[str] = mapped_column(String(64))
    #: The time in question (UTC).
    window_from: Mapped[datetime]
    window_to: Mapped[datetime]
    folder: Mapped[str | None] = mapped_column(Text)
    #: Of evidence.json, which lists the digest of every file.
    digest: Mapped[str | None] = mapped_column(String(80))
    version: Mapped[str | None] = mapped_column(String(64))
    collected_at: Mapped[datetime | None]
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
