"""The Maildir as the pages read it, whatever lies in it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from pipeline.errors import NotFoundError
from pipeline.notices.letters import letter, letters
from pipeline.notices.maildir import MaildirChannel


def deliver(folder: Path, number: int) -> None:
    made = EmailMessage()
    made["From"] = "garant@support.invalid"
    made["To"] = "Отдел ИТ <it@kupets.invalid>"
    made["Subject"] = f"Письмо {number}"
    made["Date"] = f"Thu, 12 Mar 2026 09:00:0{number} +0300"
    made["Message-ID"] = f"<{number}@support.invalid>"
    made.set_content("Здравствуйте!\n")
    made.add_alternative("<p>Здравствуйте!</p>", subtype="html")
    MaildirChannel(folder).deliver(made, "bounce@support.invalid", "it@kupets.invalid")


def test_what_the_channel_delivers_is_read_back_newest_first(tmp_path: Path) -> None:
    """Headers are decoded; text and HTML only in the single letter; flags do not change its name."""
    for number in (1, 2):
        deliver(tmp_path / "mail", number)

    listed = letters(tmp_path / "mail")
    assert [one.subject for one in listed] == ["Письмо 2", "Письмо 1"]
    assert listed[0].date == datetime(2026, 3, 12, 6, 0, 2, tzinfo=UTC)
    assert listed[0].text == ""

    file = tmp_path / "mail" / "new" / listed[0].key
    file.rename(tmp_path / "mail" / "cur" / f"{file.name}:2,S")
    whole = letter(tmp_path / "mail", listed[0].key)
    assert (whole.text, whole.html.strip()) == ("Здравствуйте!\n", "<p>Здравствуйте!</p>")
    assert "it@kupets.invalid" in whole.to


def test_a_hostile_letter_is_shown_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    """No header, charset or date of a stranger's keeps the list from being shown."""
    new = tmp_path / "new"
    new.mkdir()
    (new / "1.bad.host").write_bytes(
        b"Subject: =?utf-8?b?////?=\r\nFrom: \xff@@\r\nDate: tomorrow\r\n"
        b"Content-Type: text/plain; charset=no-such\r\nContent-Transfer-Encoding: x-odd\r\n\r\n\xff\xfe"
    )
    (new / "2.empty.host").write_bytes(b"")

    assert len(letters(tmp_path)) == 2
    assert letter(tmp_path, "1.bad.host").date is None


@pytest.mark.parametrize("key", ["../../web-token", "new", "..", "a/b", "1.link.host", ""])
def test_nothing_outside_the_maildir_is_read(tmp_path: Path, key: str) -> None:
    """Neither by a path for a name, nor by a link that lies in it."""
    (tmp_path / "web-token").write_text("secret")
    mail = tmp_path / "mail"
    (mail / "new").mkdir(parents=True)
    (mail / "new" / "1.link.host").symlink_to(tmp_path / "web-token")

    with pytest.raises(NotFoundError):
        letter(mail, key)
    assert letters(mail) == []


def test_no_maildir_yet_is_no_letters(tmp_path: Path) -> None:
    """Before the first notice there is no folder."""
    assert letters(tmp_path / "mail") == []
