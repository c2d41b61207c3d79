"""The use cases of a case's life. Every fact is an event of kind ``case``; the clocks replay from them.

The events carry the types of sla-cases.json (received, registered, classified, pause, resume, answered,
restored, reopened, term_agreed, registers_state, defect_recorded, client_linked); what else happens
to a case (defect_linked, closed, clock_warning, clock_breach) has types that the clocks pass over.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.clocks.tariff import GARANT
from pipeline.database.base import EventRow
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import NotFoundError, RefusedError
from pipeline.fleet import service as fleet
from pipeline.fleet.rules import nearest, unknown
from pipeline.fleet.tables import StoreRow
from pipeline.intake import announcements, rules
from pipeline.intake.tables import CaseNumberRow, CaseRow

KIND = "case"


def open_case(
    unit: UnitOfWork,
    *,
    client_id: str,
    store_id: str | None,
    channel: str,
    received_at: datetime,
    subject: str,
    text: str,
    contact: str | None = None,
    source_key: str | None = None,
) -> CaseRow:
    """Register a request; the client is told its number.

    The same ``source_key`` twice is one case, and the first arrival counts.

    Args:
        received_at: when our edge received it (aware): the registration clock starts there.
        contact: who asked (an address is answered in place of the client's first contact).
        source_key: what makes a repeated delivery the same request: the Message-ID of a mail.

    Raises:
        NotFoundError: no such client or store; near names are given.
        RefusedError: the store is another client's, or the request is not complete.
    """
    if source_key is not None:
        known = unit.session.scalar(select(CaseRow).where(CaseRow.source_key == source_key))
        if known is not None:
            if received_at != known.received_at:
                unit.record(
                    KIND, known.id, "received", at=received_at, channel=channel, message_id=source_key
                )
            return known
    client = fleet.client(unit.session, client_id)
    _store_of(unit.session, client_id, store_id)
    fault = rules.request_faults(channel, text, subject, received_at, unit.now)
    if fault is not None:
        raise RefusedError(f"request of {client_id}: {fault}")
    eligibility = fleet.client_eligibility(unit.session, client_id)
    received_at = min(received_at, unit.now)
    row = CaseRow(
        id=_next_number(unit),
        client_id=client_id,
        store_id=store_id,
        channel=channel,
        language=client.language,
        subject=rules.subject_line(subject, text),
        text=text,
        classes=[],
        received_at=received_at,
        registered_at=unit.now,
        eligible=eligibility.eligible,
        contact=contact,
        source_key=source_key,
        state="registered",
        created_at=unit.now,
        updated_at=unit.now,
    )
    unit.session.add(row)
    unit.session.flush()
    arrival = {"message_id": source_key} if source_key else {}
    unit.record(KIND, row.id, "received", at=received_at, channel=channel, **arrival)
    unit.record(KIND, row.id, "registered", eligible=eligibility.eligible, eligibility=eligibility.reason)
    announcements.registered(unit, row)
    unit.wake(KIND, row.id)
    return row


def classify(
    unit: UnitOfWork,
    case_id: str,
    classes: Sequence[str],
    *,
    software_defect: bool = False,
    approved_by: str | None = None,
) -> CaseRow:
    """Say what kind of trouble it is; the terms follow, counted from the registration.

    ``software_defect`` is the registration of a defect: the promise of an ETA within 3 days runs from
    now (TARIFF.md; DESIGN section 8), and evidence is collected from the case's store without being asked.

    Args:
        classes: the tariff's words (``pipeline.clocks.tariff.GARANT_CLASSES``); may be empty only for a
            software defect, which leaves the classes as they are.
        approved_by: the second person who approves a downgrade after a breach.

    Raises:
        NotFoundError: no such case, or no such class; near names are given.
        RefusedError: the case is closed, no class is given, or the approver is the one who classifies.
    """
    row = locked(unit, case_id, "classify")
    for name in rules.unknown_classes(classes, GARANT.classes):
        near = nearest(name, GARANT.classes)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise NotFoundError(f"no class {name!r}.{hint} There are {', '.join(GARANT.classes)}")
    if not classes and not software_defect:
        raise RefusedError(f"case {row.id}: no class given; name one of {', '.join(GARANT.classes)}")
    if approved_by is not None and approved_by.removeprefix("person:") == unit.actor.removeprefix("person:"):
        raise RefusedError(f"case {row.id}: {approved_by} cannot approve the own change; ask a second person")
    wanted = sorted(set(classes)) or row.classes
    changed = wanted != row.classes
    found = software_defect and row.software_defect_at is None
    if not changed and not found:
        return row
    if changed:
        approval: dict[str, Any] = {"approved_by": approved_by} if approved_by else {}
        unit.record(KIND, row.id, "classified", classes=wanted, by=unit.actor, **approval)
        row.classes = wanted
    if found:
        unit.record(KIND, row.id, "defect_recorded", client="this")
        row.software_defect_at = unit.now
    if row.state == "registered":
        row.state = "classified"
    touched(unit, row)
    announcements.classified(unit, row)
    if found:
        from pipeline.diagnosis import service as diagnosis  # it imports us

        diagnosis.begin(unit, row.id)
    return row


def restore(unit: UnitOfWork, case_id: str, *, at: datetime | None = None) -> CaseRow:
    """The system works again; the restore clock stops at ``at`` (aware; default: now).

    Raises:
        NotFoundError: no such case.
        RefusedError: it is restored or closed already, or ``at`` is before the registration or to come.
    """
    row = locked(unit, case_id, "restore")
    instant = _past(unit, row, at, "restored")
    unit.record(KIND, row.id, "restored", at=instant)
    row.state, row.restored_at = "restored", instant
    touched(unit, row)
    return row


def reopen(unit: UnitOfWork, case_id: str) -> CaseRow:
    """The trouble came back within 24 hours: the same clock goes on, the time between is not counted.

    Raises:
        NotFoundError: no such case.
        RefusedError: it was not restored, or longer ago than that.
    """
    row = locked(unit, case_id, "reopen")
    assert row.restored_at is not None
    if unit.now - row.restored_at > rules.REOPEN_WITHIN:
        raise RefusedError(
            f"case {row.id} was restored at {row.restored_at.isoformat()}, more than 24 hours ago: "
            "open a new case (`garant case open`)"
        )
    unit.record(KIND, row.id, "reopened")
    row.state, row.restored_at = "classified" if row.classes else "registered", None
    touched(unit, row)
    return row


def close(unit: UnitOfWork, case_id: str, reason: str, *, tell: bool = True) -> CaseRow:
    """The case is over. A clock that still runs is cancelled; a breach stays a breach.

    Args:
        reason: why, in the client's language: it is told to the client.
        tell: False when another notice tells it (``fixed_in_your_stores``).

    Raises:
        NotFoundError: no such case.
        RefusedError: it is closed already, or no reason is given.
    """
    row = locked(unit, case_id, "close")
    if not reason.strip():
        raise RefusedError(f"case {row.id}: closing needs a reason; the client is told it")
    unit.record(KIND, row.id, "closed", reason=reason)
    row.state = "closed"
    touched(unit, row)
    if tell:
        announcements.closed(unit, row, reason)
    return row


def link_defect(unit: UnitOfWork, case_id: str, defect_id: str, *, recorded: bool) -> CaseRow:
    """Tie the case to a defect; linking the same one again changes nothing.

    Args:
        recorded: True when the defect was recorded from this case, False when it was known before. Either
            way the promise runs from the case's classification as a software defect, if that came first.

    Raises:
        NotFoundError: no such case.
        RefusedError: it is tied to another defect.
    """
    row = locked(unit, case_id, "link")
    if row.defect_id == defect_id:
        return row
    if row.defect_id is not None:
        raise RefusedError(
            f"case {row.id} is tied to {row.defect_id} already: open a case for the other trouble"
        )
    row.defect_id = defect_id
    if row.software_defect_at is None:
        row.software_defect_at = unit.now
        kind = "defect_recorded" if recorded else "client_linked"
        unit.record(KIND, row.id, kind, defect=defect_id, client="this")
    unit.record(KIND, row.id, "defect_linked", defect=defect_id, recorded=recorded)
    touched(unit, row)
    return row


def case(session: Session, case_id: str) -> CaseRow:
    """The case by its number.

    Raises:
        NotFoundError: there is none; near numbers are given.
    """
    row = session.get(CaseRow, case_id)
    if row is None:
        known = session.scalars(select(CaseRow.id))
        raise NotFoundError(unknown("case", case_id, known, "garant case list"))
    return row


def cases(
    session: Session, *, client_id: str | None = None, store_id: str | None = None, state: str | None = None
) -> list[CaseRow]:
    """Cases by number, those of the client, store or state given (``open``: all that are not closed)."""
    chosen = select(CaseRow).order_by(CaseRow.id)
    if client_id is not None:
        chosen = chosen.where(CaseRow.client_id == client_id)
    if store_id is not None:
        chosen = chosen.where(CaseRow.store_id == store_id)
    if state == "open":
        chosen = chosen.where(CaseRow.state != "closed")
    elif state is not None:
        chosen = chosen.where(CaseRow.state == state)
    return list(session.scalars(chosen))


def awaiting_diagnosis(session: Session) -> list[CaseRow]:
    """Open cases classified as a software defect that no defect was found for yet, the oldest first."""
    chosen = select(CaseRow).where(
        CaseRow.software_defect_at.is_not(None), CaseRow.defect_id.is_(None), CaseRow.state != "closed"
    )
    return list(session.scalars(chosen.order_by(CaseRow.software_defect_at)))


def events(session: Session, case_id: str) -> list[EventRow]:
    """What happened to the case, in the order of time (of recording, where times are equal)."""
    chosen = select(EventRow).where(EventRow.kind == KIND, EventRow.thing_id == case_id)
    return list(session.scalars(chosen.order_by(EventRow.at, EventRow.id)))


def locked(unit: UnitOfWork, case_id: str, action: str) -> CaseRow:
    """The case, locked for this transaction, if the action may be done in its state.

    Raises:
        NotFoundError: no such case.
        RefusedError: its state forbids the action; the next action is named.
    """
    case(unit.session, case_id)
    row = unit.get(CaseRow, case_id, called="case")
    refused = rules.refusal(row.state, action)
    if refused is not None:
        raise RefusedError(f"case {row.id} {refused}")
    return row


def touched(unit: UnitOfWork, row: CaseRow) -> CaseRow:
    """Something happened to the case: its clocks are looked at anew."""
    row.updated_at = unit.now
    unit.session.flush()
    unit.wake(KIND, row.id)
    return row


def _past(unit: UnitOfWork, row: CaseRow, at: datetime | None, what: str) -> datetime:
    instant = at or unit.now
    if instant > unit.now + rules.CLOCK_SKEW:
        raise RefusedError(
            f"case {row.id}: {what} at {instant.isoformat()} is in the future: correct the time"
        )
    if instant < row.registered_at:
        raise RefusedError(
            f"case {row.id}: {what} at {instant.isoformat()} is before its registration at "
            f"{row.registered_at.isoformat()}: correct the time"
        )
    return min(instant, unit.now)


def _store_of(session: Session, client_id: str, store_id: str | None) -> None:
    if store_id is None:
        return
    row = session.get(StoreRow, store_id)
    if row is not None and row.client_id == client_id and row.state != "retired":
        return
    stores = [row.id for row in fleet.stores_of_client(session, client_id)]
    near = nearest(store_id, stores)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise NotFoundError(
        f"client {client_id} has no store {store_id!r}.{hint} List what exists with `garant fleet list`"
    )


def _next_number(unit: UnitOfWork) -> str:
    counter = unit.session.get(CaseNumberRow, 1, with_for_update=True)
    if counter is None:
        counter = CaseNumberRow(id=1, next=1)
        unit.session.add(counter)
    number, counter.next = counter.next, counter.next + 1
    return f"G-{number:06}"
