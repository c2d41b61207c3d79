"""A small stateful server that speaks as much of Jira's REST as we use, in both flavours, with faults.

The tests and ``garant demo --tracker jira`` run the real adapter against it. It keeps everything in memory
and is no Jira: what it does not know answers 404.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

API = "/rest/api/2"
STATES = {"11": "To Do", "21": "In Progress", "31": "Done"}


@dataclass
class Fault:
    """What goes wrong with the next requests that match.

    Attributes:
        kind: ``lose_reply`` (done, then the connection is cut), ``drop`` (cut before anything is done),
            ``status`` (answered with ``status``, nothing done), ``slow`` (done after ``seconds``).
        times: how many requests it hits.
    """

    method: str
    path: str
    kind: Literal["lose_reply", "drop", "status", "slow"]
    status: int = 503
    seconds: float = 0.0
    times: int = 1


@dataclass
class StoredIssue:
    """An issue with all that hangs on it."""

    key: str
    number: int
    fields: dict[str, Any]
    indexed_at: float
    state: str = "11"
    attachments: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    comments: list[dict[str, Any]] = field(default_factory=list)
    links: dict[str, dict[str, Any]] = field(default_factory=dict)


class JiraServer:
    """Start it with ``with JiraServer(...) as server``; ``server.url`` is where it listens (loopback).

    Args:
        flavour: ``Cloud`` (search/jql; the old search answers 410) or ``Server`` (Data Center: search).
        project: the one project's key.
        authorization: the Authorization header that is required; None: nobody is asked.
        index_lag_s: how long a new issue is missing from searches.
        clock: seconds; by default the machine's monotonic clock.
    """

    def __init__(
        self,
        *,
        flavour: Literal["Cloud", "Server"] = "Cloud",
        project: str = "SET",
        authorization: str | None = None,
        index_lag_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        port: int = 0,
    ) -> None:
        self.flavour, self.project, self.authorization = flavour, project, authorization
        self.index_lag_s, self.clock = index_lag_s, clock
        self.faults: list[Fault] = []
        #: Every request: "POST /rest/api/2/issue".
        self.requests: list[str] = []
        self.issues: dict[str, StoredIssue] = {}
        self.lock = threading.RLock()
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

    def fault_for(self, method: str, path: str) -> Fault | None:
        """The first fault that hits this request; it is used up."""
        with self.lock:
            self.requests.append(f"{method} {path}")
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, kind: str) -> _Answer:
        """Do the request; a pair of status and JSON (or bytes)."""
        with self.lock:
            for verb, pattern, action in _ROUTES:
                match = re.fullmatch(API + pattern, path)
                if match and verb == method:
                    return action(self, query, body, kind, *match.groups())
        return 404, _errors(f"no {method} {path} here")


_Answer = tuple[int, Any]


def _errors(*messages: str, **fields: str) -> dict[str, Any]:
    return {"errorMessages": list(messages), "errors": fields}


def _server_info(server: JiraServer, *_: Any) -> _Answer:
    cloud = server.flavour == "Cloud"
    numbers = [1001, 0, 0] if cloud else [10, 3, 0]
    return 200, {
        "baseUrl": server.url,
        "version": ".".join(map(str, numbers)),
        "versionNumbers": numbers,
        "deploymentType": server.flavour,
    }


def _create(server: JiraServer, query: dict[str, str], body: bytes, *_: Any) -> _Answer:
    fields = json.loads(body)["fields"]
    if fields.get("project", {}).get("key") != server.project:
        return 400, _errors(project="valid project is required")
    if fields.get("issuetype", {}).get("name") not in ("Bug", "Task"):
        return 400, _errors(issuetype="The issue type selected is invalid.")
    if not fields.get("summary") or len(fields["summary"]) > 255 or "\n" in fields["summary"]:
        return 400, _errors(summary="Summary must be one line of at most 255 characters.")
    if any(" " in label for label in fields.get("labels", [])):
        return 400, _errors(labels="A label must not contain spaces.")
    number = len(server.issues) + 1
    key = f"{server.project}-{number}"
    indexed_at = server.clock() + server.index_lag_s
    server.issues[key] = StoredIssue(key=key, number=number, fields=fields, indexed_at=indexed_at)
    return 201, {"id": str(10000 + number), "key": key, "self": f"{server.url}{API}/issue/{key}"}


def _shown(server: JiraServer, issue: StoredIssue) -> dict[str, Any]:
    attachments = [
        {
            "id": id_,
            "filename": name,
            "size": len(content),
            "self": f"{server.url}{API}/attachment/{id_}",
            "content": f"{server.url}{API}/attachment/content/{id_}",
        }
        for id_, (name, content) in issue.attachments.items()
    ]
    fields = {**issue.fields, "status": {"id": issue.state, "name": STATES[issue.state]}}
    return {
        "id": str(10000 + issue.number),
        "key": issue.key,
        "self": f"{server.url}{API}/issue/{issue.key}",
        "fields": {**fields, "attachment": attachments},
    }


def _read(server: JiraServer, query: dict[str, str], body: bytes, kind: str, key: str) -> _Answer:
    issue = server.issues.get(key)
    return (200, _shown(server, issue)) if issue else _no_issue()


def _no_issue() -> _Answer:
    return 404, _errors("Issue does not exist or you do not have permission to see it.")


def _matches(server: JiraServer, jql: str) -> list[dict[str, Any]]:
    labels = re.findall(r'labels\s*=\s*"([^"]+)"', jql)
    projects = re.findall(r'project\s*=\s*"([^"]+)"', jql)
    return [
        _shown(server, issue)
        for issue in sorted(server.issues.values(), key=lambda issue: issue.number)
        if issue.indexed_at <= server.clock()
        and all(label in issue.fields.get("labels", []) for label in labels)
        and all(project == server.project for project in projects)
    ]


def _old_search(server: JiraServer, query: dict[str, str], body: bytes, *_: Any) -> _Answer:
    if server.flavour == "Cloud":
        return 410, _errors("The requested API has been removed. Please migrate to /rest/api/3/search/jql")
    asked = json.loads(body) if body else query
    found = _matches(server, asked["jql"])
    start, size = int(asked.get("startAt", 0)), int(asked.get("maxResults", 50))
    page = found[start : start + size]
    return 200, {"startAt": start, "maxResults": size, "total": len(found), "issues": page}


def _jql_search(server: JiraServer, query: dict[str, str], body: bytes, *_: Any) -> _Answer:
    if server.flavour != "Cloud":
        return 404, _errors("no such resource")
    asked = json.loads(body) if body else query
    found = _matches(server, asked["jql"])
    start, size = int(asked.get("nextPageToken") or 0), int(asked.get("maxResults", 50))
    page: dict[str, Any] = {"issues": found[start : start + size]}
    more = start + size < len(found)
    return 200, {**page, "isLast": not more, **({"nextPageToken": str(start + size)} if more else {})}


def _attach(server: JiraServer, query: dict[str, str], body: bytes, kind: str, key: str) -> _Answer:
    issue = server.issues.get(key)
    if issue is None:
        return _no_issue()
    parts = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body, policy=HTTP)
    made = []
    for part in parts.iter_parts():
        id_ = str(sum(len(other.attachments) for other in server.issues.values()) + 20000)
        issue.attachments[id_] = (part.get_filename() or "file", bytes(part.get_payload(decode=True)))
        made.append(id_)
    return 200, [a for a in _shown(server, issue)["fields"]["attachment"] if a["id"] in made]


def _content(server: JiraServer, query: dict[str, str], body: bytes, kind: str, id_: str) -> _Answer:
    for issue in server.issues.values():
        if id_ in issue.attachments:
            return 200, issue.attachments[id_][1]
    return 404, _errors("no such attachment")


def _comments(server: JiraServer, query: dict[str, str], body: bytes, kind: str, key: str) -> _Answer:
    issue = server.issues.get(key)
    if issue is None:
        return _no_issue()
    total = len(issue.comments)
    return 200, {"startAt": 0, "maxResults": total, "total": total, "comments": issue.comments}


def _comment(server: JiraServer, query: dict[str, str], body: bytes, kind: str, key: str) -> _Answer:
    issue = server.issues.get(key)
    if issue is None:
        return _no_issue()
    number = str(len(issue.comments) + 1)
    made = {
        "id": number,
        "body": json.loads(body)["body"],
        "self": f"{server.url}{API}/issue/{key}/comment/{number}",
    }
    issue.comments.append(made)
    return 201, made


def _transitions(server: JiraServer, query: dict[str, str], body: bytes, kind: str, key: str) -> _Answer:
    if key not in server.issues:
        return _no_issue()
    return 200, {"transitions": [{"id": id_, "name": name} for id_, name in STATES.items()]}


def _transit(server: JiraServer, query: dict[str, str], body: bytes, kind: str, key: str) -> _Answer:
    wanted = json.loads(body)["transition"]["id"]
    if key not in server.issues or wanted not in STATES:
        return 400, _errors("no such transition")
    server.issues[key].state = wanted
    return 204, None


def _link(server: JiraServer, query: dict[str, str], body: bytes, kind: str, key: str) -> _Answer:
    issue = server.issues.get(key)
    if issue is None:
        return _no_issue()
    link = json.loads(body)
    known = link["globalId"] in issue.links
    issue.links[link["globalId"]] = link["object"]
    number = list(issue.links).index(link["globalId"]) + 1
    at = f"{server.url}{API}/issue/{key}/remotelink/{number}"
    return (200 if known else 201), {"id": number, "self": at}


def _links(server: JiraServer, query: dict[str, str], body: bytes, kind: str, key: str) -> _Answer:
    issue = server.issues.get(key)
    if issue is None:
        return _no_issue()
    return 200, [
        {"id": n, "globalId": name, "object": link, "self": f"{server.url}{API}/issue/{key}/remotelink/{n}"}
        for n, (name, link) in enumerate(issue.links.items(), 1)
    ]


def _project(server: JiraServer, query: dict[str, str], body: bytes, kind: str, key: str) -> _Answer:
    if key != server.project:
        return 404, _errors(f"No project could be found with key '{key}'.")
    return 200, {"id": "10000", "key": key, "name": key, "self": f"{server.url}{API}/project/{key}"}


def _issue_types(server: JiraServer, query: dict[str, str], body: bytes, kind: str, key: str) -> _Answer:
    types = [{"id": "1", "name": "Bug"}, {"id": "2", "name": "Task"}]
    named = {"issueTypes": types} if server.flavour == "Cloud" else {"values": types}
    return 200, {"startAt": 0, "maxResults": 50, "total": 2, "isLast": True, **named}


def _fields(server: JiraServer, *_: Any) -> _Answer:
    names = ("summary", "description", "status", "labels", "attachment", "issuetype", "project")
    return 200, [{"id": name, "name": name.capitalize(), "custom": False} for name in names]


_ROUTES: list[tuple[str, str, Callable[..., _Answer]]] = [
    ("GET", "/serverInfo", _server_info),
    ("GET", "/field", _fields),
    ("GET", "/project/([^/]+)", _project),
    ("GET", "/issue/createmeta/([^/]+)/issuetypes", _issue_types),
    ("POST", "/issue", _create),
    ("GET", "/search", _old_search),
    ("POST", "/search", _old_search),
    ("GET", "/search/jql", _jql_search),
    ("POST", "/search/jql", _jql_search),
    ("GET", "/attachment/content/([^/]+)", _content),
    ("POST", "/issue/([^/]+)/attachments", _attach),
    ("GET", "/issue/([^/]+)/comment", _comments),
    ("POST", "/issue/([^/]+)/comment", _comment),
    ("GET", "/issue/([^/]+)/transitions", _transitions),
    ("POST", "/issue/([^/]+)/transitions", _transit),
    ("GET", "/issue/([^/]+)/remotelink", _links),
    ("POST", "/issue/([^/]+)/remotelink", _link),
    ("GET", "/issue/([^/]+)", _read),
]


class _HttpServer(ThreadingHTTPServer):
    jira: JiraServer
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Stay quiet: ``JiraServer.requests`` has them."""

    def do_GET(self) -> None:
        """Answer a reading request."""
        self._serve("GET")

    def do_POST(self) -> None:
        """Answer a writing request."""
        self._serve("POST")

    def _serve(self, method: str) -> None:
        jira, at = self.server.jira, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = jira.fault_for(method, at.path)
        if fault and fault.kind == "drop":
            self._cut()
            return
        if fault and fault.kind == "status":
            self._send(fault.status, _errors("Service unavailable"))
            return
        if jira.authorization is not None and self.headers.get("Authorization") != jira.authorization:
            self._send(401, _errors("Client must be authenticated to access this resource."))
            return
        query = {name: values[-1] for name, values in parse_qs(at.query).items()}
        status, value = jira.answer(method, at.path, query, body, self.headers.get("Content-Type", ""))
        if fault and fault.kind == "slow":
            time.sleep(fault.seconds)
        if fault and fault.kind == "lose_reply":
            self._cut()
            return
        self._send(status, value)

    def _cut(self) -> None:
        self.close_connection = True

    def _send(self, status: int, value: Any) -> None:
        binary = isinstance(value, bytes)
        content = value if binary else b"" if value is None else json.dumps(value).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/octet-stream" if binary else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # the client gave up waiting
            self.close_connection = True


def basic(user: str, token: str) -> str:
    """The Authorization header of a user with an API token."""
    return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()
