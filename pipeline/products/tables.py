"""What is known of the product's repository: how the looks at it went, and the versions seen there."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database.base import Base, StatefulMixin


class ProductWatchRow(StatefulMixin, Base):
    """The watch over one product. State: new | ok | failing (the repository does not answer)."""

    __tablename__ = "product_watches"

    #: The product's name, as product.yaml says it.
    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    #: Looks begun so far: each is a job of its own.
    looks: Mapped[int]
    #: False while a look is under way.
    settled: Mapped[bool]
    #: When the repository last answered.
    seen_at: Mapped[datetime | None]
    #: Looks in vain since then, and the reason of the last one.
    failures: Mapped[int]
    error: Mapped[str | None] = mapped_column(Text)
    #: A look was asked for while another was under way: its answer may be older than what was pushed.
    again: Mapped[bool]


class ProductVersionRow(Base):
    """A version of the product, and the commit that its tag named when it was first seen."""

    __tablename__ = "product_versions"

    product: Mapped[str] = mapped_column(String(80), primary_key=True)
    #: The tag (git), or the version (package index).
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: What is played as this version, whatever the tag names later.
    commit: Mapped[str] = mapped_column(String(64))
    #: It was there at the first look: nobody published it under our eyes.
    baseline: Mapped[bool]
    seen_at: Mapped[datetime]
    #: The commit that the tag was moved to; None: it stands.
    moved_to: Mapped[str | None] = mapped_column(String(64))
    moved_at: Mapped[datetime | None]
