"""What people and programs see of a rollout."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.database.base import EventRow
from pipeline.engine.tables import JobRow
from pipeline.errors import NotFoundError
from pipeline.fleet.tables import HostRow
from pipeline.releases.tables import ReleaseRow
from pipeline.rollouts import budgets, views
from pipeline.rollouts.planning import Preview
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.tables import HostUpdateRow, RolloutRow, StoreLedgerRow, StoreUpdateRow, WaveRow


def rollout(session: Session, rollout_id: str) -> RolloutRow:
    """The rollout.

    Raises:
        NotFoundError: there is none.
    """
    row = session.get(RolloutRow, rollout_id)
    if row is None:
        known = ", ".join(row.id for row in rollouts(session)[-5:]) or "none"
        raise NotFoundError(
            f"no rollout {rollout_id!r} (the newest: {known}): `garant rollout plan` makes one"
        )
    return row


def rollouts(session: Session) -> list[RolloutRow]:
    """All rollouts, oldest first."""
    return list(session.scalars(select(RolloutRow).order_by(RolloutRow.id)))


def host_counts(session: Session) -> dict[str, dict[str, int]]:
    """How many hosts of each rollout are in each state: {rollout: {state: number}}; one query."""
    query = select(HostUpdateRow.rollout_id, HostUpdateRow.state, func.count()).group_by(
        HostUpdateRow.rollout_id, HostUpdateRow.state
    )
    counted: dict[str, dict[str, int]] = {}
    for rollout_id, state, number in session.execute(query):
        counted.setdefault(rollout_id, {})[state] = number
    return counted


def summaries(session: Session) -> list[dict[str, Any]]:
    """All rollouts for programs, oldest first: what ``garant rollout status --json`` gives."""
    return [
        {"id": row.id, "state": row.state, "release": row.release_id, "reason": row.reason}
        for row in rollouts(session)
    ]


def preview_json(row: RolloutRow, preview: Preview) -> dict[str, Any]:
    """A plan for programs."""
    return {
        "id": row.id,
        "state": row.state,
        "release": row.release_id,
        "digest": row.digest,
        "policy": row.policy,
        "waves": [
            {"number": number, "stores": [planned.as_json() for planned in wave]}
            for number, wave in enumerate(preview.waves, start=1)
        ],
        "left_out": [planned.as_json() for planned in preview.left_out],
    }


def status(session: Session, rollout_id: str, now: datetime) -> dict[str, Any]:
    """Everything about a rollout: states and reasons by wave, store and host, budget, counts.

    Raises:
        NotFoundError: there is no such rollout.
    """
    row = rollout(session, rollout_id)
    policy = Policy.from_json(row.policy)
    waves = session.scalars(
        select(WaveRow).where(WaveRow.rollout_id == row.id).order_by(WaveRow.number)
    ).all()
    stores = session.scalars(
        select(StoreUpdateRow)
        .where(StoreUpdateRow.rollout_id == row.id)
        .order_by(StoreUpdateRow.wave, StoreUpdateRow.store_id)
    ).all()
    hosts: dict[str, list[HostUpdateRow]] = {}
    order = (HostUpdateRow.role.desc(), HostUpdateRow.register, HostUpdateRow.host_id)
    for host in session.scalars(
        select(HostUpdateRow).where(HostUpdateRow.rollout_id == row.id).order_by(*order)
    ):
        hosts.setdefault(host.store_update_id, []).append(host)
    by_wave: dict[int, list[dict[str, Any]]] = {}
    for store in stores:
        record = _store(session, store, hosts.get(store.id, []), policy)
        by_wave.setdefault(store.wave, []).append(record)
    flat = [host for group in hosts.values() for host in group]
    counts: dict[str, int] = {}
    for host in flat:
        counts[host.state] = counts.get(host.state, 0) + 1
    return {
        "id": row.id,
        "state": row.state,
        "reason": row.reason,
        "release": row.release_id,
        "version": row.target,
        "digest": row.digest,
        "selection": row.selection,
        "planned_by": row.planned_by,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "now": now,
        "hosts_total": len(flat),
        "hosts_done": counts.get("done", 0) + counts.get("superseded", 0),
        "hosts": counts,
        "failures": sum(host.failures for host in flat),
        "max_registers_down_per_store": _most(session, row, [store.store_id for store in stores]),
        "waves": [
            {
                "number": wave.number,
                "state": wave.state,
                "reason": wave.reason,
                "opened_at": wave.opened_at,
                "soak_until": wave.soak_until,
                "stores": by_wave.get(wave.number, []),
            }
            for wave in waves
        ],
    }


def _most(session: Session, row: RolloutRow, store_ids: Sequence[str]) -> int:
    ledgers = session.scalars(select(StoreLedgerRow).where(StoreLedgerRow.store_id.in_(store_ids)))
    return max((int(ledger.out_most_by.get(row.id, 0)) for ledger in ledgers), default=0)


def _store(
    session: Session, row: StoreUpdateRow, hosts: Sequence[HostUpdateRow], policy: Policy
) -> dict[str, Any]:
    registers = sum(host.role == "register" for host in hosts)
    ledger = session.get(StoreLedgerRow, row.store_id)
    return {
        "store": row.store_id,
        "client": row.client_id,
        "state": row.state,
        "waiting": row.waiting,
        "detail": row.detail,
        "registers": registers,
        "registers_out_now": len(views.registers_out(session, row.store_id)),
        "registers_out_most": int(ledger.out_most_by.get(row.rollout_id, 0)) if ledger else 0,
        "budget": budgets.limit(registers, policy.cap, closed_or_consent=True),
        "consent_by": row.consent_by,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "hosts": [_host(session, host) for host in hosts],
    }


def _host(session: Session, row: HostUpdateRow) -> dict[str, Any]:
    fleet = session.get(HostRow, row.host_id)
    job = session.get(JobRow, row.run_id) if row.run_id else None
    return {
        "host": row.host_id,
        "role": row.role,
        "register": row.register,
        "state": row.state,
        "reason": row.reason,
        "attempt": row.attempt,
        "failures": row.failures,
        "version": fleet.version if fleet is not None else None,
        "version_before": row.version_before,
        "out_of_service_seconds": round(row.out_of_service_s, 3),
        "not_before": row.not_before,
        "run": row.run_id,
        "progress": job.progress if job is not None else None,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }


def history(session: Session, rollout_id: str) -> list[dict[str, Any]]:
    """Every step of every host of the rollout, in order: the evidence that can be counted again.

    Raises:
        NotFoundError: there is no such rollout.
    """
    row = rollout(session, rollout_id)
    query = (
        select(EventRow)
        .where(EventRow.kind == "host_update", EventRow.thing_id.startswith(f"{row.id}/"))
        .order_by(EventRow.id)
    )
    return [
        {
            "t": event.at.isoformat(),
            "rollout": row.id,
            "store": event.payload["store"],
            "host": event.payload["host"],
            "role": event.payload["role"],
            "from": event.payload["from"],
            "to": event.payload["to"],
            "out_of_service": event.payload["out_of_service"],
            "by": event.actor,
            "reason": event.reason,
        }
        for event in session.scalars(query)
    ]


def release_of(session: Session, row: RolloutRow) -> ReleaseRow:
    """The release that the rollout brings."""
    return session.get_one(ReleaseRow, row.release_id)
