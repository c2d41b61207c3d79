"""Releases and their approvals as rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database import Base


class ReleaseRow(Base):
    """One version of the product as a package that can be approved.

    State: draft | submitted (the gate runs or has passed) | approved | rejected (the gate failed) | recalled.
    ``version`` is the product's; the row's own compare-and-set number is ``row_version``.
    """

    __tablename__ = "releases"

    #: The version: there is one release of it.
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    product: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    commit: Mapped[str] = mapped_column(String(64))
    #: ``sha256:<hex>`` of package.tar.zst, and its bytes.
    digest: Mapped[str] = mapped_column(String(80))
    size: Mapped[int]
    #: ``sha256:<hex>`` of manifest.json: what approvals are bound to.
    manifest_digest: Mapped[str] = mapped_column(String(80))
    folder: Mapped[str] = mapped_column(Text)
    #: The principal who made it; his own approval does not count.
    author: Mapped[str] = mapped_column(String(128))
    approvals_required: Mapped[int]
    from_versions: Mapped[list[str] | None] = mapped_column(JSON)
    fixed_defects: Mapped[list[str]]
    #: What is new for clients, by language.
    notes: Mapped[dict[str, Any]]
    #: product.yaml that it was built by; the gate plays bundles with it.
    product_file: Mapped[str] = mapped_column(Text)
    #: The regression gate: {"state": "running"|"passed"|"failed", "results": [...], "reason"}.
    gate: Mapped[dict[str, Any]]
    #: How often it was submitted: each time is a gate of its own.
    submissions: Mapped[int]
    reason: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(32), index=True)
    row_version: Mapped[int] = mapped_column(Integer, nullable=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __mapper_args__: dict[str, Any] = {"version_id_col": row_version}  # noqa: RUF012 - SQLAlchemy reads it


class GatePlayRow(Base):
    """What one bundle said in one gate; kept, so that after a kill the gate does not play it again."""

    __tablename__ = "release_gate_plays"

    #: The effect id of the gate's job.
    gate: Mapped[str] = mapped_column(String(128), primary_key=True)
    defect_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    verdict: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(Text)
    #: How long it took.
    seconds: Mapped[float]
    played_at: Mapped[datetime]


class ApprovalRow(Base):
    """One approver's signature over the manifest. State: valid | void (the content was edited after it)."""

    __tablename__ = "release_approvals"

    #: ``<release>/<principal>/<manifest's hex, 16 digits>``
    id: Mapped[str] = mapped_column(String(256), primary_key=True)
    release_id: Mapped[str] = mapped_column(ForeignKey("releases.id"), index=True)
    principal: Mapped[str] = mapped_column(String(128))
    #: ``SHA256:...`` of the key.
    key: Mapped[str] = mapped_column(String(64))
    manifest_digest: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime]
    #: Who ran the command, for the record; the signature says who approved.
    actor: Mapped[str] = mapped_column(String(128))
