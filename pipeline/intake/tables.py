"""Cases as rows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column, synonym

from pipeline.database import Base
from pipeline.database.base import StatefulMixin


class CaseRow(StatefulMixin, Base):
    """A client's request, or one opened by monitoring. State: registered | classified | restored | closed.

    Its clocks are not stored: they are derived from its events (``pipeline.clocks``).
    """

    __tablename__ = "cases"

    #: The case's number, as people write it: ``G-000001``.
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    number = synonym("id")
    client_id: Mapped[str] = mapped_column(String(64), index=True)
    store_id: Mapped[str | None] = mapped_column(String(64), index=True)
    #: phone | email | web | monitoring
    channel: Mapped[str] = mapped_column(String(16))
    #: Of the notices about it, from the client: ru | en.
    language: Mapped[str] = mapped_column(String(2))
    subject: Mapped[str] = mapped_column(Text)
    #: As received, hostile or not: data, shown escaped.
    text: Mapped[str] = mapped_column(Text)
    #: Classes in force (the tariff's words, see ``pipeline.clocks.tariff``); empty until classified.
    classes: Mapped[list[str]]
    #: When our edge received it; the registration clock starts here.
    received_at: Mapped[datetime]
    registered_at: Mapped[datetime]
    restored_at: Mapped[datetime | None]
    #: When it was classified as, or linked to, a software defect: the ETA promise starts here.
    software_defect_at: Mapped[datetime | None]
    #: The tariff's clocks run for it (judged at registration).
    eligible: Mapped[bool]
    defect_id: Mapped[str | None] = mapped_column(String(64), index=True)
    #: Who asked: an address or a telephone number.
    contact: Mapped[str | None] = mapped_column(String(254))
    #: What makes a repeated delivery the same request (Message-ID, the API's idempotency key).
    source_key: Mapped[str | None] = mapped_column(String(255), unique=True)


class CaseNumberRow(Base):
    """The next case number: one row, locked by whoever opens a case, so that numbers have no gaps."""

    __tablename__ = "case_numbers"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    next: Mapped[int]
