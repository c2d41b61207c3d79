"""The tracker of the story, and how to look at it without asking Garant's rows."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.trackers.drafts import label
from pipeline.trackers.jira_server import JiraServer, basic
from pipeline.trackers.jobs import open_tracker

if TYPE_CHECKING:
    from pipeline.application import Garant

_USER, _TOKEN, _TOKEN_ENV = "garant@vendor.example", "demo-token", "GARANT_DEMO_JIRA_TOKEN"


class DemoTracker(Protocol):
    """Where development works in the story."""

    kind: str

    def settings(self) -> dict[str, Any]:
        """The ``tracker`` section of garant.yaml."""

    def look(self, app: Garant, defect_id: str) -> dict[str, Any]:
        """How many issues the defect has, and what is attached to the first: issues, attachments."""

    def close(self) -> None:
        """End what was started."""


class Local:
    """The embedded tracker; its attachments are files."""

    kind = "local"

    def settings(self) -> dict[str, Any]:
        """The default needs no settings but its kind."""
        return {"kind": "local"}

    def look(self, app: Garant, defect_id: str) -> dict[str, Any]:
        """As the tracker answers, by the same port that any tracker has."""
        with closing(open_tracker(app)) as tracker:
            found = tracker.find(label(defect_id))
            attached = tracker.state(found[0].key).attachments if found else ()
        return {"issues": len(found), "attachments": [attachment.name for attachment in attached]}

    def close(self) -> None:
        """Nothing was started."""


class Jira:
    """A server on loopback that speaks Jira's REST; Garant talks to it as to the real one."""

    kind = "jira"

    def __init__(self) -> None:
        os.environ[_TOKEN_ENV] = _TOKEN
        self._server = JiraServer(authorization=basic(_USER, _TOKEN))
        self._server.__enter__()

    def settings(self) -> dict[str, Any]:
        """As for Jira Cloud: address, user, and where the token is."""
        return {
            "kind": "jira",
            "url": self._server.url,
            "user": _USER,
            "token_env": _TOKEN_ENV,
            "index_lag_s": 2,
        }

    def look(self, app: Garant, defect_id: str) -> dict[str, Any]:
        """As the server has it, past its REST."""
        issues = [
            issue for issue in self._server.issues.values() if label(defect_id) in issue.fields["labels"]
        ]
        names = [name for issue in issues[:1] for name, _content in issue.attachments.values()]
        return {"issues": len(issues), "attachments": names}

    def close(self) -> None:
        """Stop the server."""
        self._server.__exit__(None, None, None)


def demo_tracker(kind: str) -> DemoTracker:
    """The tracker by the option's value: local or jira."""
    return Jira() if kind == "jira" else Local()
