"""Mail into a Maildir on this machine: the embedded default."""

from __future__ import annotations

import hashlib
import mailbox
import os
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path

from pipeline.notices.port import Delivery


class MaildirChannel:
    """One Maildir for all recipients; mail programs and the web read it.

    The file's name holds a digest of Message-ID and recipient, so a second delivery of the same message is
    recognised, also after a kill between delivery and our commit, and also when a reader has moved the file.
    """

    name = "maildir"

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        mailbox.Maildir(folder, create=True).close()
        self._folder = folder

    def deliver(self, message: EmailMessage, envelope_from: str, to: str) -> Delivery:
        """Write the message once; a full or read-only disk is a temporary failure."""
        identity = f"{message['Message-ID']}\n{to}"
        digest = hashlib.sha256(identity.encode()).hexdigest()[:32]
        try:
            if self._has(digest):
                return Delivery(accepted=True, code=250, text=f"already in the Maildir as {digest}")
            message["Return-Path"] = f"<{envelope_from}>"
            message["Delivered-To"] = to
            at = int(parsedate_to_datetime(str(message["Date"])).timestamp())
            self._write(f"{at}.N{digest}.garant", message.as_bytes())
        except OSError as error:
            return Delivery(accepted=False, code=0, text=f"Maildir {self._folder}: {error}")
        return Delivery(accepted=True, code=250, text=f"in the Maildir as {digest}")

    def _has(self, digest: str) -> bool:
        return any(
            f".N{digest}." in name for part in ("new", "cur") for name in os.listdir(self._folder / part)
        )

    def _write(self, name: str, content: bytes) -> None:
        # Written aside and moved whole: a reader, or we after a kill, never see half a message.
        aside = self._folder / "tmp" / f"{name}.{os.getpid()}"
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(self._folder / "new" / name)
