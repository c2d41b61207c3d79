"""The server itself: it listens on loopback, asks for a token, and does what goes wrong on purpose."""

from __future__ import annotations

import base64
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from pipeline.trackers.jira_server import rest
from pipeline.trackers.jira_server.state import Flavour, JiraState, StoredIssue
from pipeline.trackers.jira_server.webhooks import Webhook


@dataclass
class Fault:
    """What goes wrong with the next requests that match.

    Attributes:
        kind: ``lose_reply`` (done, then the connection is cut), ``drop`` (cut before anything is done),
            ``status`` (answered with ``status``, nothing done), ``slow`` (done after ``seconds``).
        retry_after: with ``status``: the header Retry-After, a number of seconds, or ``date`` for the date
            that lies ``seconds`` ahead.
        then: called at that point, before the connection is cut, with the port of the one who asks: the place
            to kill it.
        times: how many requests it hits.
    """

    method: str
    path: str
    kind: Literal["lose_reply", "drop", "status", "slow"]
    status: int = 503
    seconds: float = 0.0
    retry_after: str | None = None
    then: Callable[[int], None] | None = None
    times: int = 1


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class JiraServer(JiraState):
    """Start it with ``with JiraServer(...) as server``; ``server.url`` is where it listens (loopback).

    Args:
        flavour: ``Cloud`` (search/jql; the old search answers 410) or ``Server`` (Data Center: search).
        project: the one project's key.
        authorization: the Authorization header that is required; None: nobody is asked.
        index_lag_s: how long a new issue is missing from searches.
        clock: seconds since 1970; by default the machine's clock.
    """

    def __init__(
        self,
        *,
        flavour: Flavour = "Cloud",
        project: str = "SET",
        authorization: str | None = None,
        index_lag_s: float = 0.0,
        clock: Callable[[], float] = time.time,
        port: int = 0,
    ) -> None:
        super().__init__(flavour, project, index_lag_s=index_lag_s, clock=clock, changed=self._tell)
        self.authorization = authorization
        self.faults: list[Fault] = []
        #: Every request, in the order in which they came.
        self.requests: list[Request] = []
        self.webhooks: list[Webhook] = []
        self._http = _HttpServer(("127.0.0.1", port), _Handler)
        self._http.jira = self
        self._thread = threading.Thread(target=self._http.serve_forever, name="jira-server", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> JiraServer:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def fault_for(self, request: Request) -> Fault | None:
        """The first fault that hits this request; it is used up."""
        with self.lock:
            self.requests.append(request)
            for fault in self.faults:
                hit = fault.method == request.method and re.search(fault.path, request.path)
                if fault.times > 0 and hit:
                    fault.times -= 1
                    return fault
        return None

    def answer(self, request: Request) -> rest.Answer:
        """Do the request."""
        query = {name: values[-1] for name, values in parse_qs(request.query).items()}
        headers = {name.lower(): value for name, value in request.headers.items()}
        kind = headers.get("content-type", "")
        asked = rest.Asked(self, self.url, query, request.body, kind, headers)
        return rest.answer(request.method, request.path, asked)

    def _tell(self, event: str, issue: StoredIssue) -> None:
        # In threads of their own: whoever is told asks us back while it answers.
        shown = {"id": str(10000 + issue.number), "key": issue.key}
        for hook in self.webhooks:
            threading.Thread(target=hook.send, args=(event, shown), name="jira-webhook", daemon=True).start()


class _HttpServer(ThreadingHTTPServer):
    jira: JiraServer
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no error of ours; anything else is told."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Stay quiet: ``JiraServer.requests`` has them."""

    def do_GET(self) -> None:
        """Answer a reading request."""
        self._serve()

    def do_POST(self) -> None:
        """Answer a writing request."""
        self._serve()

    def do_PUT(self) -> None:
        """Answer a writing request."""
        self._serve()

    def _serve(self) -> None:
        jira, at = self.server.jira, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = dict(self.headers.items())
        request = Request(method=self.command, path=at.path, query=at.query, headers=headers, body=body)
        fault = jira.fault_for(request)
        if fault and fault.kind in ("drop", "status"):
            self._refuse(fault)
            return
        if jira.authorization is not None and self.headers.get("Authorization") != jira.authorization:
            self._send(401, rest.errors("Client must be authenticated to access this resource."))
            return
        status, value = jira.answer(request)
        if fault and fault.then:
            fault.then(self.client_address[1])
        if fault and fault.kind == "slow":
            time.sleep(fault.seconds)
        if fault and fault.kind == "lose_reply":
            self.close_connection = True
            return
        self._send(status, value)

    def _refuse(self, fault: Fault) -> None:
        if fault.then:
            fault.then(self.client_address[1])
        if fault.kind == "drop":
            self.close_connection = True
            return
        later = fault.retry_after
        if later == "date":
            later = formatdate(time.time() + fault.seconds, usegmt=True)
        headers = {"Retry-After": later} if later is not None else {}
        self._send(fault.status, rest.errors("Service unavailable"), headers)

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        binary = isinstance(value, bytes)
        content = value if binary else b"" if value is None else json.dumps(value).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/octet-stream" if binary else "application/json")
            self.send_header("Content-Length", str(len(content)))
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # the client gave up waiting
            self.close_connection = True


def basic(user: str, token: str) -> str:
    """The Authorization header of a user with an API token."""
    return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()
