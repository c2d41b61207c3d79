"""As much of JQL as we ask."""

from __future__ import annotations

import re

from pipeline.trackers.jira_server.state import JiraState, StoredIssue

_TERM = re.compile(r'(project|labels)\s*=\s*"([^"]+)"|updated\s*>=\s*-(\d+)m')


class JqlError(Exception):
    """A query that this server does not understand, or that asks for what is not there."""


def search(state: JiraState, jql: str) -> list[StoredIssue]:
    """The issues that the index shows already, oldest first.

    Raises:
        JqlError: the query is not understood, or names another project.
    """
    terms, _, _order = jql.partition(" ORDER BY ")
    found = [issue for issue in state.issues.values() if issue.indexed_at <= state.clock()]
    for term in terms.split(" AND "):
        match = _TERM.fullmatch(term.strip())
        if match is None:
            raise JqlError(f"Error in the JQL Query: {term!r}")
        name, value, minutes = match.groups()
        if name == "project" and value != state.project:
            raise JqlError(f"The value '{value}' does not exist for the field 'project'.")
        if name == "labels":
            found = [issue for issue in found if value in issue.fields.get("labels", [])]
        if minutes:
            since = state.clock() - 60 * int(minutes)
            found = [issue for issue in found if issue.updated >= since]
    return sorted(found, key=lambda issue: issue.number)
