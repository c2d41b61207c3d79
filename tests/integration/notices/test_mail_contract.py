"""One contract for the Maildir and for SMTP against a real server."""

from __future__ import annotations

import mailbox
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from pipeline.notices.maildir import MaildirChannel
from pipeline.notices.messages import Letter, message, return_address
from pipeline.notices.port import MailPort
from pipeline.notices.smtp import SmtpChannel

NOTICE = "0123456789abcdef01234567"


def letter(**changes: Any) -> Letter:
    plain: dict[str, Any] = {
        "notice": NOTICE,
        "sender": "garant@support.invalid",
        "sender_name": "Поддержка SET",
        "domain": "support.invalid",
        "to": "it@kupets.invalid",
        "to_name": "Отдел ИТ",
        "language": "ru",
        "subject": "Ошибка будет исправлена 24 марта 2026 года. " * 3 + "Конец",
        "text": "Здравствуйте!\n\n.Строка с точкой в начале\n" + "слово " * 400 + "\n",
        "html": "<p>Здравствуйте!</p>",
        "date": datetime(2026, 3, 12, 6, 0, tzinfo=UTC),
    }
    return Letter(**plain | changes)


Received = Callable[[], list[tuple[str, EmailMessage]]]


@pytest.fixture(params=["maildir", "smtp"])
def channel(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[MailPort, Received]:
    """The channel, and what arrived: recipient and message, read as a mail program reads them."""
    if request.param == "maildir":
        return MaildirChannel(tmp_path / "mail"), lambda: read_maildir(tmp_path / "mail")
    server = request.getfixturevalue("mail_server")
    return SmtpChannel(server.settings()), lambda: [(r.recipient, parsed(r.content)) for r in server.taken]


def parsed(content: bytes) -> EmailMessage:
    read = message_from_bytes(content, policy=default)
    assert isinstance(read, EmailMessage)
    return read


def read_maildir(folder: Path) -> list[tuple[str, EmailMessage]]:
    box = mailbox.Maildir(folder, create=False)
    found = [parsed(box.get_bytes(key)) for key in box.iterkeys()]
    box.close()
    return [(str(mail["Delivered-To"]), mail) for mail in found]


def test_what_arrives_is_what_was_written(channel: tuple[MailPort, Received]) -> None:
    """Long Russian subjects, long lines and a leading dot arrive unharmed, with every header."""
    port, received = channel
    sent = letter()
    answer = port.deliver(message(sent), return_address(NOTICE, "support.invalid"), sent.to)

    assert answer.accepted
    assert answer.code == 250
    ((to, mail),) = received()
    assert to == sent.to
    assert mail["Subject"] == sent.subject
    assert mail["Message-ID"] == f"<{NOTICE}@support.invalid>"
    assert mail["To"] == "Отдел ИТ <it@kupets.invalid>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_body(("plain",))
    html = mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().replace("\r\n", "\n") == sent.text
    assert html.get_content().strip() == sent.html


def test_the_message_is_seven_bit(channel: tuple[MailPort, Received]) -> None:
    """No server on the way needs 8BITMIME or SMTPUTF8, and no line is too long (RFC 5322 2.1.1)."""
    port, received = channel
    port.deliver(message(letter()), "bounce@support.invalid", "it@kupets.invalid")

    content = received()[0][1].as_bytes()
    assert content.isascii()
    assert max(map(len, content.split(b"\n"))) <= 998


def test_two_notices_are_two_mails(channel: tuple[MailPort, Received]) -> None:
    """Only the same Message-ID to the same address is the same mail."""
    port, received = channel
    for notice, to in ((NOTICE, "a@x.invalid"), ("f" * 24, "a@x.invalid"), (NOTICE, "b@x.invalid")):
        assert port.deliver(message(letter(notice=notice, to=to)), "bounce@x.invalid", to).accepted

    assert sorted(to for to, _ in received()) == ["a@x.invalid", "a@x.invalid", "b@x.invalid"]


def test_a_repetition_is_one_message(channel: tuple[MailPort, Received]) -> None:
    """Delivered again it is accepted again; whoever keeps mails by Message-ID keeps one."""
    port, received = channel
    for _ in range(3):
        assert port.deliver(message(letter()), "bounce@x.invalid", "it@kupets.invalid").accepted

    assert len({mail["Message-ID"] for _, mail in received()}) == 1
    if isinstance(port, MaildirChannel):
        assert len(received()) == 1


def test_a_repetition_after_somebody_read_it(tmp_path: Path) -> None:
    """A mail program moved the file to cur with its flags: it is still recognised."""
    port = MaildirChannel(tmp_path / "mail")
    port.deliver(message(letter()), "bounce@x.invalid", "it@kupets.invalid")
    (file,) = (tmp_path / "mail" / "new").iterdir()
    file.rename(tmp_path / "mail" / "cur" / f"{file.name}:2,S")

    answer = port.deliver(message(letter()), "bounce@x.invalid", "it@kupets.invalid")

    assert "already" in answer.text
    assert len(read_maildir(tmp_path / "mail")) == 1
