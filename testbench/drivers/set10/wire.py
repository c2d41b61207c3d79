"""HTTP to one process of the product: one kept connection, every failure told as what it is."""

from __future__ import annotations

import http.client
import json
import select
import socket
import time
from dataclasses import dataclass
from typing import Any

#: An answer that takes longer than this is a hang; the product answers in milliseconds.
ANSWER_SECONDS = 10.0
#: A request that the end of the run cuts off sooner is no hang: a long scenario, or a slow machine.
HANG_SECONDS = 2.0
MAX_ANSWER_BYTES = 256 * 1024**2


class WireError(Exception):
    """No answer: the connection was refused or broke off. Whether the process lives says more."""


class HangError(WireError):
    """No answer in time."""


class OutOfTimeError(WireError):
    """The run's time was over in the middle of a request that had hardly begun: it says nothing."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Wire:
    """A client of one host and port; not for several threads."""

    def __init__(self, host: str, port: int, deadline: float) -> None:
        """Args: deadline: when the whole run must be over (monotonic seconds)."""
        self._host, self._port, self._deadline = host, port, deadline
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> Answer:
        """GET; see ``request``."""
        return self.request("GET", path, None, "")

    def post_json(self, path: str, value: Any) -> Answer:
        """POST of a JSON value; see ``request``."""
        return self.request("POST", path, json.dumps(value).encode(), "application/json")

    def post_xml(self, path: str, body: bytes) -> Answer:
        """POST of a SOAP envelope; see ``request``."""
        return self.request("POST", path, body, "text/xml; charset=utf-8")

    def request(self, method: str, path: str, body: bytes | None, kind: str) -> Answer:
        """One exchange, sent once: a request that broke off may have been acted on.

        Raises:
            HangError: no answer in ``ANSWER_SECONDS``, or in at least ``HANG_SECONDS`` until the deadline.
            OutOfTimeError: the deadline came sooner than that.
            WireError: the connection was refused or broke off.
        """
        if self._was_closed():
            self.close()
        begun = time.monotonic()
        try:
            return self._exchange(method, path, body, kind)
        except TimeoutError:
            self.close()
            if time.monotonic() - begun < HANG_SECONDS:
                raise OutOfTimeError(f"{method} {path}: the run's time was over") from None
            raise HangError(f"{method} {path}: no answer in time") from None
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            raise WireError(f"{method} {path}: {type(problem).__name__}") from None

    def connect(self) -> None:
        """Open the connection ahead, so that the next request leaves at once.

        Raises:
            WireError: it was refused.
        """
        try:
            self._open(ANSWER_SECONDS)
        except OSError as problem:
            self.close()
            raise WireError(f"no connection: {type(problem).__name__}") from None

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _was_closed(self) -> bool:
        """Whether the other side closed the kept connection while it stood idle."""
        if self._connection is None or self._connection.sock is None:
            return False
        return bool(select.select([self._connection.sock], [], [], 0)[0])

    def _exchange(self, method: str, path: str, body: bytes | None, kind: str) -> Answer:
        left = min(ANSWER_SECONDS, self._deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError
        connection = self._open(left)
        connection.sock.settimeout(left)
        headers = {"Content-Type": kind} if kind else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read(MAX_ANSWER_BYTES)
        if answer.will_close:
            self.close()
        return Answer(answer.status, data)

    def _open(self, seconds: float) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection
