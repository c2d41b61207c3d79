"""The port to a channel of mail."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Protocol

from pipeline.notices.rules import Delivery

__all__ = ["Delivery", "MailPort"]


class MailPort(Protocol):
    """Takes one message for one address. Asked again with the same Message-ID, it is the same message."""

    #: The channel's name, as kept with the notice.
    name: str

    def deliver(self, message: EmailMessage, envelope_from: str, to: str) -> Delivery:
        """Hand the message over and say what was answered.

        No exception for what the world does: a server that is dead, refuses or hangs is an answer with
        ``accepted`` false. When the connection is lost after the message was given and before the answer, it
        may have been taken: the answer is not final, and the same Message-ID goes out again.
        """
