"""Rows as the pure rules see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from pipeline.fleet.tables import HostRow, StoreRow
from pipeline.rollouts import windows
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.rules import HostView, StoreView
from pipeline.rollouts.states import (
    DOWN,
    GOOD,
    IN_FLIGHT,
    HostState,
    RolloutState,
    StoreState,
    Waiting,
    WaveState,
)
from pipeline.rollouts.tables import FreezeRow, HostUpdateRow, RolloutRow, StoreUpdateRow, WaveRow
from pipeline.rollouts.waves import RolloutView, WaveView
from pipeline.rollouts.windows import Freeze

#: Waves whose stores may be touched. A passed one too: offline stores and retried hosts catch up.
OPEN_WAVES = (WaveState.OPEN, WaveState.SOAKING, WaveState.PASSED)
#: What monitoring says of a host that may be out of service.
_FLEET_DOWN = ("down", "unknown")


@dataclass(frozen=True, kw_only=True)
class LoadedStore:
    """A store in its rollout: the view and the rows behind it."""

    view: StoreView
    hosts: dict[str, HostUpdateRow]
    store: StoreRow
    policy: Policy


def load_store(session: Session, row: StoreUpdateRow, now: datetime, *, lock: bool = False) -> LoadedStore:
    """Everything that decides for the store now; with ``lock`` its host rows are locked."""
    rollout = session.get_one(RolloutRow, row.rollout_id)
    wave = session.get_one(WaveRow, f"{row.rollout_id}/{row.wave}")
    store = session.get_one(StoreRow, row.store_id)
    query = select(HostUpdateRow).where(HostUpdateRow.store_update_id == row.id).order_by(HostUpdateRow.id)
    updates = {
        update.host_id: update for update in session.scalars(query.with_for_update() if lock else query)
    }
    fleet = {
        host.id: host for host in session.scalars(select(HostRow).where(HostRow.store_id == row.store_id))
    }
    elsewhere = hosts_elsewhere(session, row.store_id, row.rollout_id)
    views = {name: _host(updates[name], fleet.get(name), name in elsewhere) for name in updates}
    server = next(name for name, update in updates.items() if update.role == "server")
    registers = sorted((n for n in updates if n != server), key=lambda n: (updates[n].register or 0, n))
    hours = windows.parse(store.trading_hours)
    view = StoreView(
        rollout=RolloutState(rollout.state),
        wave_open=WaveState(wave.state) in OPEN_WAVES,
        target=rollout.target,
        server=views[server],
        registers=tuple(views[name] for name in registers),
        zone=store.zone,
        windows=windows.parse(store.windows),
        freezes=freezes_of(session, row.client_id, row.store_id, now),
        # Trading hours that are not known count as always open.
        closed=bool(hours) and not windows.is_within(hours, store.zone, now),
        consent=row.consent_by is not None,
    )
    return LoadedStore(view=view, hosts=updates, store=store, policy=Policy.from_json(rollout.policy))


def _host(update: HostUpdateRow, host: HostRow | None, elsewhere: bool) -> HostView:
    return HostView(
        name=update.host_id,
        state=HostState(update.state),
        version=host.version if host is not None else None,
        down=host is None or host.state in _FLEET_DOWN,
        elsewhere=elsewhere,
        not_before=update.not_before,
        probed_at=update.probed_at,
        reachable=update.reachable,
        finish=update.finish,
        busy=update.wants is not None or update.run_id is not None,
        shift=update.trade,
        reason=update.reason,
    )


def hosts_elsewhere(session: Session, store_id: str, rollout_id: str) -> set[str]:
    """Hosts of the store that another rollout has in its hands, or does not know the state of."""
    held = [state.value for state in IN_FLIGHT | {HostState.UNKNOWN}]
    return set(
        session.scalars(
            select(HostUpdateRow.host_id).where(
                HostUpdateRow.store_id == store_id,
                HostUpdateRow.rollout_id != rollout_id,
                HostUpdateRow.state.in_(held),
            )
        )
    )


def freezes_of(session: Session, client_id: str, store_id: str, now: datetime) -> tuple[Freeze, ...]:
    """The freezes that hold for the store from now on."""
    rows = session.scalars(
        select(FreezeRow)
        .where(
            FreezeRow.ends_at > now,
            or_(FreezeRow.client_id.is_(None), FreezeRow.client_id == client_id),
            or_(FreezeRow.store_id.is_(None), FreezeRow.store_id == store_id),
        )
        .order_by(FreezeRow.starts_at)
    )
    return tuple(Freeze(start=row.starts_at, end=row.ends_at, reason=row.reason) for row in rows)


def load_rollout(session: Session, row: RolloutRow) -> RolloutView:
    """The rollout with its waves counted; two queries whatever its size."""
    offline = (StoreUpdateRow.waiting == Waiting.OFFLINE.value) & StoreUpdateRow.state.in_(
        [StoreState.WAITING.value, StoreState.SERVER.value, StoreState.REGISTERS.value]
    )
    kind = case((offline, "offline"), else_=StoreUpdateRow.state)
    counted: dict[int, dict[str, int]] = {}
    for wave, state, number in session.execute(
        select(StoreUpdateRow.wave, kind, func.count())
        .where(StoreUpdateRow.rollout_id == row.id)
        .group_by(StoreUpdateRow.wave, kind)
    ):
        counted.setdefault(wave, {})[state] = number
    failures, tried = session.execute(
        select(
            func.coalesce(func.sum(HostUpdateRow.failures), 0),
            func.coalesce(func.sum(case((HostUpdateRow.tried, 1), else_=0)), 0),
        ).where(HostUpdateRow.rollout_id == row.id)
    ).one()
    waves = session.scalars(select(WaveRow).where(WaveRow.rollout_id == row.id).order_by(WaveRow.number))
    return RolloutView(
        state=RolloutState(row.state),
        waves=tuple(_wave(wave, counted.get(wave.number, {})) for wave in waves),
        failures=int(failures),
        accepted=row.accepted_failures,
        tried=int(tried),
        begins_at=row.begins_at,
    )


def _wave(wave: WaveRow, counts: dict[str, int]) -> WaveView:
    settled = {StoreState.VERIFIED.value, StoreState.HELD.value, StoreState.SKIPPED.value, "offline"}
    return WaveView(
        number=wave.number,
        state=WaveState(wave.state),
        verified=counts.get(StoreState.VERIFIED.value, 0),
        held=counts.get(StoreState.HELD.value, 0) + counts.get(StoreState.SKIPPED.value, 0),
        offline=counts.get("offline", 0),
        moving=sum(number for state, number in counts.items() if state not in settled),
        opened_at=wave.opened_at,
        soak_until=wave.soak_until,
    )


def registers_out(session: Session, store_id: str) -> set[str]:
    """Registers of the store that count as out of service now, over all rollouts and by monitoring."""
    states = [s.value for s in (IN_FLIGHT - {HostState.LEASED}) | DOWN]
    ours = session.scalars(
        select(HostUpdateRow.host_id).where(
            HostUpdateRow.store_id == store_id,
            HostUpdateRow.role == "register",
            HostUpdateRow.state.in_(states),
        )
    )
    reported = session.scalars(
        select(HostRow.id).where(
            HostRow.store_id == store_id, HostRow.role == "register", HostRow.state == "down"
        )
    )
    return {*ours, *reported}


def all_good(rows: Iterable[HostUpdateRow]) -> bool:
    """Whether every host is where it should be."""
    return all(HostState(row.state) in GOOD for row in rows)


def names(rows: Sequence[HostUpdateRow]) -> str:
    """For people."""
    return ", ".join(row.host_id for row in rows)
