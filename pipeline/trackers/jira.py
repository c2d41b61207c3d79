"""Jira, Cloud and Data Center, through the package ``jira``.

What was measured on 3.10.5 and is heeded here (DESIGN section 8): its default retries repeat a POST, so a
lost reply gave two issues (``max_retries=0``); its default timeout is none; it picks the search of Cloud or
Data Center by serverInfo; project and issue type go as dicts, else it asks for them first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import requests
from jira import JIRA, JIRAError
from urllib3.exceptions import MaxRetryError, NewConnectionError

from pipeline.errors import NotFoundError, RefusedError, UnavailableError
from pipeline.settings import TrackerSettings
from pipeline.trackers.errors import UnknownOutcomeError
from pipeline.trackers.port import Attached, Draft, Issue

#: Read of an issue: what ``state`` and ``find`` show.
_FIELDS = "summary,status,attachment"
#: Longest title that Jira takes.
_MAX_TITLE = 255


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
            return [self._issue(raw) for raw in self._jira.search_issues(jql, maxResults=50, fields=_FIELDS)]

    def create(self, draft: Draft) -> Issue:
        """One POST; see ``UnknownOutcomeError`` for what a missing answer means."""
        fields = {
            "project": {"key": self._settings.project},
            "issuetype": {"name": self._settings.issue_type},
            "summary": draft.title[:_MAX_TITLE],
            "description": draft.body,
            "labels": [draft.label],
        }
        with self._translated("create an issue", changes=True):
            made = self._jira.create_issue(fields=fields, prefetch=False)
        return Issue(key=made.key, url=self._url(made.key), title=draft.title[:_MAX_TITLE])

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
        """The marker stands at the comment's end, in brackets."""
        mark = f"[garant:{marker}]"
        with self._translated(f"comment on {key}"):
            if any(mark in there.body for there in self._jira.comments(key)):
                return False
            self._jira.add_comment(key, f"{text}\n\n{mark}")
        return True

    def link(self, key: str, global_id: str, url: str, title: str) -> None:
        """A remote link; Jira replaces the one of the same global id."""
        with self._translated(f"link {key}"):
            # The package's add_remote_link first asks for the application links, an administrator's right.
            link = {"globalId": global_id, "object": {"url": url, "title": title}}
            at = self._jira._get_url(f"issue/{key}/remotelink")
            self._jira._session.post(at, data=json.dumps(link))

    def state(self, key: str) -> Issue:
        """The issue with its attachments."""
        with self._translated(f"read {key}"):
            return self._issue(self._jira.issue(key, fields=_FIELDS))

    def close(self) -> None:
        """Close the HTTP session."""
        client: Any = self._jira
        client.close()

    def _issue(self, raw: Any) -> Issue:
        attachments = getattr(raw.fields, "attachment", None) or []
        return Issue(
            key=raw.key,
            url=self._url(raw.key),
            title=raw.fields.summary,
            state=raw.fields.status.name,
            attachments=tuple(Attached(name=file.filename, size=file.size) for file in attachments),
        )

    def _url(self, key: str) -> str:
        return f"{(self._settings.url or '').rstrip('/')}/browse/{key}"

    @contextmanager
    def _translated(self, what: str, *, changes: bool = False) -> Iterator[None]:
        """Jira's and the network's errors as ours; ``changes``: no answer means unknown."""
        doubt: Callable[[str], Exception] = UnknownOutcomeError if changes else UnavailableError
        where = f"Jira {self._settings.url}: {what}"
        try:
            yield
        except JIRAError as error:
            _raise(where, error, doubt)
        except requests.ConnectionError as error:
            reason = error.args[0] if error.args else None
            never_sent = isinstance(reason, MaxRetryError) and isinstance(reason.reason, NewConnectionError)
            text = f"{where}: no connection: {error}. Is it up?"
            raise (UnavailableError(text) if never_sent else doubt(text)) from error
        except (requests.RequestException, ValueError) as error:
            raise doubt(f"{where}: no usable answer: {error}") from error


def _raise(where: str, error: JIRAError, doubt: Callable[[str], Exception]) -> NoReturn:
    status, text = error.status_code, error.text
    if status in (401, 403):
        raise RefusedError(f"{where}: {status} {text}. Check tracker.user and the token") from error
    if status == 404:
        raise NotFoundError(f"{where}: 404 {text}. Check the project and the issue's key") from error
    if status == 429:
        raise UnavailableError(f"{where}: 429, too many requests; try again later") from error
    if status is not None and 400 <= status < 500:
        raise RefusedError(f"{where}: {status} {text}. Check tracker.project and issue_type") from error
    # 5xx may come from a proxy while Jira goes on with the work.
    raise doubt(f"{where}: {status} {text}") from error


def _digest(attachment: Any) -> str:
    return hashlib.sha256(attachment.get()).hexdigest()


def _of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
