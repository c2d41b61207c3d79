"""Notices: queued in the transaction of what they tell, sent by a job, their outcome written back."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.engine.unit import UnitOfWork
from pipeline.errors import GarantError, NotFoundError, RefusedError
from pipeline.notices import rules
from pipeline.notices.params import INTERNAL_KINDS, KINDS, checked
from pipeline.notices.rules import Delivery
from pipeline.notices.tables import NoticeRow

#: Length of an idempotency key; ``notice:KEY#ROUND`` must fit a job's effect id.
MAX_KEY = 110
QUEUE = "mail"
KIND = "notice"


def notice_id(key: str) -> str:
    """The notice's id: a digest of its key, short enough for a return address's local part (RFC 5321)."""
    return hashlib.sha256(key.encode()).hexdigest()[:24]


def queue(
    unit: UnitOfWork,
    *,
    kind: str,
    client_id: str,
    key: str,
    params: dict[str, Any],
    about: tuple[str, str],
    urgent: bool = True,
    store_id: str | None = None,
    address: str | None = None,
    in_reply_to: str | None = None,
    watcher: tuple[str, str] | None = None,
) -> NoticeRow:
    """Tell a client something once; part of the caller's transaction, sent by a worker of the mail queue.

    Args:
        kind: one of ``params.KINDS``.
        key: what is told (``eta/D-000001/kupets/1``): queued again under the same key it stays one notice.
        params: as the kind's model in ``params`` says; instants aware, dates as ``YYYY-MM-DD`` or ``date``.
        about: kind and id of the thing that it is about.
        urgent: False may wait for the client's morning.
        store_id: whose name is told and in whose zone the times are; None: the client's zone.
        address: the mail address to use in place of the client's first contact (who asked gets the answer).
        in_reply_to: Message-ID of the request that this answers.
        watcher: kind and id of what is ticked when the outcome is known.

    Raises:
        GarantError: the kind is not known, a parameter is wrong, or the key is.
    """
    if kind not in KINDS:
        raise GarantError(f"no notice kind {kind!r} for clients: there are {', '.join(KINDS)}")
    row = _existing_or_new(unit, kind, key, params, about)
    if row.client_id is None:
        row.client_id, row.store_id, row.urgent = client_id, store_id, urgent
        row.recipient, row.in_reply_to = address, in_reply_to
        _start(unit, row, watcher)
    return row


def internal(
    unit: UnitOfWork,
    *,
    kind: str,
    to: str,
    key: str,
    params: dict[str, Any],
    about: tuple[str, str] | None = None,
) -> NoticeRow:
    """Tell one of our own people something once (warning, breach).

    Args:
        to: a mail address; or a name or nothing: then it goes to the duty address of the settings.

    Raises:
        GarantError: the kind is not known, a parameter is wrong, or the key is.
    """
    if kind not in INTERNAL_KINDS:
        raise GarantError(f"no internal notice kind {kind!r}: there are {', '.join(INTERNAL_KINDS)}")
    row = _existing_or_new(unit, kind, key, params, about or (kind, key))
    if row.recipient is None:
        row.recipient, row.urgent = to, True
        _start(unit, row, None)
    return row


def _existing_or_new(
    unit: UnitOfWork, kind: str, key: str, params: dict[str, Any], about: tuple[str, str]
) -> NoticeRow:
    if not key or len(key) > MAX_KEY or not key.isprintable():
        raise GarantError(f"notice key {key!r}: 1 to {MAX_KEY} printable characters are expected")
    existing = unit.session.get(NoticeRow, notice_id(key), with_for_update=True)
    if existing is not None:
        return existing
    told = checked(kind, params).model_dump(mode="json")
    return NoticeRow(
        id=notice_id(key),
        key=key,
        kind=kind,
        about_kind=about[0],
        about_id=about[1],
        params=told,
        job_id=f"notice:{key}",
        attempts=0,
        evidence=[],
        state="queued",
        created_at=unit.now,
        updated_at=unit.now,
    )


def _start(unit: UnitOfWork, row: NoticeRow, watcher: tuple[str, str] | None) -> None:
    if watcher is not None:
        row.watcher_kind, row.watcher_id = watcher
    unit.session.add(row)
    unit.session.flush()
    unit.record(KIND, row.id, "queued", notice=row.kind, client=row.client_id, key=row.key)
    unit.start_job("notice.send", row.job_id, {"notice": row.id}, owner=(KIND, row.id), queue=QUEUE)


def by_key(session: Session, key: str) -> NoticeRow | None:
    """The notice of the key, or None when it was never queued."""
    return session.get(NoticeRow, notice_id(key))


def notices(
    session: Session,
    *,
    client_id: str | None = None,
    kind: str | None = None,
    state: str | None = None,
    about: tuple[str, str] | None = None,
    limit: int = 1000,
) -> list[NoticeRow]:
    """Notices, oldest first (the newest ``limit`` of those that match)."""
    query = select(NoticeRow).order_by(NoticeRow.created_at.desc(), NoticeRow.id.desc()).limit(limit)
    if client_id is not None:
        query = query.where(NoticeRow.client_id == client_id)
    if kind is not None:
        query = query.where(NoticeRow.kind == kind)
    if state is not None:
        query = query.where(NoticeRow.state == state)
    if about is not None:
        query = query.where(NoticeRow.about_kind == about[0], NoticeRow.about_id == about[1])
    return list(reversed(session.scalars(query).all()))


def notice(session: Session, name: str) -> NoticeRow:
    """The notice by its id or its key.

    Raises:
        NotFoundError: there is none.
    """
    row = session.get(NoticeRow, name) or by_key(session, name)
    if row is None:
        raise NotFoundError(f"no notice {name!r}: see `garant notices list`")
    return row


def resend(unit: UnitOfWork, name: str) -> NoticeRow:
    """Send a notice that failed or bounced again: same key, same Message-ID, the client's present address.

    Raises:
        NotFoundError: there is no such notice.
        RefusedError: it was accepted (nobody is told twice), or it is still under way.
    """
    row = unit.get(NoticeRow, notice(unit.session, name).id, called="notices")
    if row.state == "accepted":
        raise RefusedError(
            f"notice {row.id} ({row.kind}) was accepted at {row.accepted_at}: nobody is told twice. "
            f"`garant notices show {row.id}` has the text to read out"
        )
    if row.state == "superseded":
        raise RefusedError(
            f"notice {row.id} ({row.kind}) was superseded: what it says is no longer so. "
            f"`garant notices list --client {row.client_id}` has what was told in its place"
        )
    if row.state not in ("failed", "bounced"):
        raise RefusedError(f"notice {row.id} ({row.kind}) is {row.state}: it is still under way, wait for it")
    rounds = _round(row) + 1
    row.job_id = f"notice:{row.key}#{rounds}"
    row.state, row.attempts, row.updated_at = "queued", 0, unit.now
    row.address = row.sent_at = row.accepted_at = None
    unit.record(KIND, row.id, "resent", round=rounds)
    unit.start_job("notice.send", row.job_id, {"notice": row.id}, owner=(KIND, row.id), queue=QUEUE)
    return row


def supersede(unit: UnitOfWork, row_id: str, *, reason: str) -> bool:
    """Withdraw a notice that has not gone out: what it says is no longer so.

    Returns:
        False when it is being sent, was sent, or is over: then nothing changes.

    Raises:
        NotFoundError: there is no such notice.
    """
    row = unit.get(NoticeRow, row_id, called="notices")
    if row.state != "queued":
        return False
    row.state, row.updated_at = "superseded", unit.now
    unit.record(KIND, row.id, "superseded", reason=reason, notice=row.kind, client=row.client_id)
    return True


def _round(row: NoticeRow) -> int:
    return int(row.job_id.removeprefix(f"notice:{row.key}").removeprefix("#") or 1)


def note_attempt(unit: UnitOfWork, row_id: str, delivery: Delivery) -> tuple[NoticeRow, datetime | None]:
    """Write down one answer of the channel; returns when to try again (None: the answer is final)."""
    row = unit.get(NoticeRow, row_id, called="notices")
    row.evidence = [
        *row.evidence,
        {"at": unit.now.isoformat(), "code": delivery.code, "text": delivery.text},
    ]
    row.updated_at = unit.now
    decision = rules.after_attempt(
        delivery, attempts=row.attempts, first_at=row.sent_at or unit.now, now=unit.now
    )
    if decision.again_at is None:
        settle(unit, row, decision.state, reason=f"{delivery.code} {delivery.text}")
    return row, decision.again_at


def settle(unit: UnitOfWork, row: NoticeRow, state: str, *, reason: str | None) -> None:
    """The outcome is known: write it, wake whoever waits for it, and tell our people of a failure."""
    row.state, row.updated_at = state, unit.now
    if state == "accepted":
        row.accepted_at = unit.now
    unit.record(KIND, row.id, state, reason=reason, notice=row.kind, client=row.client_id)
    if row.watcher_kind and row.watcher_id:
        unit.wake(row.watcher_kind, row.watcher_id)
    if state != "accepted" and row.client_id is not None:
        _tell_of_failure(unit, row, reason or "no reason is known")


def _tell_of_failure(unit: UnitOfWork, row: NoticeRow, reason: str) -> None:
    # An internal notice that fails tells nobody: it would tell of itself without end.
    from pipeline.fleet.tables import ClientRow

    client = unit.session.get(ClientRow, row.client_id)
    internal(
        unit,
        kind="notice_failed",
        to=(client.service_manager if client else None) or "",
        key=f"notice_failed/{row.id}/{_round(row)}",
        params={
            "notice": row.id,
            "kind": row.kind,
            "client_name": client.name if client else row.client_id,
            "address": row.address,
            "reason": reason[:1000],
        },
        about=(KIND, row.id),
    )
