"""The embedded Maildir's letters as people read them. What a letter says is data, whoever wrote it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime
from pathlib import Path

from pipeline.errors import NotFoundError

#: A file's name as ``MaildirChannel`` and other programs write it, without the flags that readers append.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,=@+-]{0,200}")
#: A letter of ours is some kilobytes; what is larger is shown cut off.
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One letter.

    Attributes:
        key: names it in the Maildir.
        date: None when its header says none that can be understood.
        text, html: its parts; empty when it has none (in a list: not read).
    """

    key: str
    sender: str
    to: str
    subject: str
    date: datetime | None
    message_id: str
    text: str = ""
    html: str = ""


def letters(folder: Path, *, limit: int = 200) -> list[Letter]:
    """The newest letters of the Maildir, the newest first; none while there is no Maildir."""
    newest = sorted(_files(folder), key=lambda file: file.name, reverse=True)[:limit]
    return [_read(file, whole=False) for file in newest]


def letter(folder: Path, key: str) -> Letter:
    """One letter with its text.

    Raises:
        NotFoundError: the Maildir has none of this name.
    """
    found = [file for file in _files(folder) if _key(file) == key] if _NAME.fullmatch(key) else []
    if not found:
        raise NotFoundError(f"no letter {key!r} in {folder}: it may have been moved by a mail program")
    return _read(found[0], whole=True)


def _files(folder: Path) -> list[Path]:
    found = []
    for part in (folder / "new", folder / "cur"):
        if part.is_dir():
            found += [Path(entry.path) for entry in os.scandir(part) if entry.is_file(follow_symlinks=False)]
    return found


def _key(file: Path) -> str:
    return file.name.partition(":")[0]


def _read(file: Path, *, whole: bool) -> Letter:
    with file.open("rb") as opened:
        message = message_from_bytes(opened.read(_MOST_BYTES), policy=default)
    return Letter(
        key=_key(file),
        sender=_header(message, "From"),
        to=_header(message, "To"),
        subject=_header(message, "Subject"),
        date=_date(_header(message, "Date")),
        message_id=_header(message, "Message-ID"),
        text=_part(message, "plain") if whole else "",
        html=_part(message, "html") if whole else "",
    )


def _header(message: EmailMessage, name: str) -> str:
    try:
        return str(message.get(name, ""))
    except (ValueError, IndexError):  # the standard library's parser on a hostile header
        return ""


def _date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _part(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, ValueError, KeyError):  # an unknown charset or transfer encoding
        return ""
