"""Wake-ups and jobs as rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database import Base


class WakeupRow(Base):
    """The newest wake-up of one thing. The truth about what is due: the engine's queue is only the bell."""

    __tablename__ = "wakeups"
    __table_args__ = (Index(None, "pending", "reap_at"),)

    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    thing_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    #: Grows with each bell, so that each has a name of its own.
    seq: Mapped[int]
    queue: Mapped[str] = mapped_column(String(32))
    due_at: Mapped[datetime]
    #: Not yet consumed. The reaper rings again for what is pending and overdue.
    pending: Mapped[bool]
    #: The reaper counts from here; later than ``due_at`` while a job holds a lease, or was rung again.
    reap_at: Mapped[datetime]
    #: How often the reaper has rung for this wake-up; it waits longer each time.
    rings: Mapped[int]


class JobRow(Base):
    """The intent to touch the world once, written before it is touched; its lease; its outcome."""

    __tablename__ = "jobs"

    #: Says what the effect is, so that the same effect asked for twice is one job.
    effect_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64), index=True)
    queue: Mapped[str] = mapped_column(String(32))
    args: Mapped[dict[str, Any]]
    #: Whom to wake when the outcome is known.
    owner_kind: Mapped[str | None] = mapped_column(String(32))
    owner_id: Mapped[str | None] = mapped_column(String(128))
    #: queued | running | done | failed
    state: Mapped[str] = mapped_column(String(16), index=True)
    #: Started so many times. More than 1 without an outcome: an earlier start died, the world is unknown.
    attempts: Mapped[int]
    max_attempts: Mapped[int]
    #: The fencing token: an outcome that comes with an older one is refused.
    token: Mapped[int]
    worker: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[datetime | None]
    #: Seconds that one attempt may take.
    time_limit_s: Mapped[float]
    outcome: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    #: What it is doing now, for people: text, done, total.
    progress: Mapped[dict[str, Any] | None]
