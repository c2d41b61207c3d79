"""The outbox: told once, whatever is repeated, killed or refused on the way."""

from __future__ import annotations

import mailbox
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.application import Garant
from pipeline.database.base import EventRow
from pipeline.engine.dispatch import RunningJob
from pipeline.engine.tables import JobRow
from pipeline.errors import GarantError, NotFoundError, RefusedError
from pipeline.fleet.tables import ClientRow
from pipeline.notices import service
from pipeline.notices.jobs import channel, send_notice
from pipeline.notices.port import Delivery
from pipeline.notices.samples import SAMPLES
from pipeline.notices.tables import NoticeRow

KEY = "eta/D-000007/kupets/1/1"


class ScriptedChannel:
    """A channel that answers as told, and keeps what it was given."""

    name = "scripted"

    def __init__(self, *answers: Delivery) -> None:
        self.answers = list(answers)
        self.given: list[tuple[EmailMessage, str, str]] = []

    def deliver(self, message: EmailMessage, envelope_from: str, to: str) -> Delivery:
        self.given.append((message, envelope_from, to))
        return self.answers.pop(0)


def queue(
    app: Garant, *, key: str = KEY, kind: str = "eta", client: str = "kupets", **more: Any
) -> NoticeRow:
    with app.unit("person:test") as unit:
        return service.queue(
            unit,
            kind=kind,
            client_id=client,
            key=key,
            params=SAMPLES[kind],
            about=("promise", "D-000007/kupets/1"),
            **more,
        )


def stored(app: Garant, key: str = KEY) -> NoticeRow:
    with app.database.reading() as session:
        row = service.by_key(session, key)
        assert row is not None
        return row


def mails(app: Garant) -> list[mailbox.MaildirMessage]:
    box = mailbox.Maildir(app.settings.home / "mail", create=False)
    found = sorted(box, key=lambda mail: str(mail["Date"]))
    box.close()
    return found


def running(app: Garant, key: str = KEY, attempt: int = 1) -> RunningJob:
    return RunningJob(
        effect_id=f"notice:{key}",
        kind="notice.send",
        args={"notice": service.notice_id(key)},
        attempt=attempt,
        token=attempt,
        deadline=app.clock() + timedelta(minutes=1),
        note=lambda *_args: None,
    )


def test_queued_twice_is_one_mail(chains: Garant, run: Callable[..., None]) -> None:
    """The key says what is told: the same key again is the same notice, also after it was sent."""
    queue(chains)
    queue(chains)
    run()
    queue(chains)
    run(timedelta(days=1))

    assert len(mails(chains)) == 1
    assert stored(chains).state == "accepted"
    assert stored(chains).accepted_at == stored(chains).created_at


def test_nothing_is_sent_when_the_caller_fails(chains: Garant, run: Callable[..., None]) -> None:
    """The notice is part of the caller's transaction."""

    def failing() -> None:
        with chains.unit("person:test") as unit:
            params = SAMPLES["eta"]
            service.queue(
                unit, kind="eta", client_id="kupets", key=KEY, params=params, about=("promise", "x")
            )
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        failing()
    run()

    assert not (chains.settings.home / "mail").exists()


def test_what_was_told_is_kept(chains: Garant, run: Callable[..., None]) -> None:
    """The row holds what the mail holds, and what the channel answered: the evidence of delivery."""
    queue(chains, store_id="k-leninskaya")
    run()

    row, mail = stored(chains), mails(chains)[0]
    text = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
    content = text.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert row.text == content.decode().replace("\r\n", "\n")
    assert "Магазин: Ленинская, 3 (Купец)." in (row.text or "")
    assert (row.language, row.channel, row.address) == ("ru", "maildir", "it@kupets.invalid")
    assert [answer["code"] for answer in row.evidence] == [250]


def test_killed_between_delivery_and_commit_it_is_one_mail(chains: Garant, run: Callable[..., None]) -> None:
    """The Maildir has the mail and we do not know it: the next attempt recognises it."""

    class Killed(BaseException):
        """What kill -9 looks like from inside."""

    class DyingChannel:
        name = "maildir"

        def deliver(self, message: EmailMessage, envelope_from: str, to: str) -> Delivery:
            channel(chains.settings).deliver(message, envelope_from, to)
            raise Killed

    queue(chains)
    with pytest.raises(Killed):
        send_notice(chains, DyingChannel(), running(chains))
    assert stored(chains).state == "sent"

    run()

    assert len(mails(chains)) == 1
    assert stored(chains).state == "accepted"
    assert stored(chains).attempts == 2


def test_every_attempt_gives_the_same_bytes(chains: Garant, clock: Any) -> None:
    """An attempt after an unknown outcome is the same message, so the client's mail program shows one."""
    queue(chains)
    port = ScriptedChannel(
        Delivery(accepted=False, code=0, text="connection lost"), Delivery(accepted=True, code=250, text="ok")
    )
    with pytest.raises(Exception, match="connection lost"):
        send_notice(chains, port, running(chains))
    clock.advance(timedelta(minutes=7))
    send_notice(chains, port, running(chains))

    first, second = (given[0].as_bytes() for given in port.given)
    boundary = port.given[0][0].get_boundary()
    other = port.given[1][0].get_boundary()
    assert boundary is not None
    assert other is not None
    assert first == second.replace(other.encode(), boundary.encode())


def test_a_finished_notice_is_never_given_again(chains: Garant, run: Callable[..., None]) -> None:
    """A job that is started again after its outcome was written (a lost wake-up) sends nothing."""
    queue(chains)
    run()
    port = ScriptedChannel()

    outcome = send_notice(chains, port, running(chains, attempt=2))

    assert outcome["state"] == "accepted"
    assert port.given == []


def test_headers(chains: Garant) -> None:
    """Machines see that a machine wrote, answers thread, bounces come back with the notice's name."""
    row = queue(chains, in_reply_to="<question@kupets.invalid>")
    port = ScriptedChannel(Delivery(accepted=True, code=250, text="ok"))
    send_notice(chains, port, running(chains))

    message, envelope_from, to = port.given[0]
    assert message["Message-ID"] == f"<{row.id}@support.invalid>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["References"] == message["In-Reply-To"] == "<question@kupets.invalid>"
    assert envelope_from == f"bounce+{row.id}@support.invalid"
    assert to == "it@kupets.invalid"
    assert len(envelope_from.partition("@")[0]) <= 64


def test_who_asked_is_answered(chains: Garant, run: Callable[..., None]) -> None:
    """An address of the request comes before the client's contacts; a telephone number does not."""
    queue(chains, key="a", address="cashier@kupets.invalid")
    queue(chains, key="b", address="+7 900 000-00-00")
    run()

    assert stored(chains, "a").address == "cashier@kupets.invalid"
    assert stored(chains, "b").address == "it@kupets.invalid"


def test_a_refused_notice_fails_and_the_service_manager_hears_of_it(
    chains: Garant, run: Callable[..., None]
) -> None:
    """A client that cannot be told is a person's work; an internal notice says which and why."""
    queue(chains)
    refusal = Delivery(accepted=False, code=550, text="5.1.1 no such user", permanent=True)
    send_notice(chains, ScriptedChannel(refusal), running(chains))
    run()

    assert stored(chains).state == "failed"
    mail = mails(chains)[0]
    assert mail["To"] == "manager-kupets@support.invalid"
    told = stored(chains, f"notice_failed/{service.notice_id(KEY)}/1")
    assert "550 5.1.1 no such user" in (told.text or "")


def test_a_temporary_refusal_is_tried_again_until_patience_ends(chains: Garant, clock: Any) -> None:
    """Greylisting and a dead server are waited for; after a day the notice has failed, not vanished."""
    queue(chains)
    later = Delivery(accepted=False, code=451, text="4.7.1 greylisted")
    tries = 0
    while stored(chains).state != "failed":
        tries += 1
        try:
            send_notice(chains, ScriptedChannel(later), running(chains))
        except Exception as wait:
            clock.advance(wait.after)  # type: ignore[attr-defined]

    assert timedelta(hours=22) < clock.now - stored(chains).created_at <= timedelta(hours=24)
    assert tries == stored(chains).attempts == len(stored(chains).evidence)


@pytest.mark.parametrize("address", ["@", "nobody", "a@b@c", "x@y.invalid\r\nBcc: z@y.invalid", ""])
def test_a_broken_address_fails_for_good(chains: Garant, run: Callable[..., None], address: str) -> None:
    """An address that is none is never put on the wire, and is not retried for a day."""
    with chains.unit("person:test") as unit:
        client = unit.get(ClientRow, "kupets")
        client.contacts = [{"name": "x", "channel": "email", "address": address}]
    queue(chains)
    run()

    assert stored(chains).state == "failed"
    assert stored(chains).attempts == 1


def test_a_client_without_contacts(chains: Garant, run: Callable[..., None]) -> None:
    """It is said what is missing and where to add it; after that the notice can be sent again."""
    with chains.unit("person:test") as unit:
        unit.get(ClientRow, "kupets").contacts = []
    queue(chains)
    run()
    row = stored(chains)
    assert row.state == "failed"
    assert "no e-mail contact" in row.evidence[0]["text"]

    with chains.unit("person:test") as unit:
        unit.get(ClientRow, "kupets").contacts = [
            {"name": "x", "channel": "email", "address": "new@k.invalid"}
        ]
        service.resend(unit, row.id)
    run()

    assert stored(chains).state == "accepted"
    assert stored(chains).address == "new@k.invalid"


def test_resend_refuses_what_was_accepted(chains: Garant, run: Callable[..., None]) -> None:
    """Nobody is told twice, not even by a person's command; what is under way is left alone."""
    queue(chains)
    with pytest.raises(RefusedError, match="still under way"), chains.unit("person:test") as unit:
        service.resend(unit, KEY)
    run()
    with pytest.raises(RefusedError, match="nobody is told twice"), chains.unit("person:test") as unit:
        service.resend(unit, KEY)
    with pytest.raises(NotFoundError, match="garant notices list"), chains.unit("person:test") as unit:
        service.resend(unit, "nothing")


def test_resend_more_than_once(chains: Garant, run: Callable[..., None]) -> None:
    """Each round is a job of its own; the Message-ID stays."""
    queue(chains)
    refusal = Delivery(accepted=False, code=550, text="no", permanent=True)
    send_notice(chains, ScriptedChannel(refusal), running(chains))
    for round_ in (2, 3):
        with chains.unit("person:test") as unit:
            assert service.resend(unit, KEY).job_id == f"notice:{KEY}#{round_}"
        job = running(chains)
        job.effect_id = f"notice:{KEY}#{round_}"
        if round_ == 2:
            send_notice(chains, ScriptedChannel(refusal), job)
    run()

    assert stored(chains).state == "accepted"
    assert [m["Message-ID"] for m in mails(chains) if m["To"] and "kupets.invalid" in m["To"]] == [
        stored(chains).message_id
    ]


def test_a_job_that_breaks_leaves_the_notice_failed(chains: Garant, run: Callable[..., None]) -> None:
    """A defect of ours (here: a client that is not in the fleet) does not leave it under way for ever."""
    queue(chains, client="nobody")
    run(timedelta(hours=1))

    with chains.database.reading() as session:
        assert session.get_one(JobRow, f"notice:{KEY}").state == "failed"
    assert stored(chains).state == "failed"


def test_internal_notices_go_to_the_person_or_to_the_duty_address(
    chains: Garant, run: Callable[..., None]
) -> None:
    """A name without an address is no reason to tell nobody."""
    with chains.unit("person:test") as unit:
        for to, key in (("boss@support.invalid", "a"), ("duty engineer", "b"), ("", "c")):
            service.internal(unit, kind="clock_breach", to=to, key=key, params=SAMPLES["clock_breach"])
            service.internal(unit, kind="clock_breach", to=to, key=key, params=SAMPLES["clock_breach"])
    run()

    duty = chains.settings.mail.duty
    assert sorted(str(mail["To"]) for mail in mails(chains)) == sorted(
        ["boss@support.invalid", f"duty engineer <{duty}>", duty]
    )


def test_kinds_are_not_mixed_up(chains: Garant) -> None:
    """An internal kind is never queued for a client, nor a client's for our people."""
    with chains.unit("person:test") as unit:
        with pytest.raises(GarantError, match="for clients"):
            service.queue(unit, kind="clock_breach", client_id="kupets", key="k", params={}, about=("x", "y"))
        with pytest.raises(GarantError, match="no internal notice kind 'eta'"):
            service.internal(unit, kind="eta", to="x", key="k", params={})
        for key in ("", "x" * 200, "a\nb"):
            with pytest.raises(GarantError, match="notice key"):
                service.queue(
                    unit, kind="eta", client_id="k", key=key, params=SAMPLES["eta"], about=("x", "y")
                )


def test_the_watcher_is_woken(chains: Garant, run: Callable[..., None]) -> None:
    """Whoever waits for the outcome is ticked when it is known."""
    other = queue(chains, key="watched")
    queue(chains, watcher=(service.KIND, other.id))
    run()

    with chains.database.reading() as session:
        types = session.scalars(select(EventRow.type).where(EventRow.kind == "notice")).all()
    assert sorted(types) == ["accepted", "accepted", "queued", "queued"]


def test_maildir_on_a_full_disk_is_tried_again(chains: Garant, tmp_path: Path) -> None:
    """A folder that cannot be written is a temporary failure with its reason."""
    port = channel(chains.settings)
    new = chains.settings.home / "mail" / "new"
    new.rmdir()
    message = EmailMessage()
    message["Message-ID"], message["Date"] = "<a@b>", "Thu, 12 Mar 2026 06:00:00 +0000"

    answer = port.deliver(message, "bounce@x.invalid", "a@b.invalid")

    assert not answer.accepted
    assert not answer.permanent
    assert "new" in answer.text
