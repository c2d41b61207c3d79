"""Reproductions as rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database import Base


class ReproductionRow(Base):
    """One attempt to play a case's evidence again.

    State: running | done (the verdict says what was seen) | failed (the bench could not do its work).
    ``version`` is the product's; the row's compare-and-set number is ``row_version``.
    """

    __tablename__ = "reproductions"

    #: ``REP-000001``
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(64), index=True)
    evidence_id: Mapped[str] = mapped_column(String(16))
    #: Played on this version: the store's, unless another was asked for.
    version: Mapped[str] = mapped_column(String(64))
    #: Fixed number of runs; None: as many as the sequential test needs.
    runs: Mapped[int | None]
    #: A word of DESIGN section 4, once it is known.
    verdict: Mapped[str | None] = mapped_column(String(32))
    #: Everything that the bench answered: verdict, reduced, culprit, bundle.
    findings: Mapped[dict[str, Any]]
    defect_id: Mapped[str | None] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(32), index=True)
    row_version: Mapped[int] = mapped_column(Integer, nullable=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __mapper_args__ = {"version_id_col": row_version}  # noqa: RUF012 - SQLAlchemy reads it


class FixCheckRow(Base):
    """A defect's bundle played on a new version by the two-sided rule.

    State: running | fixed | not-fixed | inconclusive | failed.
    """

    __tablename__ = "fix_checks"

    defect_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: Grows when it is asked for again: each round is a job of its own.
    round: Mapped[int]
    #: What each side showed: new and old with bad and runs, reason.
    findings: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(32), index=True)
    row_version: Mapped[int] = mapped_column(Integer, nullable=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __mapper_args__ = {"version_id_col": row_version}  # noqa: RUF012 - SQLAlchemy reads it
