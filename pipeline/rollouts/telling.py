"""What clients are told of a rollout, and what the rest of the house learns from it; each thing once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from pipeline.engine.unit import UnitOfWork
from pipeline.fleet.tables import StoreRow
from pipeline.notices import service as notices
from pipeline.rollouts import windows, words
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.states import BAD, HostState, StoreState
from pipeline.rollouts.tables import HostUpdateRow, RolloutRow, StoreUpdateRow
from pipeline.rollouts.views import LoadedStore, freezes_of


def scheduled(unit: UnitOfWork, rollout: RolloutRow, changes: dict[str, list[str]]) -> None:
    """Every client of the rollout learns when its stores are updated.

    Args:
        changes: what is new, one line each, by language.
    """
    policy = Policy.from_json(rollout.policy)
    for client_id, rows in _by_client(unit, rollout.id).items():
        language = _language(unit, client_id)
        _queue(
            unit,
            "update_scheduled",
            rollout.id,
            client_id,
            key=f"rollout/{rollout.id}/scheduled/{client_id}",
            params={
                "version": rollout.target,
                "stores": [_with_window(unit, rollout, row, policy) for row in rows],
                "changes": changes.get(language) or changes.get("en") or [],
            },
        )


def started(unit: UnitOfWork, row: StoreUpdateRow, loaded: LoadedStore) -> None:
    """The client's first store of the rollout is about to be changed."""
    _queue(
        unit,
        "update_started",
        row.rollout_id,
        row.client_id,
        key=f"rollout/{row.rollout_id}/started/{row.client_id}",
        params={"version": loaded.view.target, "stores": [_at(unit, loaded.store)]},
    )


def verified(unit: UnitOfWork, row: StoreUpdateRow, loaded: LoadedStore) -> None:
    """Every host of the store was seen on the version: defects may close; the client's last store is told."""
    from pipeline.defects import service as defects

    unit.session.flush()
    defects.store_verified(unit, row.store_id, loaded.view.target)
    rows = _by_client(unit, row.rollout_id)[row.client_id]
    if all(other.state == StoreState.VERIFIED.value for other in rows):
        _queue(
            unit,
            "update_done",
            row.rollout_id,
            row.client_id,
            key=f"rollout/{row.rollout_id}/done/{row.client_id}",
            params={
                "version": loaded.view.target,
                "stores": [_at(unit, _store(unit, other.store_id), other) for other in rows],
            },
        )


def held(unit: UnitOfWork, row: StoreUpdateRow, loaded: LoadedStore) -> None:
    """The store is held: what was tried was taken back, or a person looks after it."""
    bad = [host for host in loaded.hosts.values() if HostState(host.state) in BAD]
    if not bad:
        return
    count = sum(host.failures for host in bad)
    _queue(
        unit,
        "update_failed",
        row.rollout_id,
        row.client_id,
        key=f"rollout/{row.rollout_id}/failed/{row.store_id}/{count}",
        params={
            "version": loaded.view.target,
            "stores": [_at(unit, loaded.store)],
            "reason": words.failed(_language(unit, row.client_id), [host.register for host in bad]),
            "restored_version": _serving(bad),
        },
        store_id=row.store_id,
    )


def offline(unit: UnitOfWork, row: StoreUpdateRow, loaded: LoadedStore) -> None:
    """The store does not answer: it is updated when it is back."""
    store = loaded.store
    _queue(
        unit,
        "update_postponed",
        row.rollout_id,
        row.client_id,
        key=f"rollout/{row.rollout_id}/offline/{row.store_id}",
        params={
            "version": loaded.view.target,
            "stores": [{"name": store.name, "zone": store.zone}],
            "reason": words.offline(_language(unit, row.client_id)),
        },
        store_id=row.store_id,
    )


def postponed(unit: UnitOfWork, rollout: RolloutRow) -> None:
    """The rollout stopped; every client that waits for a store learns that no new time is known yet."""
    for client_id, rows in _by_client(unit, rollout.id).items():
        waiting = [row for row in rows if row.state not in (StoreState.VERIFIED.value, StoreState.HELD.value)]
        if waiting:
            stores = [_store(unit, row.store_id) for row in waiting]
            _queue(
                unit,
                "update_postponed",
                rollout.id,
                client_id,
                key=f"rollout/{rollout.id}/postponed/{rollout.state}/{rollout.pauses}/{client_id}",
                params={
                    "version": rollout.target,
                    "stores": [{"name": store.name, "zone": store.zone} for store in stores],
                    "reason": words.stopped(_language(unit, client_id)),
                },
            )


def _queue(
    unit: UnitOfWork,
    kind: str,
    rollout_id: str,
    client_id: str,
    *,
    key: str,
    params: dict[str, Any],
    store_id: str | None = None,
) -> None:
    notices.queue(
        unit,
        kind=kind,
        client_id=client_id,
        key=key,
        params=params,
        about=("rollout", rollout_id),
        urgent=kind in ("update_failed", "update_postponed"),
        store_id=store_id,
    )


def _by_client(unit: UnitOfWork, rollout_id: str) -> dict[str, list[StoreUpdateRow]]:
    found: dict[str, list[StoreUpdateRow]] = {}
    query = select(StoreUpdateRow).where(StoreUpdateRow.rollout_id == rollout_id)
    for row in unit.session.scalars(query.order_by(StoreUpdateRow.wave, StoreUpdateRow.store_id)):
        found.setdefault(row.client_id, []).append(row)
    return found


def _with_window(
    unit: UnitOfWork, rollout: RolloutRow, row: StoreUpdateRow, policy: Policy
) -> dict[str, Any]:
    store = _store(unit, row.store_id)
    begin = max(rollout.begins_at or unit.now, unit.now)
    freezes = freezes_of(unit.session, row.client_id, row.store_id, unit.now)
    span = windows.next_span(windows.parse(store.windows), store.zone, freezes, begin, policy.need)
    if span is None:
        return {"name": store.name, "zone": store.zone}
    # A store that may always be touched has no end of its window; a day is what a person can plan with.
    end = min(span.end, span.start + timedelta(days=1))
    return {"name": store.name, "zone": store.zone, "start": span.start, "end": end}


def _at(unit: UnitOfWork, store: StoreRow, row: StoreUpdateRow | None = None) -> dict[str, Any]:
    at = row.ended_at if row is not None and row.ended_at is not None else unit.now
    return {"name": store.name, "zone": store.zone, "at": at}


def _language(unit: UnitOfWork, client_id: str) -> str:
    from pipeline.fleet import service as fleet

    return fleet.client(unit.session, client_id).language


def _store(unit: UnitOfWork, store_id: str) -> StoreRow:
    return unit.session.get_one(StoreRow, store_id)


def _serving(hosts: Iterable[HostUpdateRow]) -> str:
    versions = {host.version_after or host.version_before for host in hosts}
    return ", ".join(sorted(version for version in versions if version)) or "-"
