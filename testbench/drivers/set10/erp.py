"""The ERP's side of the push (SET-INTERFACES 3.2): takes what the server sends, refuses when told to."""

from __future__ import annotations

import base64
import binascii
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeTree

MAX_BODY_BYTES = 64 * 1024**2
_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """One call that the ERP acknowledged."""

    #: purchases, introductions, withdrawals or zreports: the end of the URI.
    service: str
    operation: str
    document: bytes


@dataclass
class _Inbox:
    """What came, and how the next calls are answered; shared with the threads of the HTTP server."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    pushed: list[Pushed] = field(default_factory=list)
    to_refuse: int = 0
    is_called: bool = False


class _Handler(BaseHTTPRequestHandler):
    server: _Http

    def do_POST(self) -> None:
        inbox = self.server.inbox
        length = min(int(self.headers.get("Content-Length") or 0), MAX_BODY_BYTES)
        body = self.rfile.read(length)
        service = self.path.rpartition("/")[2]
        call = _call(body)
        with inbox.lock:
            inbox.is_called = True
            is_taken = call is not None and inbox.to_refuse == 0
            if inbox.to_refuse:
                inbox.to_refuse -= 1
            if is_taken and call is not None:
                inbox.pushed.append(Pushed(service=service, operation=call[0], document=call[1]))
        self._answer(service, call[0] if call else "unknown", is_taken)

    def _answer(self, service: str, operation: str, is_taken: bool) -> None:
        told = "<return>true</return>" if is_taken else "<return>false</return><errorCode>500</errorCode>"
        name = f"{operation}Response"
        content = (
            f'<soap:Envelope xmlns:soap="{_ENVELOPE}"><soap:Body><n:{name} xmlns:n="http://{service}.erpi.crystals.ru">'
            f"{told}</n:{name}></soap:Body></soap:Envelope>"
        ).encode()
        self.send_response(200 if is_taken else 500)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
        """What came is kept; nothing is written."""


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    inbox: _Inbox


class Erp:
    """An ERP on loopback, from construction to ``close``."""

    def __init__(self) -> None:
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.inbox = self._inbox = _Inbox()
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What the server's ``erp_url`` has to be."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/erp"

    def refuse(self, calls: int) -> None:
        """The next calls get HTTP 500 and return=false; nothing of them is kept."""
        with self._inbox.lock:
            self._inbox.to_refuse = calls

    @property
    def pushed(self) -> tuple[Pushed, ...]:
        """What was acknowledged, in its order."""
        with self._inbox.lock:
            return tuple(self._inbox.pushed)

    @property
    def is_called(self) -> bool:
        """Whether the product pushes at all: older versions do not."""
        return self._inbox.is_called

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _call(body: bytes) -> tuple[str, bytes] | None:
    """Operation and document of a call; None when it is none."""
    try:
        envelope = SafeTree.fromstring(body, forbid_dtd=True)
        content = envelope.find(f"{{{_ENVELOPE}}}Body")
        if content is None or len(content) == 0 or len(content[0]) == 0:
            return None
        call = content[0]
        document = base64.b64decode("".join((call[0].text or "").split()), validate=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError, binascii.Error):
        return None
    return str(call.tag).rpartition("}")[2], document
