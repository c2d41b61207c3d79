"""Jira, Cloud and Data Center, through the package ``jira``.

What was measured on 3.10.5 and is heeded here (DESIGN section 8): its default retries repeat a POST, so a
lost reply gave two issues (``max_retries=0``); its default timeout is none; it picks the search of Cloud or
Data Center by serverInfo; project and issue type go as dicts, else it asks for them first. Also: it gives
only the first page of comments, and it cannot read Cloud's list of issue types (another key than Data
Center's), so both are read as JSON here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from jira import JIRA

from pipeline.errors import RefusedError
from pipeline.settings import TrackerSettings
from pipeline.trackers.jira_check import check
from pipeline.trackers.jira_errors import Translator
from pipeline.trackers.markup import shortened, wiki, wiki_text
from pipeline.trackers.port import COMMON_LABEL, Attached, Draft, Finding, Issue, Remark, Report

#: Read of an issue: what ``state`` and ``find`` show.
_FIELDS = "summary,status,attachment,creator,labels"
_REPORTED = "status,resolution,duedate,fixVersions,updated"
#: Longest title and text that Jira takes (characters).
_MOST_TITLE, _MOST_TEXT = 255, 32_767
#: Comments asked for at once; Cloud gives at most 100.
_PAGE = 100
_CHUNK = 1 << 20


class JiraTracker:
    """One project of one Jira.

    Args:
        settings: url, project, issue type, user, auth, timeout in seconds.
        token: API token (basic, Cloud) or personal access token (bearer, Data Center); never logged.

    Raises:
        RefusedError: the settings name no url.
        UnavailableError: Jira does not answer its serverInfo.
    """

    name = "jira"

    def __init__(self, settings: TrackerSettings, *, token: str | None = None) -> None:
        if settings.url is None:
            raise RefusedError("tracker jira: no url in the settings (tracker.url); set it")
        self._settings = settings
        self._translated = Translator(f"Jira {settings.url}")
        auth: dict[str, Any] = {}
        if token is not None and settings.auth == "bearer":
            auth["token_auth"] = token
        elif token is not None:
            auth["basic_auth"] = (settings.user or "", token)
        with self._translated("log in"):
            self._jira = JIRA(settings.url, max_retries=0, timeout=settings.timeout_s, logging=False, **auth)

    def find(self, label: str) -> list[Issue]:
        """By JQL; the index lags behind creation by seconds, at times minutes."""
        jql = f'project = "{self._settings.project}" AND labels = "{label}" ORDER BY created ASC'
        with self._translated("search"):
            return [self._issue(raw) for raw in self._jira.search_issues(jql, maxResults=0, fields=_FIELDS)]

    def create(self, draft: Draft) -> Issue:
        """One POST; see ``UnknownOutcomeError`` for what a missing answer means."""
        title = draft.title if len(draft.title) <= _MOST_TITLE else f"{draft.title[: _MOST_TITLE - 1]}…"
        fields = {
            **draft.fields,
            "project": {"key": self._settings.project},
            "issuetype": {"name": self._settings.issue_type},
            "summary": title,
            "description": wiki(draft.body, most=_MOST_TEXT),
            "labels": [draft.label, COMMON_LABEL, *draft.labels],
        }
        if draft.components:
            fields["components"] = [{"name": name} for name in draft.components]
        with self._translated("create an issue", changes=True):
            made = self._jira.create_issue(fields=fields, prefetch=False)
        return Issue(key=made.key, url=self._url(made.key), title=title)

    def attach(self, key: str, name: str, file: Path) -> bool:
        """Jira keeps no digests, so a file of the same name and size is read back and compared."""
        size = file.stat().st_size
        with self._translated(f"read the attachments of {key}"):
            for there in self._jira.issue(key, fields="attachment").fields.attachment:
                if there.filename == name and there.size == size and _digest(there) == _of(file):
                    return False
        with self._translated(f"attach {name} to {key}"), file.open("rb") as opened:
            self._jira.add_attachment(key, opened, filename=name)
        return True

    def comment(self, key: str, text: str, marker: str) -> bool:
        """The marker stands at the end, as code: Cloud gives a text back in other words, but not that.

        A marker that somebody else wrote down counts too; without that, an issue that was moved from another
        Jira, with all its comments under one name, would be told everything again.
        """
        mark = _mark(marker)
        with self._translated(f"comment on {key}"):
            if any(mark in _marks(comment["body"]) for comment in self._comments(key)):
                return False
            text = shortened(wiki_text(text), most=_MOST_TEXT - len(mark) - 8)
            self._post(f"issue/{key}/comment", {"body": f"{text}\n\n{{{{{mark}}}}}"})
        return True

    def link(self, key: str, global_id: str, url: str, title: str) -> None:
        """A remote link; Jira replaces the one of the same global id."""
        with self._translated(f"link {key}"):
            # The package's add_remote_link first asks for the application links, an administrator's right.
            link = {"globalId": global_id, "object": {"url": url, "title": title}}
            self._post(f"issue/{key}/remotelink", link)

    def state(self, key: str) -> Issue:
        """The issue with its attachments."""
        with self._translated(f"read {key}"):
            return self._issue(self._jira.issue(key, fields=_FIELDS))

    def report(self, key: str) -> Report:
        """The issue's fields as they are now, past the index."""
        with self._translated(f"read {key}"):
            return _report(self._jira.issue(key, fields=_REPORTED))

    def changed(self, within: timedelta) -> list[Report]:
        """By JQL, in minutes before now: an instant would be read in the zone of the account that we use."""
        minutes = int(within.total_seconds() // 60) + 1
        jql = f'project = "{self._settings.project}" AND labels = "{COMMON_LABEL}" AND updated >= -{minutes}m'
        with self._translated("search for changes"):
            found = self._jira.search_issues(f"{jql} ORDER BY created ASC", maxResults=0, fields=_REPORTED)
            return [_report(raw) for raw in found]

    def remarks(self, key: str) -> list[Remark]:
        """All comments without a mark of ours."""
        with self._translated(f"read the comments of {key}"):
            return [_remark(raw) for raw in self._comments(key) if not _marks(raw["body"])]

    def move(self, key: str, *, done: bool) -> bool:
        """By a transition's name, or the name of the state that it leads to."""
        issue = self.state(key)
        if issue.done is done:
            return False
        wanted = self._settings.finish if done else self._settings.reopen
        with self._translated(f"move {key}"):
            ways = self._jira.transitions(key, expand="transitions.fields")
            way = _chosen(ways, wanted, done=done)
            if way is None:
                there = ", ".join(way["name"] for way in ways) or "none"
                setting = "finish" if done else "reopen"
                raise RefusedError(
                    f"Jira {self._settings.url}: {key} is {issue.state} and has no transition {wanted}; it "
                    f"has: {there}. Name one in tracker.{setting}"
                )
            body: dict[str, Any] = {"transition": {"id": way["id"]}}
            resolution = _resolution(way) if done else None
            if resolution is not None:
                body["fields"] = {"resolution": {"name": resolution}}
            self._post(f"issue/{key}/transitions", body)
        return True

    def duplicates(self, key: str, of: str) -> bool:
        """An issue link; it is read first, for not every Jira refuses a second one."""
        kind = self._settings.duplicate_link
        with self._translated(f"link {key} to {of}"):
            for link in self._jira.issue(key, fields="issuelinks").raw["fields"].get("issuelinks") or []:
                if link["type"]["name"] == kind and link.get("outwardIssue", {}).get("key") == of:
                    return False
            # Jira reads it as: the inward issue duplicates the outward one.
            ends = {"inwardIssue": {"key": key}, "outwardIssue": {"key": of}}
            self._post("issueLink", {"type": {"name": kind}, **ends})
        return True

    def check(self) -> list[Finding]:
        """Account, project, rights, issue type, fields, components, link type, transitions."""
        return check(self._settings, self._read)

    def close(self) -> None:
        """Close the HTTP session."""
        client: Any = self._jira
        client.close()

    def _read(self, what: str, path: str, **params: str) -> Any:
        with self._translated(what):
            return self._jira._get_json(path, params=params or None)

    def _post(self, path: str, body: dict[str, Any]) -> None:
        self._jira._session.post(self._jira._get_url(path), data=json.dumps(body))

    def _comments(self, key: str) -> list[dict[str, Any]]:
        """Every page; to be called within ``_translated``."""
        comments: list[dict[str, Any]] = []
        while True:
            params = {"startAt": str(len(comments)), "maxResults": str(_PAGE), "orderBy": "created"}
            page = self._jira._get_json(f"issue/{key}/comment", params=params)
            comments += page["comments"]
            if not page["comments"] or len(comments) >= page["total"]:
                return comments

    @cached_property
    def _myself(self) -> str:
        with self._translated("ask who we are"):
            return _account(self._jira.myself())

    def _issue(self, raw: Any) -> Issue:
        fields = raw.raw["fields"]
        creator = fields.get("creator")
        return Issue(
            key=raw.key,
            url=self._url(raw.key),
            title=fields["summary"],
            state=fields["status"]["name"],
            done=_done(fields),
            labels=tuple(fields.get("labels") or ()),
            ours=creator is not None and _account(creator) == self._myself,
            attachments=tuple(
                Attached(name=file["filename"], size=file["size"]) for file in fields.get("attachment") or []
            ),
        )

    def _url(self, key: str) -> str:
        return f"{(self._settings.url or '').rstrip('/')}/browse/{key}"


def _report(raw: Any) -> Report:
    fields = raw.raw["fields"]
    due, resolution = fields.get("duedate"), fields.get("resolution")
    return Report(
        key=raw.key,
        status=fields["status"]["name"],
        done=_done(fields),
        resolution=resolution["name"] if resolution else None,
        due=date.fromisoformat(due) if due else None,
        fix_versions=tuple(version["name"] for version in fields.get("fixVersions") or []),
        updated_at=datetime.strptime(fields["updated"], "%Y-%m-%dT%H:%M:%S.%f%z"),
    )


def _done(fields: dict[str, Any]) -> bool:
    category: str = fields["status"].get("statusCategory", {}).get("key", "")
    return category == "done"


def _account(person: dict[str, Any]) -> str:
    """What does not change of an account: its id (Cloud) or its key (Data Center)."""
    return str(person.get("accountId") or person.get("key") or person.get("name"))


def _remark(raw: dict[str, Any]) -> Remark:
    author = raw.get("author") or {}
    names = {author.get(name) for name in ("accountId", "name", "key", "emailAddress")}
    return Remark(
        id=str(raw["id"]),
        author=str(author.get("displayName") or author.get("name") or "unknown"),
        names=frozenset(str(name) for name in names if name),
        text=raw["body"],
    )


def _mark(marker: str) -> str:
    # No colon: Jira makes a picture of ":D".
    return "garant/" + marker.replace(":", "/")


def _marks(body: str) -> set[str]:
    """The marks of ours in a comment; Cloud may give the signs around them back escaped."""
    return {word.strip("{}") for word in body.replace("\\", "").split() if word.startswith("{{garant/")}


def _chosen(ways: Sequence[dict[str, Any]], wanted: Sequence[str], *, done: bool) -> dict[str, Any] | None:
    """The way by the first name that fits and that leads where it should."""
    for name in (name.casefold() for name in wanted):
        for way in ways:
            names = {way["name"].casefold(), way["to"]["name"].casefold()}
            if name in names and _done({"status": way["to"]}) is done:
                return way
    return None


def _resolution(way: dict[str, Any]) -> str | None:
    """The resolution to give where the workflow's screen asks for one."""
    field = way.get("fields", {}).get("resolution")
    if field is None:
        return None
    allowed = [value["name"] for value in field.get("allowedValues", [])]
    return next((name for name in allowed if name == "Duplicate"), allowed[0] if allowed else None)


def _digest(attachment: Any) -> str:
    digest = hashlib.sha256()
    for chunk in attachment.iter_content(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
