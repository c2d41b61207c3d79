"""Promises: given when a client's defect is known, kept when it was told a date, watched meanwhile."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.engine.unit import UnitOfWork
from pipeline.errors import RefusedError
from pipeline.notices import service as notices
from pipeline.notices.tables import NoticeRow
from pipeline.promises import rules
from pipeline.promises.tables import EtaRow, PromiseRow

KIND = "promise"


def open_promise(
    unit: UnitOfWork, defect_id: str, client_id: str, started_at: datetime, *, turn: int = 1
) -> PromiseRow:
    """Promise the client to tell it within 3 days when the defect will be fixed; twice it is one promise.

    A date that is already known is told at once.

    Args:
        started_at: when the term begins (aware): the case was classified as a software defect, or linked.
        turn: 2 and more when the defect came back.
    """
    from pipeline.fleet import service as fleet

    promise_id = f"{defect_id}/{client_id}/{turn}"
    existing = unit.session.get(PromiseRow, promise_id, with_for_update=True)
    if existing is not None:
        return existing
    zone = fleet.client(unit.session, client_id).zone
    promise = PromiseRow(
        id=promise_id,
        defect_id=defect_id,
        client_id=client_id,
        turn=turn,
        zone=zone,
        started_at=started_at,
        due=rules.due(started_at, zone),
        contract_due=rules.contract_term(started_at, zone),
        warned=0,
        state="running",
        created_at=unit.now,
        updated_at=unit.now,
    )
    unit.session.add(promise)
    unit.session.flush()
    unit.record(KIND, promise_id, "opened", at=started_at, due=promise.due.isoformat())
    eta = current_eta(unit.session, defect_id)
    if eta is not None:
        _tell(unit, promise, eta)
    unit.wake(KIND, promise_id)
    return promise


def set_eta(unit: UnitOfWork, defect_id: str, eta: date, reason: str, *, author: str | None = None) -> EtaRow:
    """Set the date of the fix; every client of the defect is told, once per change.

    The date that is already set changes nothing and tells nobody.

    Args:
        eta: the day on which the fix will be there.
        reason: why this date; clients read it when a date that they know changes.
        author: who set it, when that is not who acts here ("tracker").

    Raises:
        NotFoundError: there is no such defect.
        RefusedError: the defect is closed, the date has passed, or the reason is empty.
    """
    from pipeline.defects.tables import DefectRow

    defect = unit.get(DefectRow, defect_id, called="defect")
    if defect.state == "closed":
        raise RefusedError(
            f"defect {defect_id} is closed (fixed in {defect.fixed_in}): no date is due any more"
        )
    if not reason.strip():
        raise RefusedError(f"defect {defect_id}: say why the date is set (--reason); clients ask")
    present = current_eta(unit.session, defect_id)
    if present is not None and present.eta == eta:
        return present
    promises = _open(unit.session, defect_id)
    # Somewhere it may still be that day; in the client's zone that is furthest ahead it must not be over.
    today = max((unit.now.astimezone(ZoneInfo(p.zone)).date() for p in promises), default=unit.now.date())
    if not rules.acceptable(eta, today=today):
        raise RefusedError(f"defect {defect_id}: {eta} has passed (today is {today}); set a date to come")
    last = unit.session.scalar(select(func.max(EtaRow.revision)).where(EtaRow.defect_id == defect_id))
    row = EtaRow(
        defect_id=defect_id,
        revision=(last or 0) + 1,
        eta=eta,
        reason=reason.strip(),
        set_at=unit.now,
        set_by=author or unit.actor,
    )
    unit.session.add(row)
    unit.session.flush()
    unit.record("defect", defect_id, "eta_set", reason=row.reason, eta=eta.isoformat(), revision=row.revision)
    for promise in promises:
        _tell(unit, promise, row)
    return row


def eta_from_tracker(unit: UnitOfWork, defect_id: str, due_date: date, *, issue: str) -> str | None:
    """Take the due date of development's issue as the date of the fix, at once; its clients are told.

    A date that cannot be promised (passed, or the defect is closed) changes nothing: it stands in the
    defect's history with the reason, for a tracker is not answered with an error.

    Args:
        due_date: a day without a zone; each client is told that day.
        issue: the issue's key, named in the reason.

    Returns:
        Why it was not taken (the date has passed, the defect is closed), or None.

    Raises:
        NotFoundError: there is no such defect.
    """
    try:
        set_eta(unit, defect_id, due_date, f"due date of {issue}", author="tracker")
    except RefusedError as error:
        unit.record(
            "defect", defect_id, "eta_refused", reason=str(error), eta=due_date.isoformat(), issue=issue
        )
        return str(error)
    return None


def note_on_cases(
    unit: UnitOfWork, promise: PromiseRow, type_: str, *, at: datetime | None = None, **payload: Any
) -> None:
    """Write an event to each of the client's cases of the defect: their clocks replay from it."""
    from pipeline.defects.queries import cases_of

    for case in cases_of(unit.session, promise.defect_id, promise.client_id):
        unit.record("case", case.id, type_, at=at, defect=promise.defect_id, **payload)


def _tell(unit: UnitOfWork, promise: PromiseRow, eta: EtaRow) -> None:
    from pipeline.defects.queries import case_numbers, first_case

    rows = _date_notices(unit, promise)
    told = [
        rules.Told(revision=revision, eta=date.fromisoformat(row.params["eta"]), state=row.state)
        for revision, row in rows.items()
    ]
    wanted = rules.telling(told, eta.eta)
    for revision in wanted.withdraw:
        notices.supersede(unit, rows[revision].id, reason=f"the date is {eta.eta} now: {eta.reason}")
    promise.eta, promise.eta_revision, promise.updated_at = eta.eta, eta.revision, unit.now
    if not wanted.tell:
        # Back to what it knows, before it was told otherwise.
        return
    note_on_cases(unit, promise, "eta_set", eta=eta.eta.isoformat(), revision=eta.revision)
    params: dict[str, Any] = {
        "defect": promise.defect_id,
        "cases": case_numbers(unit.session, promise.defect_id, promise.client_id),
        "eta": eta.eta,
    }
    if wanted.previous is not None:
        params |= {"previous": wanted.previous, "reason": eta.reason}
    notices.queue(
        unit,
        kind="eta" if wanted.previous is None else "eta_changed",
        client_id=promise.client_id,
        key=f"eta/{promise.id}/{eta.revision}",
        params=params,
        about=(KIND, promise.id),
        store_id=first_case(unit.session, promise.defect_id, promise.client_id).store_id,
        watcher=(KIND, promise.id),
    )


def _date_notices(unit: UnitOfWork, promise: PromiseRow) -> dict[int, NoticeRow]:
    """The client's notices of dates, by revision; those that a mail worker may take just now are locked."""
    found = {}
    for row in notices.notices(unit.session, about=(KIND, promise.id)):
        if row.kind not in ("eta", "eta_changed"):
            continue
        if row.state == "queued":
            unit.session.refresh(row, with_for_update=True)
        found[int(row.key.rpartition("/")[2])] = row
    return found


def void_etas(unit: UnitOfWork, defect_id: str) -> None:
    """The defect came back: its dates were for a fix that did not hold."""
    for row in unit.session.scalars(
        select(EtaRow).where(EtaRow.defect_id == defect_id, EtaRow.voided_at.is_(None))
    ):
        row.voided_at = unit.now
    for promise in _open(unit.session, defect_id):
        for notice in _date_notices(unit, promise).values():
            notices.supersede(unit, notice.id, reason="the defect came back: the date is void")
        _close(unit, promise, "the defect came back; a new promise runs")
    unit.session.flush()


def close(unit: UnitOfWork, defect_id: str, client_id: str, *, reason: str) -> None:
    """The client's defect is closed: nothing is owed any more. A breach stays on record."""
    for promise in _open(unit.session, defect_id):
        if promise.client_id == client_id:
            _close(unit, promise, reason)


def _close(unit: UnitOfWork, promise: PromiseRow, reason: str) -> None:
    promise.state, promise.updated_at = "closed", unit.now
    unit.record(KIND, promise.id, "closed", reason=reason)


def _open(session: Session, defect_id: str) -> list[PromiseRow]:
    query = select(PromiseRow).where(PromiseRow.defect_id == defect_id, PromiseRow.state != "closed")
    return list(session.scalars(query.order_by(PromiseRow.id).with_for_update()))


def current_eta(session: Session, defect_id: str) -> EtaRow | None:
    """The date in force, or None when there is none (yet, or any more)."""
    query = select(EtaRow).where(EtaRow.defect_id == defect_id, EtaRow.voided_at.is_(None))
    return session.scalars(query.order_by(EtaRow.revision.desc()).limit(1)).one_or_none()


def etas(session: Session, defect_id: str) -> list[EtaRow]:
    """All dates ever set for the defect, oldest first."""
    return list(
        session.scalars(select(EtaRow).where(EtaRow.defect_id == defect_id).order_by(EtaRow.revision))
    )


def promises(session: Session, *, defect_id: str | None = None, open_only: bool = False) -> list[PromiseRow]:
    """Promises, the one that is due first at the head."""
    query = select(PromiseRow).order_by(PromiseRow.due, PromiseRow.id)
    if defect_id is not None:
        query = query.where(PromiseRow.defect_id == defect_id)
    if open_only:
        query = query.where(PromiseRow.state != "closed")
    return list(session.scalars(query))
