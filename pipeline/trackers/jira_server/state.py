"""What the server knows: its one project with issues, people, workflow; and what people do there by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Flavour = Literal["Cloud", "Server"]
#: Transition's id -> name of the transition, state it leads to, category of that state.
_CLOUD = {
    "11": ("To Do", "To Do", "new"),
    "21": ("In Progress", "In Progress", "indeterminate"),
    "31": ("Done", "Done", "done"),
}
_SERVER = {
    "4": ("Start Progress", "In Progress", "indeterminate"),
    "2": ("Close Issue", "Closed", "done"),
    "3": ("Reopen Issue", "Reopened", "new"),
}
_FIRST = {"Cloud": ("To Do", "new"), "Server": ("Open", "new")}
RESOLUTIONS = ("Done", "Fixed", "Duplicate", "Won't Do")
COMPONENTS = ("POS", "Server")
ISSUE_TYPES = ("Bug", "Task")
PERMISSIONS = (
    "BROWSE_PROJECTS",
    "CREATE_ISSUES",
    "ADD_COMMENTS",
    "CREATE_ATTACHMENTS",
    "TRANSITION_ISSUES",
    "LINK_ISSUES",
)


@dataclass(frozen=True)
class Person:
    """An account: ``name`` is the login (Data Center), ``account`` the id (Cloud)."""

    name: str
    account: str
    display: str


ROBOT = Person("robot", "557058:robot", "Garant")
DEVELOPER = Person("dana", "557058:dana", "Dana Developer")


@dataclass
class StoredIssue:
    """An issue with all that hangs on it."""

    key: str
    number: int
    fields: dict[str, Any]
    creator: Person
    created: float
    updated: float
    indexed_at: float
    state: str
    category: str
    attachments: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    comments: list[dict[str, Any]] = field(default_factory=list)
    links: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Link type's name, "inward" or "outward", the other issue's key.
    issue_links: list[tuple[str, str, str]] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)


class JiraState:
    """The project; every method holds the lock.

    Args:
        clock: seconds since 1970.
        changed: called after each change of an issue with the event's name and the issue.
    """

    def __init__(
        self,
        flavour: Flavour,
        project: str,
        *,
        index_lag_s: float,
        clock: Callable[[], float],
        changed: Callable[[str, StoredIssue], None],
    ) -> None:
        self.flavour, self.project, self.index_lag_s, self.clock = flavour, project, index_lag_s, clock
        self.issues: dict[str, StoredIssue] = {}
        #: What the account that asks may do.
        self.permissions = set(PERMISSIONS)
        self.lock = threading.RLock()
        self._changed = changed
        self._comments = 0

    @property
    def workflow(self) -> dict[str, tuple[str, str, str]]:
        """The transitions of the flavour's usual workflow."""
        return _CLOUD if self.flavour == "Cloud" else _SERVER

    def ways(self, issue: StoredIssue) -> dict[str, tuple[str, str, str]]:
        """The transitions from where the issue is: Cloud's lead from anywhere, Data Center's do not."""
        if self.flavour == "Cloud":
            return self.workflow
        done = issue.category == "done"
        return {id_: way for id_, way in self.workflow.items() if (way[0] == "Reopen Issue") is done}

    def create(self, fields: dict[str, Any], creator: Person, properties: dict[str, Any]) -> StoredIssue:
        """A new issue; a search sees it after the index lag."""
        with self.lock:
            number, now = len(self.issues) + 1, self.clock()
            state, category = _FIRST[self.flavour]
            issue = StoredIssue(
                key=f"{self.project}-{number}",
                number=number,
                fields=fields,
                creator=creator,
                created=now,
                updated=now,
                indexed_at=now + self.index_lag_s,
                state=state,
                category=category,
                properties=properties,
            )
            self.issues[issue.key] = issue
            self._changed("jira:issue_created", issue)
            return issue

    def touch(self, issue: StoredIssue, event: str = "jira:issue_updated") -> None:
        """The issue was changed now."""
        issue.updated = self.clock()
        self._changed(event, issue)

    def move(self, issue: StoredIssue, way: tuple[str, str, str], resolution: str | None) -> None:
        """Follow a transition; leaving the end takes the resolution away."""
        with self.lock:
            _, issue.state, issue.category = way
            done = issue.category == "done"
            issue.fields["resolution"] = {"name": resolution or "Done"} if done else None
            self.touch(issue)

    def say(self, key: str, text: str, author: Person = DEVELOPER) -> dict[str, Any]:
        """A comment."""
        with self.lock:
            issue = self.issues[key]
            self._comments += 1
            made = {
                "id": str(30000 + self._comments),
                "body": text,
                "author": self.person(author),
                "created": instant(self.clock()),
            }
            issue.comments.append(made)
            self.touch(issue, "comment_created")
            return made

    def edit(self, key: str, **fields: Any) -> None:
        """A developer changes fields by hand: duedate="2026-04-01", fixVersions=["10.4.3"]."""
        with self.lock:
            if "fixVersions" in fields:
                fields["fixVersions"] = [{"name": name} for name in fields["fixVersions"]]
            self.issues[key].fields.update(fields)
            self.touch(self.issues[key])

    def finish(self, key: str, resolution: str = "Fixed") -> None:
        """A developer brings the issue to its end."""
        way = next(way for way in self.workflow.values() if way[2] == "done")
        self.move(self.issues[key], way, resolution)

    def clone(self, key: str, author: Person = DEVELOPER) -> StoredIssue:
        """A developer copies the issue: its labels come along."""
        fields = dict(self.issues[key].fields)
        return self.create({**fields, "summary": f"CLONE - {fields['summary']}"}, author, {})

    def person(self, who: Person) -> dict[str, Any]:
        """An account as the flavour shows it."""
        if self.flavour == "Cloud":
            return {"accountId": who.account, "displayName": who.display, "active": True}
        shown = {"name": who.name, "key": who.name, "displayName": who.display}
        return {**shown, "emailAddress": f"{who.name}@vendor.example", "active": True}


def instant(seconds: float) -> str:
    """An instant as Jira writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
