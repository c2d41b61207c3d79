"""A promise is looked at when part of its term has passed and when one of its notices has an outcome."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from pipeline.defects.queries import case_numbers, first_case
from pipeline.defects.tables import DefectRow
from pipeline.engine.dispatch import TickFunction
from pipeline.engine.unit import UnitOfWork
from pipeline.notices import service as notices
from pipeline.notices.tables import NoticeRow
from pipeline.promises import rules
from pipeline.promises.service import KIND, note_on_cases
from pipeline.promises.tables import PromiseRow

if TYPE_CHECKING:
    from pipeline.application import Garant


def ticks(app: Garant) -> dict[str, TickFunction]:
    """By kind of thing."""
    owner = app.settings.promises.owner_email
    return {KIND: lambda unit, promise_id: tick_promise(unit, promise_id, owner=owner)}


def tick_promise(unit: UnitOfWork, promise_id: str, *, owner: str | None = None) -> datetime | None:
    """Decide by ``rules.decide`` and write what follows: kept, warned of, broken.

    Args:
        owner: development's address for warnings; None: only the service manager is warned.
    """
    promise = unit.get(PromiseRow, promise_id, called=KIND)
    told_at = _told_at(unit.session, promise_id)
    look = rules.Look(
        state=promise.state,
        start=promise.started_at,
        due=promise.due,
        warned=promise.warned,
        dated=promise.eta is not None,
        held=promise.held_at is not None,
        told_at=told_at,
    )
    decision = rules.decide(look, unit.now)
    if told_at is not None and promise.told_at != told_at:
        promise.told_at, promise.updated_at = told_at, unit.now
        note_on_cases(unit, promise, "eta_notice_accepted", at=told_at, channel="email")
        unit.record(KIND, promise_id, "told", at=told_at, eta=promise.eta and promise.eta.isoformat())
    if told_at is None and promise.told_at is not None:
        # A hard bounce after the 250: the client was not told, so the case's clock runs on too.
        unit.record(
            KIND, promise_id, "told_withdrawn", reason="the notice bounced", was=promise.told_at.isoformat()
        )
        promise.told_at, promise.updated_at = None, unit.now
    if decision.state != promise.state:
        _change(unit, promise, decision.state)
    if decision.warn is not None:
        promise.warned, promise.updated_at = decision.warn, unit.now
        unit.record(KIND, promise_id, "warned", percent=decision.warn)
        _warn(unit, promise, decision.warn, owner)
    if decision.hold:
        _hold(unit, promise)
    return decision.again_at


def _told_at(session: Session, promise_id: str) -> datetime | None:
    """When a channel first accepted a date for this client; a notice that bounced told nothing."""
    accepted = [
        row.accepted_at
        for row in notices.notices(session, about=(KIND, promise_id), state="accepted")
        if row.kind in ("eta", "eta_changed") and row.accepted_at is not None
    ]
    return min(accepted, default=None)


def _change(unit: UnitOfWork, promise: PromiseRow, state: str) -> None:
    if state == "breached":
        # The breach is at the due instant, never when we noticed (conventions of sla-cases.json).
        promise.breached_at = promise.due
        unit.record(KIND, promise.id, "breached", at=promise.due, reason="the client knew no date")
        _internal(unit, promise, "promise_breach", "breach", breached_at=promise.due)
    elif promise.state == "breached":
        promise.breached_at = None
        unit.record(
            KIND, promise.id, "breach_withdrawn", reason="the date was accepted in time, we knew it late"
        )
    if state == "met":
        unit.record(KIND, promise.id, "met", at=promise.told_at)
    promise.state, promise.updated_at = state, unit.now


def _hold(unit: UnitOfWork, promise: PromiseRow) -> None:
    case = first_case(unit.session, promise.defect_id, promise.client_id)
    promise.held_at = unit.now
    unit.record(KIND, promise.id, "holding")
    notices.queue(
        unit,
        kind="holding",
        client_id=promise.client_id,
        key=f"holding/{promise.id}",
        params={
            "defect": promise.defect_id,
            "cases": case_numbers(unit.session, promise.defect_id, promise.client_id),
            "due": promise.due,
        },
        about=(KIND, promise.id),
        store_id=case.store_id,
    )


def _warn(unit: UnitOfWork, promise: PromiseRow, percent: int, owner: str | None) -> None:
    what: dict[str, Any] = {"percent": percent, "due": promise.due}
    first = _internal(unit, promise, "promise_warning", f"{percent}", **what)
    if owner is not None and owner != first.recipient:
        _internal(unit, promise, "promise_warning", f"{percent}/owner", to=owner, **what)


def _internal(
    unit: UnitOfWork, promise: PromiseRow, kind: str, what: str, *, to: str | None = None, **params: object
) -> NoticeRow:
    from pipeline.fleet import service as fleet

    client = fleet.client(unit.session, promise.client_id)
    defect = unit.get(DefectRow, promise.defect_id, called="defect")
    return notices.internal(
        unit,
        kind=kind,
        to=to or client.service_manager or "",
        key=f"promise/{promise.id}/{what}",
        params={"defect": defect.id, "title": defect.title, "client_name": client.name, **params},
        about=(KIND, promise.id),
    )
