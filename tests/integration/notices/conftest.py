"""A real SMTP server (aiosmtpd) that can be told what to answer."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.settings import MailSettings


@dataclass
class Received:
    """A message that the server took over, or that it saw and then died."""

    sender: str
    recipient: str
    content: bytes


@dataclass
class MailServer:
    """The server's script: each list is used up from the front; empty means: accept."""

    rcpt: list[str] = field(default_factory=list)
    #: ``lost``: the message is taken and the connection is cut before the 250.
    data: list[str] = field(default_factory=list)
    taken: list[Received] = field(default_factory=list)
    port: int = 0
    certificate: Path | None = None

    def settings(self, **more: Any) -> MailSettings:
        return MailSettings(**{"kind": "smtp", "port": self.port, "timeout_s": 2.0} | more)

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    # What aiosmtpd calls
    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.rcpt.pop(0) if self.rcpt else "250 ok"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.data.pop(0) if self.data else "250 2.0.0 queued as 1"
        if answer == "lost" or answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            self.taken.append(Received(envelope.mail_from or "", envelope.rcpt_tos[0], content))
        if answer == "lost":
            server.transport.abort()
        return answer


@dataclass
class TlsPair:
    context: ssl.SSLContext
    certificate: Path


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsPair:
    """A certificate for 127.0.0.1, made for these tests."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.invalid")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return TlsPair(context, folder / "cert.pem")


def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"garant", b"right"), handled=False)


def serving(server: MailServer, **options: Any) -> Iterator[MailServer]:
    with socket.socket() as probe:  # the controller connects to its port to see itself, so 0 will not do
        probe.bind(("127.0.0.1", 0))
        server.port = probe.getsockname()[1]
    controller = Controller(server, hostname="127.0.0.1", port=server.port, **options)
    controller.start()
    yield server
    controller.stop()


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """Plain SMTP."""
    yield from serving(MailServer())


@pytest.fixture
def starttls_server(tls: TlsPair) -> Iterator[MailServer]:
    """STARTTLS and a log-in are required."""
    yield from serving(
        MailServer(certificate=tls.certificate),
        tls_context=tls.context,
        require_starttls=True,
        auth_required=True,
        authenticator=authenticate,
    )


@pytest.fixture
def tls_server(tls: TlsPair) -> Iterator[MailServer]:
    """TLS from the first byte."""
    yield from serving(MailServer(certificate=tls.certificate), ssl_context=tls.context)
