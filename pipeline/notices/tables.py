"""The outbox: one row per notice, kept for ever as the evidence of what was told to whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database.base import Base, StatefulMixin


class NoticeRow(StatefulMixin, Base):
    """One notice of one thing to one client, or to one of our own people (``client_id`` is None).

    ``state``: queued | sent (given to the channel, no answer known yet) | accepted | bounced | failed |
    superseded (withdrawn before anybody was told: what it says is no longer so).
    """

    __tablename__ = "notices"
    __table_args__ = (Index(None, "client_id", "created_at"), Index(None, "about_kind", "about_id"))

    #: Derived from ``key``, so that Message-ID and return address follow from the key alone.
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    #: The idempotency key: what is told. One key = one notice = one Message-ID.
    key: Mapped[str] = mapped_column(String(120), unique=True)
    kind: Mapped[str] = mapped_column(String(32), index=True)
    client_id: Mapped[str | None] = mapped_column(String(64))
    #: Whose zone the times are told in; None: the client's.
    store_id: Mapped[str | None] = mapped_column(String(64))
    about_kind: Mapped[str] = mapped_column(String(32))
    about_id: Mapped[str] = mapped_column(String(128))
    #: What is ticked when the outcome is known (a promise); None: nothing waits for it.
    watcher_kind: Mapped[str | None] = mapped_column(String(32))
    watcher_id: Mapped[str | None] = mapped_column(String(128))
    #: False: may wait for the morning of the client.
    urgent: Mapped[bool]
    #: The name and, for internal notices, the address of whom it is for.
    recipient: Mapped[str | None] = mapped_column(Text)
    #: Message-ID of the request that this answers, when known.
    in_reply_to: Mapped[str | None] = mapped_column(Text)
    params: Mapped[dict[str, Any]]
    #: The job of the present round of sending; ``garant notices resend`` begins another.
    job_id: Mapped[str] = mapped_column(String(128))
    attempts: Mapped[int]
    #: From here on: set when it is rendered, just before it is sent; fixed once it was accepted.
    channel: Mapped[str | None] = mapped_column(String(16))
    language: Mapped[str | None] = mapped_column(String(8))
    address: Mapped[str | None] = mapped_column(Text)
    message_id: Mapped[str | None] = mapped_column(String(255))
    subject: Mapped[str | None] = mapped_column(Text)
    text: Mapped[str | None] = mapped_column(Text)
    html: Mapped[str | None] = mapped_column(Text)
    sent_at: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    #: What the channel answered, attempt by attempt: [{"at", "code", "text"}].
    evidence: Mapped[list[dict[str, Any]]]
