"""Promises to clients, and the dates that development gave."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Date, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database.base import Base, StatefulMixin


class PromiseRow(StatefulMixin, Base):
    """The word given that the client will know the date within 3 days: one per defect, client and turn.

    ``state``: running | met | breached | closed. A defect that comes back begins another turn.
    """

    __tablename__ = "promises"
    __table_args__ = (Index(None, "defect_id", "client_id", "turn", unique=True),)

    #: ``D-000001/kupets/1``
    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    defect_id: Mapped[str] = mapped_column(String(16))
    client_id: Mapped[str] = mapped_column(String(64), index=True)
    turn: Mapped[int]
    #: IANA name: the client's zone when the promise was given.
    zone: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    due: Mapped[datetime]
    #: By the civil code's counting (report only).
    contract_due: Mapped[datetime]
    #: The date last queued for this client, and its revision.
    eta: Mapped[date | None] = mapped_column(Date)
    eta_revision: Mapped[int | None]
    #: When a channel of the client first accepted a notice with a date.
    told_at: Mapped[datetime | None]
    #: The highest warning given: 0, 50, 75 or 90 (percent of the term).
    warned: Mapped[int]
    #: When the client was told that there is no date yet.
    held_at: Mapped[datetime | None]
    breached_at: Mapped[datetime | None]


class EtaRow(Base):
    """One date of a defect; a new date is a new revision. Append-only, but for being voided."""

    __tablename__ = "etas"

    defect_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    eta: Mapped[date] = mapped_column(Date)
    reason: Mapped[str] = mapped_column(Text)
    set_at: Mapped[datetime]
    set_by: Mapped[str] = mapped_column(String(128))
    #: The defect came back after its fix: this date was for a fix that did not hold.
    voided_at: Mapped[datetime | None]
