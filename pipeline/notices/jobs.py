"""The job ``notice.send``: one mail, given to the channel at most as often as needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from pipeline.engine.dispatch import JobFunction, JobRetryError, RunningJob
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import GarantError
from pipeline.notices import messages, service
from pipeline.notices.maildir import MaildirChannel
from pipeline.notices.params import checked
from pipeline.notices.port import Delivery, MailPort
from pipeline.notices.rendering import Reader, render
from pipeline.notices.smtp import SmtpChannel
from pipeline.notices.tables import NoticeRow
from pipeline.settings import MailSettings, Settings

if TYPE_CHECKING:
    from pipeline.application import Garant

#: Whose name clients see beside the sender's address.
_SENDER_NAME = {"ru": "Поддержка SET", "en": "SET support"}
_FINAL = ("accepted", "bounced", "failed", "superseded")


def jobs(app: Garant) -> dict[str, JobFunction]:
    """By kind of job."""

    def send(job: RunningJob) -> dict[str, Any]:
        return send_notice(app, channel(app.settings), job)

    return {"notice.send": send}


def channel(settings: Settings) -> MailPort:
    """The channel that the settings name.

    Raises:
        GarantError: the password's environment variable is named but not set.
    """
    mail = settings.mail
    if mail.kind == "maildir":
        return MaildirChannel(settings.home / "mail")
    password = None
    if mail.password_env is not None:
        password = os.environ.get(mail.password_env)
        if password is None:
            raise GarantError(
                f"mail: the environment variable {mail.password_env} is not set: set it for the "
                f"worker (it is named by mail.password_env in the settings)"
            )
    return SmtpChannel(mail, password=password)


def send_notice(app: Garant, port: MailPort, job: RunningJob) -> dict[str, Any]:
    """One attempt: render and write down, deliver outside any transaction, write down the answer.

    Killed between the delivery and the last commit, the next attempt gives the channel the same bytes with
    the same Message-ID.
    """
    with app.unit(f"job:{job.effect_id}") as unit:
        row = unit.get(NoticeRow, job.args["notice"], called="notices")
        if row.state in _FINAL or row.job_id != job.effect_id:
            return _outcome(row)
        letter = _prepare(unit, row, app.settings.mail, port.name)
    delivery = letter if isinstance(letter, Delivery) else _deliver(port, letter, app.settings.mail)
    with app.unit(f"job:{job.effect_id}") as unit:
        row, again_at = service.note_attempt(unit, job.args["notice"], delivery)
        outcome = _outcome(row)
    if again_at is not None:
        # Waiting for a mail server is no failure of the job; how long we try is the notice's own rule.
        raise JobRetryError(delivery.text, after=again_at - unit.now, counts=False)
    return outcome


def _deliver(port: MailPort, letter: messages.Letter, mail: MailSettings) -> Delivery:
    try:
        message = messages.message(letter)
    except ValueError as error:
        return Delivery(accepted=False, code=501, text=f"address {letter.to!r}: {error}", permanent=True)
    return port.deliver(message, messages.return_address(letter.notice, mail.domain), letter.to)


def _outcome(row: NoticeRow) -> dict[str, Any]:
    return {"state": row.state, "address": row.address, "message_id": row.message_id}


def _prepare(
    unit: UnitOfWork, row: NoticeRow, mail: MailSettings, channel_name: str
) -> messages.Letter | Delivery:
    """Render once per round and keep it: every attempt sends what the evidence shows."""
    row.state, row.attempts, row.updated_at = "sent", row.attempts + 1, unit.now
    row.channel = channel_name
    reader, address, name = _reader(unit.session, row, mail)
    if row.address is None:
        if address is None:
            text = f"client {row.client_id} has no e-mail contact: add one to the fleet file and import it"
            return Delivery(accepted=False, code=0, text=text, permanent=True)
        rendered = render(row.kind, checked(row.kind, row.params), reader)
        row.subject, row.text, row.html = rendered.subject, rendered.text, rendered.html
        row.language, row.address, row.sent_at = reader.language, address, unit.now
        row.message_id = messages.message_id(row.id, mail.domain)
    return _letter(row, mail, name)


def _letter(row: NoticeRow, mail: MailSettings, name: str) -> messages.Letter:
    # Nullable columns, all set by _prepare together with the address.
    assert row.address is not None
    assert row.sent_at is not None
    return messages.Letter(
        notice=row.id,
        sender=mail.sender,
        sender_name=_SENDER_NAME["ru" if row.language == "ru" else "en"],
        domain=mail.domain,
        to=row.address,
        to_name=name,
        language=row.language or "en",
        subject=row.subject or "",
        text=row.text or "",
        html=row.html or "",
        date=row.sent_at,
        in_reply_to=row.in_reply_to,
    )


def _reader(session: Session, row: NoticeRow, mail: MailSettings) -> tuple[Reader, str | None, str]:
    """Whom the notice is for, the address (None: there is none) and the name beside it."""
    from pipeline.fleet import service as fleet

    if row.client_id is None:
        to = row.recipient or ""
        reader = Reader(language=mail.internal_language, zone=mail.internal_zone, client=None)
        return (reader, to, "") if "@" in to else (reader, mail.duty, to)
    client = fleet.client(session, row.client_id)
    store = fleet.store(session, row.store_id) if row.store_id else None
    reader = Reader(
        language=client.language,
        zone=store.zone if store else client.zone,
        client=client.name,
        store=store.name if store else None,
        manager=client.service_manager,
        support=mail.support,
    )
    if row.recipient and "@" in row.recipient:  # a telephone number cannot get mail
        return reader, row.recipient, ""
    contact = next((c for c in client.contacts if c.get("channel", "email") == "email"), None)
    if contact is None:
        return reader, None, ""
    return reader, contact["address"], contact.get("name") or ""
