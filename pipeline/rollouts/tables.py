"""Rollouts, their waves, stores and hosts as rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database import Base
from pipeline.database.base import StatefulMixin


class RolloutRow(StatefulMixin, Base):
    """One release on its way to the stores selected. States: ``states.RolloutState``."""

    __tablename__ = "rollouts"

    #: ``R-000001``
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    release_id: Mapped[str] = mapped_column(String(64), index=True)
    #: The product's version and the package's digest, as they were approved when it was planned.
    target: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(80))
    selection: Mapped[str] = mapped_column(Text)
    policy: Mapped[dict[str, Any]]
    #: Why it is in its state, when that needs saying.
    reason: Mapped[str | None] = mapped_column(Text)
    planned_by: Mapped[str] = mapped_column(String(128))
    begins_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    #: Failures that a person has seen and resumed after.
    accepted_failures: Mapped[int]
    #: How often it was paused; part of the key of what clients are told about it.
    pauses: Mapped[int]
    #: The number of the last run (slice or probe): gives each its identity.
    runs: Mapped[int]


class WaveRow(StatefulMixin, Base):
    """Stores that go together. States: ``states.WaveState``."""

    __tablename__ = "rollout_waves"

    #: ``<rollout>/<number>``
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    rollout_id: Mapped[str] = mapped_column(ForeignKey("rollouts.id"), index=True)
    number: Mapped[int]
    reason: Mapped[str | None] = mapped_column(Text)
    opened_at: Mapped[datetime | None]
    soak_until: Mapped[datetime | None]


class StoreUpdateRow(StatefulMixin, Base):
    """One store in one rollout. States: ``states.StoreState``."""

    __tablename__ = "store_updates"
    __table_args__ = (Index(None, "rollout_id", "wave", "state"),)

    #: ``<rollout>/<store>``
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    rollout_id: Mapped[str] = mapped_column(ForeignKey("rollouts.id"))
    wave: Mapped[int]
    store_id: Mapped[str] = mapped_column(String(64), index=True)
    client_id: Mapped[str] = mapped_column(String(64), index=True)
    #: ``states.Waiting`` and the words that go with it.
    waiting: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(Text)
    #: Who at the client consented to its single register being out of service.
    consent_by: Mapped[str | None] = mapped_column(String(200))
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class HostUpdateRow(StatefulMixin, Base):
    """One host in one rollout. States: ``states.HostState``."""

    __tablename__ = "host_updates"
    __table_args__ = (Index(None, "rollout_id", "state"), Index(None, "rollout_id", "wants"))

    #: ``<rollout>/<host>``
    id: Mapped[str] = mapped_column(String(160), primary_key=True)
    rollout_id: Mapped[str] = mapped_column(ForeignKey("rollouts.id"))
    store_update_id: Mapped[str] = mapped_column(ForeignKey("store_updates.id"), index=True)
    wave: Mapped[int]
    store_id: Mapped[str] = mapped_column(String(64), index=True)
    host_id: Mapped[str] = mapped_column(String(128), index=True)
    role: Mapped[str] = mapped_column(String(16))
    register: Mapped[int | None]
    reason: Mapped[str] = mapped_column(Text)
    #: 1 for the first; a person's retry is the next one. Part of the effect's identity on the host.
    attempt: Mapped[int]
    #: What it was chosen for and no run has taken yet: update | probe.
    wants: Mapped[str | None] = mapped_column(String(16))
    #: The job that has it in its hands.
    run_id: Mapped[str | None] = mapped_column(String(128), index=True)
    #: Was ever handed to a run that changes.
    tried: Mapped[bool]
    #: Failed, rolled back or needed a person so many times.
    failures: Mapped[int]
    #: How often in a row it was not as it should be (``findings.MAX_STRIKES``).
    strikes: Mapped[int]
    not_before: Mapped[datetime | None]
    probed_at: Mapped[datetime | None]
    reachable: Mapped[bool | None]
    #: An interrupted change waits on the host to be ended by the same call.
    finish: Mapped[bool]
    #: Its last refusal was for trade.
    trade: Mapped[bool]
    version_before: Mapped[str | None] = mapped_column(String(64))
    version_after: Mapped[str | None] = mapped_column(String(64))
    out_of_service_s: Mapped[float]
    #: What the host's module and the probe last said.
    evidence: Mapped[dict[str, Any]]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class StoreLedgerRow(Base):
    """One row a store, over all rollouts: locked while anything is decided for the store, so that two
    rollouts never spend the same budget; and the most registers that were ever out at once.
    """

    __tablename__ = "store_ledgers"

    store_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    registers: Mapped[int]
    out_now: Mapped[int]
    out_most: Mapped[int]
    #: The most per rollout: {rollout id: number}.
    out_most_by: Mapped[dict[str, Any]] = mapped_column(JSON)


class FreezeRow(Base):
    """Nothing is touched from ``starts_at`` to ``ends_at``: everywhere, or at one client or store."""

    __tablename__ = "freezes"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    client_id: Mapped[str | None] = mapped_column(String(64), index=True)
    store_id: Mapped[str | None] = mapped_column(String(64), index=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    made_by: Mapped[str] = mapped_column(String(128))
    made_at: Mapped[datetime]
