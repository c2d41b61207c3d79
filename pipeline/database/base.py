"""What every table shares: the declarative base, the instant type, versioned rows, the event log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, Dialect, Index, Integer, MetaData, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware on the way in, UTC on the way out.

    Raises:
        ValueError: a naive datetime is given; it would mean another instant on another machine.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive values; store UTC (SQLite keeps no offset)."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}: pass an aware one, in UTC")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the instant back aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The base of all tables; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[float]: JSON,
        list[dict[str, Any]]: JSON,
    }


class StatefulMixin:
    """A long-lived thing: a state, and a version that every change compares and sets (DESIGN section 3).

    The version is SQLAlchemy's ``version_id_col``: an UPDATE that finds another version than the one
    read raises ``StaleDataError``, which the unit of work turns into ``ConflictError``.
    """

    #: One of the words of DESIGN section 4 (or of the subject's own ``rules.py``).
    state: Mapped[str] = mapped_column(String(32), index=True)
    version: Mapped[int] = mapped_column(Integer, nullable=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805
        return {"version_id_col": cls.version}


class EventRow(Base):
    """Append-only: who did what to which thing, when and why. Clocks and reports are rebuilt from it."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "kind", "thing_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    #: What kind of thing: case, defect, promise, release, rollout, store_update, host_update, notice, ...
    kind: Mapped[str] = mapped_column(String(32))
    thing_id: Mapped[str] = mapped_column(String(128))
    #: What happened, in the past tense: classified, approved, paused, ...
    type: Mapped[str] = mapped_column(String(64))
    #: Who: ``person:NAME``, ``worker:ID``, ``host:NAME``, ``client:ID``.
    actor: Mapped[str] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(Text)
    payload: Mapped[dict[str, Any]]
