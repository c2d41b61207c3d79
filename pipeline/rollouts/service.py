"""Use cases of rollouts, one transaction each: plan, start, pause, resume, retry, abort, consent, freeze."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.engine.unit import UnitOfWork
from pipeline.errors import NotFoundError, RefusedError
from pipeline.fleet import service as fleet
from pipeline.releases import service as releases
from pipeline.rollouts import folding, reading, telling
from pipeline.rollouts.planning import PlannedStore, Preview, preview
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.states import ENDED, HostState, RolloutState, StoreState, WaveState
from pipeline.rollouts.tables import (
    FreezeRow,
    HostUpdateRow,
    RolloutRow,
    StoreLedgerRow,
    StoreUpdateRow,
    WaveRow,
)
from pipeline.rollouts.transitions import move_host, move_rollout
from pipeline.rollouts.views import load_rollout
from pipeline.settings import Settings


def plan(
    unit: UnitOfWork,
    *,
    release_id: str,
    select_by: str = "all",
    canary: Sequence[str] = (),
    sizes: Sequence[int] = (),
    policy: Policy | None = None,
) -> tuple[RolloutRow, Preview]:
    """Write a draft of a rollout; nothing happens until it is started.

    Args:
        select_by: which stores (``selection.parse``).
        canary: stores of the first wave.
        sizes: numbers of stores of the waves after it; the rest is the last wave.

    Raises:
        NotFoundError: there is no such release.
        RefusedError: the release is not approved, or no store of the selection fits.
    """
    policy = policy or Policy()
    release = releases.demand_approved(unit.session, release_id)
    shown = preview(
        unit.session,
        select_by=select_by,
        canary=canary,
        sizes=sizes,
        policy=policy,
        target=release.version,
        from_versions=release.from_versions,
        now=unit.now,
    )
    if not shown.waves:
        reasons = "; ".join(f"{planned.store.id}: {planned.why_not}" for planned in shown.left_out)
        raise RefusedError(f"no store of {select_by!r} can be updated to {release.version}: {reasons}")
    row = RolloutRow(
        id=_next_id(unit.session),
        release_id=release_id,
        target=release.version,
        digest=release.digest,
        selection=select_by,
        policy=policy.as_json(),
        planned_by=unit.actor,
        accepted_failures=0,
        pauses=0,
        runs=0,
        state=RolloutState.DRAFT.value,
        created_at=unit.now,
        updated_at=unit.now,
    )
    unit.session.add(row)
    unit.session.flush()
    for number, stores in enumerate(shown.waves, start=1):
        _add_wave(unit, row, number, stores)
    unit.record("rollout", row.id, "planned", release=release_id, selection=select_by)
    return row, shown


def _next_id(session: Session) -> str:
    # Two plans at once take the same number: the second one's insert fails as a conflict and is asked again.
    last = session.scalar(select(func.max(RolloutRow.id)))
    return f"R-{int(last.removeprefix('R-')) + 1 if last else 1:06}"


def _add_wave(unit: UnitOfWork, rollout: RolloutRow, number: int, stores: Sequence[PlannedStore]) -> None:
    stamps = {"created_at": unit.now, "updated_at": unit.now}
    unit.session.add(
        WaveRow(
            id=f"{rollout.id}/{number}",
            rollout_id=rollout.id,
            number=number,
            state=WaveState.PENDING.value,
            **stamps,
        )
    )
    for planned in stores:
        store_update = StoreUpdateRow(
            id=f"{rollout.id}/{planned.store.id}",
            rollout_id=rollout.id,
            wave=number,
            store_id=planned.store.id,
            client_id=planned.store.client_id,
            detail="",
            state=StoreState.WAITING.value,
            **stamps,
        )
        unit.session.add(store_update)
        unit.session.flush()
        registers = sum(host.role == "register" for host in planned.hosts)
        _ledger(unit, planned.store.id, registers)
        for host in planned.hosts:
            unit.session.add(
                HostUpdateRow(
                    id=f"{rollout.id}/{host.id}",
                    rollout_id=rollout.id,
                    store_update_id=store_update.id,
                    wave=number,
                    store_id=planned.store.id,
                    host_id=host.id,
                    role=host.role,
                    register=host.register,
                    reason="",
                    attempt=1,
                    tried=False,
                    failures=0,
                    strikes=0,
                    finish=False,
                    trade=False,
                    version_before=host.version,
                    out_of_service_s=0.0,
                    evidence={},
                    state=HostState.PLANNED.value,
                    **stamps,
                )
            )


def _ledger(unit: UnitOfWork, store_id: str, registers: int) -> None:
    row = unit.session.get(StoreLedgerRow, store_id)
    if row is None:
        row = StoreLedgerRow(store_id=store_id, registers=registers, out_now=0, out_most=0, out_most_by={})
        unit.session.add(row)
    row.registers = registers


def start(
    unit: UnitOfWork, settings: Settings, rollout_id: str, *, begins_at: datetime | None = None
) -> RolloutRow:
    """Let a planned rollout run; every client is told when its stores are updated.

    Args:
        begins_at: not before this instant (aware).

    Raises:
        NotFoundError: there is no such rollout.
        RefusedError: it is not a draft, or its release is not validly approved any more: everything is
            verified again from the disk.
    """
    row = _locked(unit, rollout_id)
    if row.state != RolloutState.DRAFT.value:
        raise RefusedError(f"rollout {row.id} is {row.state}: only a draft can be started{_next_action(row)}")
    release = releases.demand_valid(unit.session, settings, row.release_id)
    if release.digest != row.digest:
        raise RefusedError(
            f"rollout {row.id} was planned for {row.digest}, release {row.release_id} is now "
            f"{release.digest}: plan it again with `garant rollout plan --release {row.release_id}`"
        )
    row.begins_at = begins_at
    move_rollout(unit, row, RolloutState.SCHEDULED)
    notes = release.notes
    telling.scheduled(unit, row, {language: _lines(text) for language, text in notes.items()})
    unit.wake("rollout", row.id, begins_at)
    return row


def _lines(text: str) -> list[str]:
    return [line.strip("-* \t") for line in text.splitlines() if line.strip()]


def pause(unit: UnitOfWork, rollout_id: str, reason: str) -> RolloutRow:
    """Begin nothing new; what is being changed comes to its end.

    Raises:
        NotFoundError: there is no such rollout.
        RefusedError: it does not run.
    """
    row = _locked(unit, rollout_id)
    if RolloutState(row.state) not in (RolloutState.RUNNING, RolloutState.SCHEDULED):
        raise RefusedError(
            f"rollout {row.id} is {row.state}: only what runs can be paused{_next_action(row)}"
        )
    move_rollout(unit, row, RolloutState.PAUSED, f"{unit.actor}: {reason}")
    telling.postponed(unit, row)
    _wake_all(unit, row)
    return row


def halt(unit: UnitOfWork, rollout_id: str, reason: str) -> None:
    """Pause what runs because something is wrong with it; what does not run stays as it is."""
    row = _locked(unit, rollout_id)
    if RolloutState(row.state) is RolloutState.RUNNING:
        move_rollout(unit, row, RolloutState.PAUSED, reason)
        telling.postponed(unit, row)
        _wake_all(unit, row)


def resume(unit: UnitOfWork, rollout_id: str) -> RolloutRow:
    """Go on. The failures so far are taken as seen: only new ones count towards the next halt.

    Raises:
        NotFoundError: there is no such rollout.
        RefusedError: it is not paused.
    """
    row = _locked(unit, rollout_id)
    if row.state != RolloutState.PAUSED.value:
        raise RefusedError(
            f"rollout {row.id} is {row.state}: only what is paused can go on{_next_action(row)}"
        )
    releases.demand_approved(unit.session, row.release_id)
    row.accepted_failures = load_rollout(unit.session, row).failures
    move_rollout(unit, row, RolloutState.RUNNING, f"resumed by {unit.actor}")
    _wake_all(unit, row)
    return row


def retry(unit: UnitOfWork, rollout_id: str, host_id: str | None = None) -> list[str]:
    """Try hosts again that failed, were rolled back or needed a person: all of them, or one.

    They come back as planned: they are looked at, and gates, windows and budget hold as for any other.

    Returns:
        The names of the hosts.

    Raises:
        NotFoundError: there is no such rollout, or no such host in it.
        RefusedError: the rollout was aborted or recalled, or there is nothing to try again.
    """
    row = _locked(unit, rollout_id)
    if row.state in (RolloutState.ABORTED.value, RolloutState.RECALLED.value, RolloutState.DRAFT.value):
        raise RefusedError(f"rollout {row.id} is {row.state}: plan a new one for these hosts")
    query = select(HostUpdateRow).where(HostUpdateRow.rollout_id == row.id).order_by(HostUpdateRow.id)
    if host_id is not None:
        query = query.where(HostUpdateRow.host_id == host_id)
    rows = list(unit.session.scalars(query))
    if not rows:
        raise NotFoundError(f"no host {host_id!r} in rollout {row.id}: see `garant rollout status {row.id}`")
    bad = [host for host in rows if folding.is_bad(host)]
    if not bad:
        states = f"host {host_id} is {rows[0].state}" if host_id else "no host failed"
        raise RefusedError(f"rollout {row.id}: {states}, there is nothing to try again")
    for host in bad:
        folding.locked_host(unit, host.id)
        host.attempt += 1
        host.strikes, host.finish, host.trade = 0, False, False
        host.not_before = host.probed_at = host.reachable = None
        move_host(unit, host, HostState.PLANNED, f"tried again by {unit.actor}")
    if row.state == RolloutState.COMPLETED_WITH_EXCEPTIONS.value:
        row.accepted_failures = load_rollout(unit.session, row).failures
        move_rollout(unit, row, RolloutState.RUNNING, "hosts are tried again")
    unit.wake("rollout", row.id)
    return [host.host_id for host in bad]


def abort(unit: UnitOfWork, rollout_id: str, reason: str) -> RolloutRow:
    """End it: what was not touched stays as it is, what is being changed comes to its end.

    Raises:
        NotFoundError: there is no such rollout.
        RefusedError: it has ended already.
    """
    row = _locked(unit, rollout_id)
    if RolloutState(row.state) in ENDED:
        raise RefusedError(f"rollout {row.id} is {row.state} already: there is nothing to abort")
    _end(unit, row, RolloutState.ABORTED, reason)
    return row


def release_recalled(unit: UnitOfWork, release_id: str, reason: str) -> list[str]:
    """Stop every rollout of the release at once; returns their ids."""
    ended = [state.value for state in ENDED]
    rows = unit.session.scalars(
        select(RolloutRow)
        .where(RolloutRow.release_id == release_id, RolloutRow.state.not_in(ended))
        .order_by(RolloutRow.id)
        .with_for_update()
    ).all()
    for row in rows:
        _end(unit, row, RolloutState.RECALLED, reason)
    return [row.id for row in rows]


def _end(unit: UnitOfWork, row: RolloutRow, state: RolloutState, reason: str) -> None:
    was_told = row.state != RolloutState.DRAFT.value
    move_rollout(unit, row, state, f"{unit.actor}: {reason}")
    if was_told:
        telling.postponed(unit, row)
    _wake_all(unit, row)


def consent(unit: UnitOfWork, rollout_id: str, store_id: str, by: str) -> None:
    """Record that the client consents to the store's single register being out of service.

    Args:
        by: who at the client said so, and how (for people).

    Raises:
        NotFoundError: the store is not in the rollout.
    """
    row = unit.session.get(StoreUpdateRow, f"{rollout_id}/{store_id}", with_for_update=True)
    if row is None:
        raise NotFoundError(f"no store {store_id!r} in rollout {rollout_id!r}: see `garant rollout status`")
    row.consent_by, row.updated_at = by, unit.now
    unit.record("store_update", row.id, "consented", by=by, rollout=rollout_id, store=store_id)
    unit.wake("store_update", row.id)


def freeze(
    unit: UnitOfWork,
    *,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    client_id: str | None = None,
    store_id: str | None = None,
) -> FreezeRow:
    """Nothing is touched from ``starts_at`` to ``ends_at`` (aware): everywhere, at a client or in a store.

    Raises:
        NotFoundError: there is no such client or store.
        RefusedError: it ends before it begins, or is over.
    """
    if ends_at <= starts_at or ends_at <= unit.now:
        raise RefusedError(
            f"a freeze from {starts_at} to {ends_at} forbids nothing: give an end in the future"
        )
    if client_id is not None:
        fleet.client(unit.session, client_id)
    if store_id is not None:
        fleet.store(unit.session, store_id)
    row = FreezeRow(
        id=unit.new_id(),
        client_id=client_id,
        store_id=store_id,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason,
        made_by=unit.actor,
        made_at=unit.now,
    )
    unit.session.add(row)
    unit.record("freeze", row.id, "made", reason=reason, client=client_id, store=store_id)
    return row


def _locked(unit: UnitOfWork, rollout_id: str) -> RolloutRow:
    return unit.get(RolloutRow, reading.rollout(unit.session, rollout_id).id)


def _wake_all(unit: UnitOfWork, row: RolloutRow) -> None:
    unit.wake("rollout", row.id)
    chosen = select(StoreUpdateRow.id).where(
        StoreUpdateRow.rollout_id == row.id, StoreUpdateRow.state != StoreState.VERIFIED.value
    )
    for store_update_id in unit.session.scalars(chosen.order_by(StoreUpdateRow.id)):
        unit.wake("store_update", store_update_id)


def _next_action(row: RolloutRow) -> str:
    hints = {
        RolloutState.DRAFT.value: f"; `garant rollout start {row.id}` starts it",
        RolloutState.PAUSED.value: f"; `garant rollout resume {row.id}` lets it go on",
        RolloutState.RUNNING.value: f"; `garant rollout status {row.id}` shows it",
    }
    return hints.get(row.state, "; plan a new one with `garant rollout plan`")
