"""Rows that belong to no subject."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database.base import Base


class NumberRow(Base):
    """The last number given to a kind of thing; taken by ``pipeline.database.numbers``."""

    __tablename__ = "numbers"

    #: What is numbered: evidence, reproduction.
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    last: Mapped[int]
