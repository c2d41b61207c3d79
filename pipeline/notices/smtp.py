"""Mail by SMTP (RFC 5321), with TLS and authentication by the standard library."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from email.message import EmailMessage

from pipeline.notices.port import Delivery
from pipeline.settings import MailSettings

_NEVER_IN_AN_ADDRESS = frozenset(" <>,;")


class SmtpChannel:
    """One server that takes our mail. A connection per message: notices are few and seconds apart.

    Args:
        settings: where the server is, TLS, user, timeout in seconds.
        password: of the user; None: no authentication.
        trust: certificates to check the server's by; None: the system's.
    """

    name = "smtp"

    def __init__(
        self, settings: MailSettings, *, password: str | None = None, trust: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings
        self._password = password
        self._trust = trust or ssl.create_default_context()

    def deliver(self, message: EmailMessage, envelope_from: str, to: str) -> Delivery:
        """One attempt. 4xx and no answer: try again; 5xx to the message or the address: never.

        A refused log-in or greeting, also with 5xx, is about us and not about this message: it is temporary,
        so that a wrong password in the settings does not fail every notice for good.
        """
        if not to.isascii() or not to.isprintable() or set(to) & _NEVER_IN_AN_ADDRESS:
            # smtplib would take the first part that looks like an address: not the one that was meant.
            return Delivery(accepted=False, code=501, text=f"{to!r} is no address", permanent=True)
        try:
            server = self._connect()
        except smtplib.SMTPResponseException as error:
            return Delivery(accepted=False, code=error.smtp_code, text=_text(error.smtp_error))
        except (OSError, smtplib.SMTPException) as error:
            return Delivery(accepted=False, code=0, text=f"{self._where}: {type(error).__name__}: {error}")
        try:
            return _hand_over(server, message, envelope_from, to)
        except (OSError, smtplib.SMTPException) as error:
            # Also when the connection is lost between DATA and its 250: taken or not, nobody knows. The same
            # Message-ID goes out again, and the client's mail program shows one message.
            return Delivery(accepted=False, code=0, text=f"{self._where}: {type(error).__name__}: {error}")
        finally:
            # The answer is known; whatever happens at QUIT must not change it.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()
            server.close()

    @property
    def _where(self) -> str:
        return f"SMTP server {self._settings.host}:{self._settings.port}"

    def _connect(self) -> smtplib.SMTP:
        at = self._settings
        if at.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                at.host, at.port, timeout=at.timeout_s, context=self._trust
            )
        else:
            server = smtplib.SMTP(at.host, at.port, timeout=at.timeout_s)
        try:
            if at.tls == "starttls":
                server.starttls(context=self._trust)
            server.ehlo_or_helo_if_needed()
            if at.user and self._password is not None:
                server.login(at.user, self._password)
        except BaseException:
            server.close()
            raise
        return server


def _hand_over(server: smtplib.SMTP, message: EmailMessage, envelope_from: str, to: str) -> Delivery:
    code, said = server.mail(envelope_from)
    if code // 100 == 2:
        code, said = server.rcpt(to)
    if code // 100 != 2:
        return _refused(code, said)
    code, said = server.data(message.as_bytes())
    if code != 250:
        return _refused(code, said)
    return Delivery(accepted=True, code=code, text=_text(said))


def _refused(code: int, said: bytes) -> Delivery:
    return Delivery(accepted=False, code=code, text=_text(said), permanent=code // 100 == 5)


def _text(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(text.split())[:500]
