"""Looks at rollouts and stores: load, decide by rules, write one set of transitions. May be repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from pipeline.engine.dispatch import TickFunction
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork
from pipeline.rollouts import folding, telling
from pipeline.rollouts.jobs import PROBE_SECONDS, RUN_SECONDS
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.rules import StoreDecision, decide_store
from pipeline.rollouts.states import HostState, RolloutState, StoreState, Waiting, WaveState
from pipeline.rollouts.tables import HostUpdateRow, RolloutRow, StoreUpdateRow, WaveRow
from pipeline.rollouts.transitions import lock_store, move_host, move_rollout, move_store, move_wave
from pipeline.rollouts.views import LoadedStore, load_rollout, load_store
from pipeline.rollouts.waves import RolloutDecision, decide_rollout

if TYPE_CHECKING:
    from pipeline.application import Garant

#: Stores decide one by one; what they chose within this time shares a run (each run costs a second).
GATHER = timedelta(milliseconds=300)
QUEUE = "rollout"


def ticks(app: Garant) -> dict[str, TickFunction]:
    """By kind of thing."""
    return {"rollout": tick_rollout, "store_update": tick_store_update}


def tick_rollout(unit: UnitOfWork, rollout_id: str) -> datetime | None:
    """Waves and the rollout itself; then the hosts that stores have chosen are given to runs."""
    row = unit.get(RolloutRow, rollout_id, called="rollout")
    _sweep(unit, row)
    decision = decide_rollout(load_rollout(unit.session, row), Policy.from_json(row.policy), unit.now)
    _apply(unit, row, decision)
    for action in ("update", "probe"):
        _gather(unit, row, action)
    return decision.look_at


def _apply(unit: UnitOfWork, row: RolloutRow, decision: RolloutDecision) -> None:
    before = RolloutState(row.state)
    if decision.state is not before or before is RolloutState.RUNNING:  # else its reason stays
        move_rollout(unit, row, decision.state, decision.reason)
    opened = []
    for move in decision.waves:
        wave = unit.get(WaveRow, f"{row.id}/{move.number}", called="wave")
        move_wave(unit, wave, move.state, move.reason, move.soak_until)
        if move.state is WaveState.OPEN:
            opened.append(move.number)
    if before is RolloutState.RUNNING and decision.state is RolloutState.PAUSED:
        telling.postponed(unit, row)
    if opened:
        chosen = select(StoreUpdateRow.id).where(
            StoreUpdateRow.rollout_id == row.id, StoreUpdateRow.wave.in_(opened)
        )
        for store_update_id in unit.session.scalars(chosen.order_by(StoreUpdateRow.id)):
            unit.wake("store_update", store_update_id)


def _gather(unit: UnitOfWork, row: RolloutRow, action: str) -> None:
    chosen = unit.session.scalars(
        select(HostUpdateRow)
        .where(HostUpdateRow.rollout_id == row.id, HostUpdateRow.wants == action)
        .order_by(HostUpdateRow.wave, HostUpdateRow.id)
        # A row that a store is deciding about now is taken next time: that decision wakes us again.
        .with_for_update(skip_locked=True)
    ).all()
    policy = Policy.from_json(row.policy)
    for wave, hosts in _slices(chosen, policy.slice_size):
        row.runs += 1
        row.updated_at = unit.now
        kind = "rollout.slice" if action == "update" else "rollout.probe"
        effect_id = f"{kind}:{row.id}/{wave}/{row.runs}"
        for host in hosts:
            host.run_id, host.wants, host.updated_at = effect_id, None, unit.now
        seconds = PROBE_SECONDS + 30
        if action == "update":
            seconds += RUN_SECONDS + 2 * policy.health_timeout.total_seconds()
        unit.start_job(
            kind,
            effect_id,
            {"rollout": row.id, "wave": wave, "run": row.runs, "hosts": [host.id for host in hosts]},
            owner=("rollout", row.id),
            queue=QUEUE,
            time_limit=timedelta(seconds=seconds),
            max_attempts=3,
        )


def _slices(rows: Iterable[HostUpdateRow], size: int) -> Iterator[tuple[int, list[HostUpdateRow]]]:
    by_wave: dict[int, list[HostUpdateRow]] = {}
    for row in rows:
        by_wave.setdefault(row.wave, []).append(row)
    for wave, hosts in by_wave.items():
        for begin in range(0, len(hosts), size):
            yield wave, hosts[begin : begin + size]


def _sweep(unit: UnitOfWork, row: RolloutRow) -> None:
    """Hosts whose job has ended without letting go of them (it failed for good): unknown, or back."""
    stuck = unit.session.execute(
        select(HostUpdateRow.id, JobRow.error)
        .join(JobRow, JobRow.effect_id == HostUpdateRow.run_id)
        .where(HostUpdateRow.rollout_id == row.id, JobRow.state.in_(["done", "failed"]))
    ).all()
    policy = Policy.from_json(row.policy)
    for host_update_id, error in stuck:
        host = folding.locked_host(unit, host_update_id)
        folding.lose(unit, host, f"its run ended without its answer{': ' + error if error else ''}")
        host.not_before = unit.now + policy.unknown_retry


def tick_store_update(unit: UnitOfWork, store_update_id: str) -> datetime | None:
    """One store: what it does next and what it waits for."""
    store_id = unit.session.get_one(StoreUpdateRow, store_update_id).store_id
    lock_store(unit, store_id)
    row = unit.get(StoreUpdateRow, store_update_id, called="store update")
    unit.session.flush()
    unit.session.expire_all()  # what was read before the lock may be old
    loaded = load_store(unit.session, row, unit.now, lock=True)
    if loaded.view.rollout in (RolloutState.ABORTED, RolloutState.RECALLED):
        _skip_untouched(unit, loaded)
        unit.session.flush()
        loaded = load_store(unit.session, row, unit.now, lock=True)
    decision = decide_store(loaded.view, loaded.policy, unit.now)
    _choose(unit, row, loaded, decision)
    _show(unit, row, loaded, decision)
    return decision.look_at


def _skip_untouched(unit: UnitOfWork, loaded: LoadedStore) -> None:
    for host in loaded.hosts.values():
        if HostState(host.state) is HostState.PLANNED and host.run_id is None:
            host.wants = None
            move_host(unit, host, HostState.SKIPPED, f"the rollout is {loaded.view.rollout.value}")


def _choose(unit: UnitOfWork, row: StoreUpdateRow, loaded: LoadedStore, decision: StoreDecision) -> None:
    for name in decision.start:
        host = loaded.hosts[name]
        host.wants = "update"
        move_host(unit, host, HostState.LEASED, "its change is ended" if host.finish else "")
    for name in decision.probe:
        loaded.hosts[name].wants = "probe"
        loaded.hosts[name].updated_at = unit.now
    if decision.start or decision.probe:
        unit.wake("rollout", row.rollout_id, unit.now + GATHER)
    if decision.start and row.started_at is None:
        row.started_at = unit.now
        telling.started(unit, row, loaded)


def _show(unit: UnitOfWork, row: StoreUpdateRow, loaded: LoadedStore, decision: StoreDecision) -> None:
    before = (row.state, row.waiting)
    if not move_store(unit, row, decision.state, decision.waiting, decision.detail):
        return
    if before == (row.state, row.waiting):
        return
    if decision.state is StoreState.VERIFIED:
        telling.verified(unit, row, loaded)
    elif decision.state is StoreState.HELD:
        telling.held(unit, row, loaded)
    elif decision.waiting is Waiting.OFFLINE:
        telling.offline(unit, row, loaded)
