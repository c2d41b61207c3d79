"""SMTP as it goes wrong: refused, put off, dead, cut in the middle; and TLS with a log-in."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from pipeline.application import Garant
from pipeline.engine.memory import MemoryEngine
from pipeline.errors import GarantError
from pipeline.fleet.tables import ClientRow
from pipeline.notices import service
from pipeline.notices.jobs import channel
from pipeline.notices.rules import Delivery
from pipeline.notices.samples import SAMPLES
from pipeline.notices.smtp import SmtpChannel
from pipeline.notices.tables import NoticeRow
from pipeline.settings import MailSettings, Settings
from pipeline.wiring import job_functions

KEY = "eta/D-000007/kupets/1/1"


def deliver(port: SmtpChannel, to: str = "it@kupets.invalid") -> Delivery:
    mail = EmailMessage()
    mail["Message-ID"], mail["Subject"] = "<a@support.invalid>", "x"
    mail.set_content("text")
    return port.deliver(mail, "bounce+a@support.invalid", to)


@pytest.mark.parametrize(
    ("where", "answer", "expected"),
    [
        ("rcpt", "550 5.1.1 no such user", (False, 550, True)),
        ("rcpt", "451 4.7.1 greylisted", (False, 451, False)),
        ("data", "554 5.7.1 spam", (False, 554, True)),
        ("data", "452 4.3.1 disk full", (False, 452, False)),
        # taken or not, nobody knows: try again
        ("data", "lost", (False, 0, False)),
    ],
)
def test_answers(mail_server: Any, where: str, answer: str, expected: tuple[bool, int, bool]) -> None:
    """5xx is final, 4xx and silence are not; the server's words are kept."""
    getattr(mail_server, where).append(answer)

    got = deliver(SmtpChannel(mail_server.settings()))

    assert expected == (got.accepted, got.code, got.permanent)
    assert answer == "lost" or answer[4:] in got.text
    assert deliver(SmtpChannel(mail_server.settings())).accepted


def test_nobody_listens() -> None:
    """A dead server is a temporary failure that names it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    got = deliver(SmtpChannel(MailSettings(kind="smtp", port=port, timeout_s=1)))

    assert (got.accepted, got.permanent) == (False, False)
    assert f"127.0.0.1:{port}" in got.text


def test_a_server_that_hangs() -> None:
    """A server that accepts the connection and says nothing costs the timeout, not for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        got = deliver(SmtpChannel(MailSettings(kind="smtp", port=silent.getsockname()[1], timeout_s=0.2)))

    assert (got.accepted, got.permanent) == (False, False)
    assert "timed out" in got.text


def test_an_address_with_a_line_break_is_not_sent(mail_server: Any) -> None:
    """An address cannot smuggle a command (RFC 5321)."""
    got = deliver(SmtpChannel(mail_server.settings()), "a@b.invalid>\r\nRCPT TO:<victim@x.invalid")

    assert (got.accepted, got.permanent) == (False, True)
    assert mail_server.taken == []


def test_starttls_and_log_in(starttls_server: Any) -> None:
    """With TLS and the right password it is taken; a wrong one is our trouble, not the message's."""
    settings = starttls_server.settings(tls="starttls", user="garant")
    trust = starttls_server.trust()

    assert deliver(SmtpChannel(settings, password="right", trust=trust)).accepted
    wrong = deliver(SmtpChannel(settings, password="wrong", trust=trust))
    assert (wrong.accepted, wrong.code, wrong.permanent) == (False, 535, False)


def test_a_certificate_that_nobody_signed_is_not_trusted(starttls_server: Any) -> None:
    """Nothing is said to a server that is not the one of the settings."""
    got = deliver(SmtpChannel(starttls_server.settings(tls="starttls", user="garant"), password="right"))

    assert not got.accepted
    assert "certificate" in got.text.lower()
    assert starttls_server.taken == []


def test_tls_from_the_first_byte(tls_server: Any) -> None:
    """Port 465."""
    assert deliver(SmtpChannel(tls_server.settings(tls="tls"), trust=tls_server.trust())).accepted


def test_the_password_comes_from_the_environment(tmp_path: Any) -> None:
    """A named variable that is not set is said, with what to do."""
    settings = Settings(
        home=tmp_path, mail=MailSettings(kind="smtp", password_env="NO_SUCH_VARIABLE_OF_OURS")
    )

    with pytest.raises(GarantError, match="NO_SUCH_VARIABLE_OF_OURS is not set"):
        channel(settings)


@pytest.fixture
def told(app: Garant, mail_server: Any, clock: Any) -> Callable[[timedelta], NoticeRow]:
    """Queues one notice by SMTP and lets the workers work for the time given."""
    app.settings = Settings(home=app.settings.home, mail=mail_server.settings())
    with app.unit("person:test") as unit:
        unit.session.add(
            ClientRow(
                id="kupets",
                name="Купец",
                language="ru",
                zone="Europe/Moscow",
                tariff="contract",
                contract=None,
                contacts=[{"name": "ИТ", "channel": "email", "address": "it@kupets.invalid"}],
                service_manager=None,
                state="active",
                created_at=unit.now,
                updated_at=unit.now,
            )
        )

    def tell(time: timedelta) -> NoticeRow:
        with app.unit("person:test") as unit:
            service.queue(
                unit,
                kind="eta",
                client_id="kupets",
                key=KEY,
                params=SAMPLES["eta"],
                about=("promise", "x"),
            )
        assert isinstance(app.engine, MemoryEngine)
        handler, end = app.dispatcher("test"), clock.now + time
        while True:
            app.engine.run_due(handler)
            coming = app.engine.next_due()
            if coming is None or coming > end:
                break
            clock.now = coming
        with app.database.reading() as session:
            return service.notice(session, KEY)

    return tell


def test_greylisted_then_taken(told: Callable[[timedelta], NoticeRow], mail_server: Any, clock: Any) -> None:
    """Put off twice it is taken at the third attempt: one mail, three answers kept."""
    mail_server.rcpt += ["451 4.7.1 greylisted"] * 2
    begun = clock.now

    row = told(timedelta(hours=1))

    assert (row.state, row.attempts, len(mail_server.taken)) == ("accepted", 3, 1)
    assert [answer["code"] for answer in row.evidence] == [451, 451, 250]
    assert row.accepted_at == begun + timedelta(minutes=6)
    assert mail_server.taken[0].sender == f"bounce+{row.id}@support.invalid"


def test_lost_before_the_250(told: Callable[[timedelta], NoticeRow], mail_server: Any) -> None:
    """What may have been taken goes out again as the same message: the reader's program shows one."""
    mail_server.data.append("lost")

    row = told(timedelta(hours=1))

    assert row.state == "accepted"
    ids = [
        line for r in mail_server.taken for line in r.content.split(b"\r\n") if line.startswith(b"Message-ID")
    ]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_refused_for_good(told: Callable[[timedelta], NoticeRow], mail_server: Any) -> None:
    """A refusal is final for the client's notice; our own people are told by the same server."""
    mail_server.rcpt.append("550 5.1.1 no such user")

    row = told(timedelta(hours=1))

    assert (row.state, row.attempts) == ("failed", 1)
    assert [r.recipient for r in mail_server.taken] == ["duty@support.invalid"]


def test_the_wiring_knows_the_job(app: Garant) -> None:
    """A worker can send."""
    assert {"notice.send", "tracker.file", "tracker.comment"} <= set(job_functions(app))
