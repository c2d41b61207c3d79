"""Whether the settings fit a Jira: looked at one by one, so that all that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pipeline.errors import GarantError, UnavailableError
from pipeline.settings import TrackerSettings
from pipeline.trackers.port import Finding

#: What we must be allowed to do, and what for.
_RIGHTS = {
    "BROWSE_PROJECTS": "to find issues",
    "CREATE_ISSUES": "to file",
    "ADD_COMMENTS": "to comment",
    "CREATE_ATTACHMENTS": "to attach bundles",
    "TRANSITION_ISSUES": "to reopen, and to close doubles",
    "LINK_ISSUES": "to link doubles",
}
#: Set by us on every issue, whatever the settings say.
_OURS = {"project", "issuetype", "summary", "description", "labels", "attachment"}

#: What is asked for, its path, its parameters -> JSON.
Read = Callable[..., Any]


def check(settings: TrackerSettings, read: Read) -> list[Finding]:
    """Everything that filing and following need.

    Raises:
        UnavailableError: Jira does not answer; then nothing can be said.
    """
    parts = (_account, _rights, _project, _create_screen, _link_type, _transitions)
    return [finding for part in parts for finding in _careful(part, settings, read)]


def _careful(
    part: Callable[[TrackerSettings, Read], Iterator[Finding]], settings: TrackerSettings, read: Read
) -> Iterator[Finding]:
    try:
        yield from part(settings, read)
    except UnavailableError:
        raise
    except GarantError as error:
        yield Finding(what=part.__name__.strip("_").replace("_", " "), ok=False, text=str(error))


def _account(settings: TrackerSettings, read: Read) -> Iterator[Finding]:
    info, me = read("read serverInfo", "serverInfo"), read("ask who we are", "myself")
    yield Finding(what="server", ok=True, text=f"{info.get('deploymentType')} {info.get('version')}")
    yield Finding(what="account", ok=True, text=str(me.get("displayName") or me.get("name")))


def _rights(settings: TrackerSettings, read: Read) -> Iterator[Finding]:
    asked = {"projectKey": settings.project, "permissions": ",".join(_RIGHTS)}
    have = read("read our rights", "mypermissions", **asked)["permissions"]
    for name, purpose in _RIGHTS.items():
        ok = bool(have.get(name, {}).get("havePermission"))
        text = purpose if ok else f"missing, needed {purpose}: have it granted in project {settings.project}"
        yield Finding(what=f"right {name}", ok=ok, text=text)


def _project(settings: TrackerSettings, read: Read) -> Iterator[Finding]:
    project = read(f"read project {settings.project}", f"project/{settings.project}")
    yield Finding(what="project", ok=True, text=f"{project['key']} {project.get('name', '')}".strip())
    there = {part["name"] for part in project.get("components") or []}
    for name in sorted(set(settings.components.values())):
        ok = name in there
        text = "there" if ok else f"not in the project ({', '.join(sorted(there)) or 'it has none'})"
        yield Finding(what=f"component {name}", ok=ok, text=text)


def _create_screen(settings: TrackerSettings, read: Read) -> Iterator[Finding]:
    path = f"issue/createmeta/{settings.project}/issuetypes"
    types = _values(read("read the issue types", path), "issueTypes")
    chosen = next((kind for kind in types if kind["name"] == settings.issue_type), None)
    if chosen is None:
        names = ", ".join(kind["name"] for kind in types) or "none"
        text = f"not in the project (it has: {names}); set tracker.issue_type"
        yield Finding(what=f"issue type {settings.issue_type}", ok=False, text=text)
        return
    yield Finding(what=f"issue type {settings.issue_type}", ok=True, text="there")
    page = read("read the fields", f"{path}/{chosen['id']}", maxResults="200")
    fields = {field.get("fieldId") or field["key"]: field for field in _values(page, "fields")}
    wanted = {*settings.fields, "description", "labels", *(["components"] if settings.components else [])}
    for name in sorted(wanted):
        ok = name in fields
        text = (
            "can be set"
            if ok
            else "is not on the create screen: add it there, or take it out of tracker.fields"
        )
        yield Finding(what=f"field {name}", ok=ok, text=text)
    for name, field in sorted(fields.items()):
        given = name in _OURS or name in settings.fields or (name == "components" and settings.components)
        if field.get("required") and not given and not field.get("hasDefaultValue"):
            text = "is required by the project and not set: give it a value in tracker.fields"
            yield Finding(what=f"field {name}", ok=False, text=text)


def _link_type(settings: TrackerSettings, read: Read) -> Iterator[Finding]:
    there = [kind["name"] for kind in read("read the link types", "issueLinkType")["issueLinkTypes"]]
    ok = settings.duplicate_link in there
    text = "there" if ok else f"not there (it has: {', '.join(there)}); set tracker.duplicate_link"
    yield Finding(what=f"link type {settings.duplicate_link}", ok=ok, text=text)


def _transitions(settings: TrackerSettings, read: Read) -> Iterator[Finding]:
    """By the transitions of one issue: Jira does not show a workflow to who is no administrator."""
    jql = f'project = "{settings.project}" ORDER BY created DESC'
    cloud = read("read serverInfo", "serverInfo").get("deploymentType") == "Cloud"
    found = read("search", "search/jql" if cloud else "search", jql=jql, maxResults="1", fields="status")
    if not found.get("issues"):
        text = "cannot be told before the project has an issue: check again then"
        yield Finding(what="transitions", ok=True, text=text)
        return
    issue = found["issues"][0]
    key, status = issue["key"], issue["fields"]["status"]
    ways = read("read the transitions", f"issue/{key}/transitions")["transitions"]
    there = {name.casefold() for way in ways for name in (way["name"], way["to"]["name"])}
    done = status.get("statusCategory", {}).get("key") == "done"
    setting, wanted = ("reopen", settings.reopen) if done else ("finish", settings.finish)
    ok = any(name.casefold() in there for name in wanted)
    names = ", ".join(way["name"] for way in ways) or "none"
    text = f"from {status['name']} ({key}): {names}" + (
        "" if ok else f"; name one of them in tracker.{setting}"
    )
    yield Finding(what=f"transitions to {setting}", ok=ok, text=text)


def _values(page: dict[str, Any], cloud_name: str) -> list[dict[str, Any]]:
    """A page's entries: Cloud and Data Center call them differently."""
    values: list[dict[str, Any]] = page.get(cloud_name) or page.get("values") or []
    return values
