"""The REST resources: each a function of the state and the request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

from pipeline.trackers.jira_server.search import JqlError, search
from pipeline.trackers.jira_server.state import (
    COMPONENTS,
    ISSUE_TYPES,
    PERMISSIONS,
    RESOLUTIONS,
    ROBOT,
    JiraState,
    StoredIssue,
    instant,
)

API = "/rest/api/2"
#: Longest texts that Jira takes (characters).
MOST_SUMMARY, MOST_TEXT = 255, 32_767
#: Comments of one page, whatever is asked for.
_PAGE = 100

Answer = tuple[int, Any]


@dataclass(frozen=True)
class Asked:
    """One request, and where the server listens."""

    state: JiraState
    url: str
    query: dict[str, str]
    body: bytes
    content_type: str
    headers: dict[str, str]

    @property
    def json(self) -> dict[str, Any]:
        """The body."""
        value: dict[str, Any] = json.loads(self.body)
        return value


class NotHereError(Exception):
    """There is no such issue."""


def errors(*messages: str, **fields: str) -> dict[str, Any]:
    """Jira's error document."""
    return {"errorMessages": list(messages), "errors": fields}


def answer(method: str, path: str, asked: Asked) -> Answer:
    """Do the request; a pair of status and JSON (or bytes)."""
    with asked.state.lock:
        for verb, pattern, action in _ROUTES:
            match = re.fullmatch(API + pattern, path)
            if match and verb == method:
                try:
                    return action(asked, *match.groups())
                except NotHereError:
                    text = "Issue does not exist or you do not have permission to see it."
                    return 404, errors(text)
                except JqlError as error:
                    return 400, errors(str(error))
    return 404, errors(f"no {method} {path} here")


def _issue(asked: Asked, key: str) -> StoredIssue:
    issue = asked.state.issues.get(key)
    if issue is None:
        raise NotHereError
    return issue


def _server_info(asked: Asked) -> Answer:
    cloud = asked.state.flavour == "Cloud"
    numbers = [1001, 0, 0] if cloud else [10, 3, 0]
    return 200, {
        "baseUrl": asked.url,
        "version": ".".join(map(str, numbers)),
        "versionNumbers": numbers,
        "deploymentType": asked.state.flavour,
    }


def _myself(asked: Asked) -> Answer:
    return 200, asked.state.person(ROBOT)


def _permissions(asked: Asked) -> Answer:
    wanted = asked.query.get("permissions", "").split(",") if asked.state.flavour == "Cloud" else PERMISSIONS
    if asked.state.flavour == "Cloud" and not asked.query.get("permissions"):
        return 400, errors("The permissions query parameter is required.")
    have = {name: {"key": name, "havePermission": name in asked.state.permissions} for name in wanted}
    return 200, {"permissions": have}


def _create(asked: Asked) -> Answer:
    fields = asked.json["fields"]
    wrong = _wrong_fields(asked.state, fields)
    if wrong:
        return 400, errors(**wrong)
    if "CREATE_ISSUES" not in asked.state.permissions:
        return 403, errors("You do not have permission to create issues in this project.")
    properties = {entry["key"]: entry["value"] for entry in asked.json.get("properties", [])}
    issue = asked.state.create(fields, ROBOT, properties)
    return 201, {"id": str(10000 + issue.number), "key": issue.key, "self": _self(asked, issue)}


def _wrong_fields(state: JiraState, fields: dict[str, Any]) -> dict[str, str]:
    wrong = {}
    if fields.get("project", {}).get("key") != state.project:
        wrong["project"] = "valid project is required"
    if fields.get("issuetype", {}).get("name") not in ISSUE_TYPES:
        wrong["issuetype"] = "The issue type selected is invalid."
    summary = fields.get("summary")
    if not summary or len(summary) > MOST_SUMMARY or "\n" in summary:
        wrong["summary"] = f"Summary must be one line of at most {MOST_SUMMARY} characters."
    if len(fields.get("description") or "") > MOST_TEXT:
        wrong["description"] = f"The entered text is too long. It exceeds the limit of {MOST_TEXT}."
    if any(" " in label for label in fields.get("labels", [])):
        wrong["labels"] = "A label must not contain spaces."
    for part in fields.get("components", []):
        if part.get("name") not in COMPONENTS:
            wrong["components"] = f"Component name '{part.get('name')}' is not valid"
    for name in set(fields) - set(_FIELDS):
        wrong[name] = f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
    return wrong


def _self(asked: Asked, issue: StoredIssue) -> str:
    return f"{asked.url}{API}/issue/{issue.key}"


def _shown(asked: Asked, issue: StoredIssue) -> dict[str, Any]:
    attachments = [
        {
            "id": id_,
            "filename": name,
            "size": len(content),
            "self": f"{asked.url}{API}/attachment/{id_}",
            "content": f"{asked.url}{API}/attachment/content/{id_}",
        }
        for id_, (name, content) in issue.attachments.items()
    ]
    links = [
        {"id": str(n), "type": {"name": kind}, f"{side}Issue": {"key": other}}
        for n, (kind, side, other) in enumerate(issue.issue_links, 1)
    ]
    made = {
        "status": {"name": issue.state, "statusCategory": {"key": issue.category}},
        "resolution": issue.fields.get("resolution"),
        "duedate": issue.fields.get("duedate"),
        "fixVersions": issue.fields.get("fixVersions", []),
        "creator": asked.state.person(issue.creator),
        "created": instant(issue.created),
        "updated": instant(issue.updated),
        "attachment": attachments,
        "issuelinks": links,
    }
    return {
        "id": str(10000 + issue.number),
        "key": issue.key,
        "self": _self(asked, issue),
        "fields": {**issue.fields, **made},
    }


def _read(asked: Asked, key: str) -> Answer:
    return 200, _shown(asked, _issue(asked, key))


def _old_search(asked: Asked) -> Answer:
    if asked.state.flavour == "Cloud":
        return 410, errors("The requested API has been removed. Please migrate to /rest/api/3/search/jql")
    query = asked.json if asked.body else asked.query
    found = [_shown(asked, issue) for issue in search(asked.state, query["jql"])]
    start, size = int(query.get("startAt", 0)), min(int(query.get("maxResults", 50)), 1000)
    page = found[start : start + size]
    return 200, {"startAt": start, "maxResults": size, "total": len(found), "issues": page}


def _jql_search(asked: Asked) -> Answer:
    if asked.state.flavour != "Cloud":
        return 404, errors("no such resource")
    query = asked.json if asked.body else asked.query
    found = [_shown(asked, issue) for issue in search(asked.state, query["jql"])]
    start, size = int(query.get("nextPageToken") or 0), min(int(query.get("maxResults", 50)), 100)
    page: dict[str, Any] = {"issues": found[start : start + size]}
    more = start + size < len(found)
    return 200, {**page, "isLast": not more, **({"nextPageToken": str(start + size)} if more else {})}


def _attach(asked: Asked, key: str) -> Answer:
    issue = _issue(asked, key)
    if asked.headers.get("x-atlassian-token") != "no-check":
        return 403, errors("XSRF check failed")
    if "CREATE_ATTACHMENTS" not in asked.state.permissions:
        return 403, errors("You do not have permission to create attachments for this issue.")
    head = b"Content-Type: " + asked.content_type.encode() + b"\r\n\r\n"
    made = []
    for part in message_from_bytes(head + asked.body, policy=HTTP).iter_parts():
        id_ = str(sum(len(other.attachments) for other in asked.state.issues.values()) + 20000)
        issue.attachments[id_] = (part.get_filename() or "file", bytes(part.get_payload(decode=True)))
        made.append(id_)
    asked.state.touch(issue)
    return 200, [a for a in _shown(asked, issue)["fields"]["attachment"] if a["id"] in made]


def _content(asked: Asked, id_: str) -> Answer:
    for issue in asked.state.issues.values():
        if id_ in issue.attachments:
            return 200, issue.attachments[id_][1]
    return 404, errors("no such attachment")


def _comments(asked: Asked, key: str) -> Answer:
    issue = _issue(asked, key)
    start = int(asked.query.get("startAt", 0))
    size = min(int(asked.query.get("maxResults", _PAGE)), _PAGE)
    page = issue.comments[start : start + size]
    return 200, {"startAt": start, "maxResults": size, "total": len(issue.comments), "comments": page}


def _comment(asked: Asked, key: str) -> Answer:
    text = asked.json["body"]
    _issue(asked, key)
    if not text.strip() or len(text) > MOST_TEXT:
        return 400, errors(comment=f"A comment has between 1 and {MOST_TEXT} characters.")
    made = asked.state.say(key, text, ROBOT)
    return 201, {**made, "self": f"{asked.url}{API}/issue/{key}/comment/{made['id']}"}


def _transitions(asked: Asked, key: str) -> Answer:
    issue = _issue(asked, key)
    shown = []
    for id_, (name, to, category) in asked.state.ways(issue).items():
        way: dict[str, Any] = {"id": id_, "name": name}
        way["to"] = {"name": to, "statusCategory": {"key": category}}
        if asked.query.get("expand") == "transitions.fields":
            wants = asked.state.flavour == "Server" and category == "done"
            allowed = [{"name": resolution} for resolution in RESOLUTIONS]
            resolution = {"required": True, "allowedValues": allowed}
            way["fields"] = {"resolution": resolution} if wants else {}
        shown.append(way)
    return 200, {"transitions": shown}


def _transit(asked: Asked, key: str) -> Answer:
    issue = _issue(asked, key)
    way = asked.state.ways(issue).get(str(asked.json["transition"]["id"]))
    if way is None:
        return 400, errors("It seems that you have tried to perform an illegal workflow operation.")
    resolution = asked.json.get("fields", {}).get("resolution", {}).get("name")
    if asked.state.flavour == "Server" and way[2] == "done" and resolution not in RESOLUTIONS:
        return 400, errors(resolution="Resolution is required.")
    asked.state.move(issue, way, resolution)
    return 204, None


def _link(asked: Asked, key: str) -> Answer:
    issue, link = _issue(asked, key), asked.json
    known = link["globalId"] in issue.links
    issue.links[link["globalId"]] = link["object"]
    number = list(issue.links).index(link["globalId"]) + 1
    at = f"{_self(asked, issue)}/remotelink/{number}"
    return (200 if known else 201), {"id": number, "self": at}


def _links(asked: Asked, key: str) -> Answer:
    issue = _issue(asked, key)
    return 200, [
        {"id": n, "globalId": name, "object": link, "self": f"{_self(asked, issue)}/remotelink/{n}"}
        for n, (name, link) in enumerate(issue.links.items(), 1)
    ]


def _link_issues(asked: Asked) -> Answer:
    kind = asked.json["type"]["name"]
    if kind != "Duplicate":
        return 404, errors(f"No issue link type with name '{kind}' found.")
    source = _issue(asked, asked.json["inwardIssue"]["key"])
    target = _issue(asked, asked.json["outwardIssue"]["key"])
    # Jira does not keep a second link of the same kind between the same issues.
    if (kind, "outward", target.key) not in source.issue_links:
        source.issue_links.append((kind, "outward", target.key))
        target.issue_links.append((kind, "inward", source.key))
        asked.state.touch(source)
    return 201, None


def _link_types(asked: Asked) -> Answer:
    kind = {"id": "1", "name": "Duplicate", "inward": "is duplicated by", "outward": "duplicates"}
    return 200, {"issueLinkTypes": [kind]}


def _property(asked: Asked, key: str, name: str) -> Answer:
    value = _issue(asked, key).properties.get(name)
    return (200, {"key": name, "value": value}) if value is not None else (404, errors("no such property"))


def _set_property(asked: Asked, key: str, name: str) -> Answer:
    issue = _issue(asked, key)
    known = name in issue.properties
    issue.properties[name] = json.loads(asked.body)
    return (200 if known else 201), None


def _project(asked: Asked, key: str) -> Answer:
    if key != asked.state.project:
        return 404, errors(f"No project could be found with key '{key}'.")
    parts = [{"id": str(n), "name": name} for n, name in enumerate(COMPONENTS, 1)]
    at = f"{asked.url}{API}/project/{key}"
    return 200, {"id": "10000", "key": key, "name": key, "self": at, "components": parts}


def _paged(asked: Asked, cloud_name: str, values: list[dict[str, Any]]) -> Answer:
    named = {(cloud_name if asked.state.flavour == "Cloud" else "values"): values}
    return 200, {"startAt": 0, "maxResults": 50, "total": len(values), "isLast": True, **named}


def _issue_types(asked: Asked, key: str) -> Answer:
    if key != asked.state.project:
        return 404, errors(f"No project could be found with key '{key}'.")
    types = [{"id": str(n), "name": name, "subtask": False} for n, name in enumerate(ISSUE_TYPES, 1)]
    return _paged(asked, "issueTypes", types)


_FIELDS = {
    "project": True,
    "issuetype": True,
    "summary": True,
    "description": False,
    "labels": False,
    "components": False,
    "priority": False,
    "duedate": False,
}


def _issue_fields(asked: Asked, key: str, type_: str) -> Answer:
    shown = [
        {"fieldId": name, "key": name, "name": name.capitalize(), "required": required}
        for name, required in _FIELDS.items()
    ]
    return _paged(asked, "fields", shown)


def _all_fields(asked: Asked) -> Answer:
    names = (
        *_FIELDS,
        "status",
        "resolution",
        "attachment",
        "fixVersions",
        "creator",
        "updated",
        "issuelinks",
    )
    return 200, [{"id": name, "name": name.capitalize(), "custom": False} for name in names]


_ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/serverInfo", _server_info),
    ("GET", "/field", _all_fields),
    ("GET", "/myself", _myself),
    ("GET", "/mypermissions", _permissions),
    ("GET", "/project/([^/]+)", _project),
    ("GET", "/issue/createmeta/([^/]+)/issuetypes", _issue_types),
    ("GET", "/issue/createmeta/([^/]+)/issuetypes/([^/]+)", _issue_fields),
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
    ("GET", "/issue/([^/]+)/properties/([^/]+)", _property),
    ("PUT", "/issue/([^/]+)/properties/([^/]+)", _set_property),
    ("POST", "/issueLink", _link_issues),
    ("GET", "/issueLinkType", _link_types),
    ("GET", "/issue/([^/]+)", _read),
]
