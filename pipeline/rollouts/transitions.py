"""One step of one thing: its new state, the event that says so, and who is woken by it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipeline.engine.unit import UnitOfWork
from pipeline.errors import ConflictError
from pipeline.rollouts import views
from pipeline.rollouts.states import (
    BAD,
    DOWN,
    HOST_STEPS,
    IN_FLIGHT,
    HostState,
    RolloutState,
    StoreState,
    Waiting,
    WaveState,
)
from pipeline.rollouts.tables import HostUpdateRow, RolloutRow, StoreLedgerRow, StoreUpdateRow, WaveRow

#: States in which the host's service may be down by us.
_OUT = (IN_FLIGHT | DOWN) - {HostState.LEASED}


def _step(before: str, after: str) -> dict[str, Any]:
    return {"from": before, "to": after}  # "from" is no name that a keyword argument may have


def lock_store(unit: UnitOfWork, store_id: str) -> StoreLedgerRow:
    """The store's ledger, locked: nobody else decides for the store until this transaction ends.

    It is taken before any row of the store's hosts, by everyone: so nobody waits in a circle.
    """
    return unit.get(StoreLedgerRow, store_id, called="store ledger")


def move_host(unit: UnitOfWork, row: HostUpdateRow, state: HostState, reason: str = "") -> None:
    """Take a host one step further; the store is woken. The store's ledger must be locked.

    Raises:
        ConflictError: the step does not exist; the row is not what the caller thought.
    """
    before = HostState(row.state)
    row.updated_at, row.reason = unit.now, reason
    if state is before:
        return
    if state not in HOST_STEPS[before]:
        raise ConflictError(
            f"host {row.host_id} of {row.rollout_id} is {before.value}: no way to {state.value}"
        )
    row.state = state.value
    if state in BAD:
        row.failures += 1
    if state is HostState.PRE_OK:
        row.tried = True
        row.started_at = row.started_at or unit.now
    row.ended_at = unit.now if not HOST_STEPS[state] or state in BAD else None
    unit.record(
        "host_update",
        row.id,
        state.value,
        reason=reason or None,
        rollout=row.rollout_id,
        store=row.store_id,
        host=row.host_id,
        role=row.role,
        attempt=row.attempt,
        out_of_service=state in _OUT,
        **_step(before.value, state.value),
    )
    unit.wake("store_update", row.store_update_id)
    if row.role == "register" and (before in _OUT) != (state in _OUT):
        _count_out(unit, row)


def _count_out(unit: UnitOfWork, row: HostUpdateRow) -> None:
    unit.session.flush()
    ledger = lock_store(unit, row.store_id)
    ledger.out_now = len(views.registers_out(unit.session, row.store_id))
    ledger.out_most = max(ledger.out_most, ledger.out_now)
    most = max(ledger.out_most_by.get(row.rollout_id, 0), ledger.out_now)
    ledger.out_most_by = {**ledger.out_most_by, row.rollout_id: most}


def move_store(
    unit: UnitOfWork, row: StoreUpdateRow, state: StoreState, waiting: Waiting | None, detail: str
) -> bool:
    """Write the store's state and what it waits for; returns whether anything changed."""
    wanted = (state.value, waiting.value if waiting is not None else None, detail)
    if (row.state, row.waiting, row.detail) == wanted:
        return False
    before, row.updated_at = row.state, unit.now
    shown = (row.state, row.waiting) != wanted[:2]
    row.state, row.waiting, row.detail = wanted
    settled = state in (StoreState.VERIFIED, StoreState.HELD, StoreState.SKIPPED)
    row.ended_at = unit.now if settled else None
    if shown:
        unit.record(
            "store_update",
            row.id,
            state.value,
            reason=detail or None,
            rollout=row.rollout_id,
            store=row.store_id,
            waiting=row.waiting,
            **_step(before, state.value),
        )
        unit.wake("rollout", row.rollout_id)
    return True


def move_wave(
    unit: UnitOfWork, row: WaveRow, state: WaveState, reason: str = "", soak_until: datetime | None = None
) -> None:
    """Write the wave's new state."""
    before = row.state
    row.state, row.reason, row.updated_at = state.value, reason or None, unit.now
    row.soak_until = soak_until
    if state is WaveState.OPEN:
        row.opened_at = unit.now
    unit.record(
        "wave",
        row.id,
        state.value,
        reason=reason or None,
        rollout=row.rollout_id,
        **_step(before, state.value),
    )


def move_rollout(unit: UnitOfWork, row: RolloutRow, state: RolloutState, reason: str = "") -> None:
    """Write the rollout's new state; a reason alone is written without an event."""
    before, row.reason, row.updated_at = row.state, reason or None, unit.now
    if row.state == state.value:
        return
    row.state = state.value
    if state is RolloutState.PAUSED:
        row.pauses += 1
    if state is RolloutState.RUNNING:
        row.started_at = row.started_at or unit.now
    ended = state not in (RolloutState.SCHEDULED, RolloutState.RUNNING, RolloutState.PAUSED)
    row.ended_at = unit.now if ended else None
    unit.record("rollout", row.id, state.value, reason=reason or None, **_step(before, state.value))
