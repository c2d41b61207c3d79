"""One notice as one mail message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

#: Every header and body in 7 bits: no server on the way needs an extension.
_POLICY = SMTP.clone(cte_type="7bit")


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What the message is made of.

    Attributes:
        notice: the notice's id; Message-ID and return address follow from it alone.
        date: when it was first sent (aware): equal on every attempt, so that the bytes are equal too.
    """

    notice: str
    sender: str
    sender_name: str
    domain: str
    to: str
    to_name: str
    language: str
    subject: str
    text: str
    html: str
    date: datetime
    in_reply_to: str | None = None


def message_id(notice: str, domain: str) -> str:
    """The Message-ID of a notice: the same for every attempt and every restart (RFC 5322 3.6.4)."""
    return f"<{notice}@{domain}>"


def return_address(notice: str, domain: str) -> str:
    """Where a bounce of the notice comes back to (VERP): the address says which notice it was."""
    return f"bounce+{notice}@{domain}"


def _address(name: str, address: str) -> Address:
    try:
        return Address(name, addr_spec=address)
    except (MessageError, IndexError) as error:  # how the standard library's parser fails on "@" and "a@b@c"
        raise ValueError(str(error)) from error


def message(letter: Letter) -> EmailMessage:
    """The message as it goes out.

    Raises:
        ValueError: an address is not one (RFC 5322), or a header holds a line break.
    """
    made = EmailMessage(policy=_POLICY)
    made["From"] = Address(letter.sender_name, addr_spec=letter.sender)
    made["To"] = _address(letter.to_name, letter.to)
    made["Subject"] = letter.subject
    made["Date"] = format_datetime(letter.date)
    made["Message-ID"] = message_id(letter.notice, letter.domain)
    if letter.in_reply_to:
        made["In-Reply-To"] = letter.in_reply_to
        made["References"] = letter.in_reply_to
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answer comes back to it
    made["X-Auto-Response-Suppress"] = "All"  # the same, for Exchange
    made["Content-Language"] = letter.language
    made.set_content(letter.text)
    made.add_alternative(letter.html, subtype="html")
    return made
