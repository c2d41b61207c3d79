"""A stateful server that speaks as much of Jira's REST as we use, in both flavours, with faults and webhooks.

The tests and ``garant demo --tracker jira`` run the real adapter against it. It keeps everything in memory
and is no Jira: what it does not know answers 404.
"""

from pipeline.trackers.jira_server.server import Fault, JiraServer, Request, basic
from pipeline.trackers.jira_server.state import Flavour, Person, StoredIssue
from pipeline.trackers.jira_server.webhooks import signed

__all__ = ["Fault", "Flavour", "JiraServer", "Person", "Request", "StoredIssue", "basic", "signed"]
