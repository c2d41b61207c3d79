"""What happened to a case, in the form that the clocks replay. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

#: The types that move clocks, each with the fields that it must carry (sla-cases.json).
EVENT_FIELDS: Mapping[str, tuple[str, ...]] = {
    "received": (),
    "registered": (),
    "classified": ("classes",),
    "registers_state": ("total", "down"),
    "pause": ("reason",),
    "resume": (),
    "answered": (),
    "term_agreed": ("until",),
    "restored": (),
    "reopened": (),
    "closed": (),
    "defect_recorded": (),
    "client_linked": (),
    "eta_set": ("eta",),
    "eta_notice_accepted": ("channel",),
    "bounced": ("channel",),
}


class BadEventError(ValueError):
    """An event that no replay can make sense of; ``position`` counts from 0 in the order given."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position


@dataclass(frozen=True, kw_only=True)
class Event:
    """One fact.

    Attributes:
        at: when it happened (aware).
        position: its place in the case's list, from 0; refusals name it.
        data: the further fields of its type; instants in it are aware datetimes.
    """

    at: datetime
    type: str
    position: int
    data: Mapping[str, Any] = field(default_factory=dict)


def check(event: Event) -> None:
    """Refuse what no replay can make sense of.

    Raises:
        BadEventError: unknown type, a field that is missing or wrong, or an instant without a zone.
    """
    if event.type not in EVENT_FIELDS:
        raise BadEventError(
            event.position, f"no event type {event.type!r}; there are {', '.join(EVENT_FIELDS)}"
        )
    if event.at.tzinfo is None:
        raise BadEventError(event.position, f"`at` {event.at.isoformat()} has no zone: add `Z` or an offset")
    for name in EVENT_FIELDS[event.type]:
        if event.data.get(name) is None:
            raise BadEventError(event.position, f"{event.type}: `{name}` is missing")
    if event.type == "classified":
        _check_classes(event)
    elif event.type == "registers_state":
        _check_registers(event)
    elif event.type == "term_agreed":
        until = event.data["until"]
        if not isinstance(until, datetime) or until.tzinfo is None:
            raise BadEventError(event.position, f"term_agreed: `until` {until!r} is no instant with a zone")


def is_hard_bounce(data: Mapping[str, Any]) -> bool:
    """Whether a delivery report means that the message will never arrive.

    Status 5.x.x, or 4.4.7 (given up after retries), or ``Action: failed`` (RFC 3464; DESIGN section 8).
    A delay (4.x.x) is no failure.
    """
    status = str(data.get("status", ""))
    return status.startswith("5.") or status == "4.4.7" or str(data.get("action", "")).lower() == "failed"


def concerns_client(data: Mapping[str, Any]) -> bool:
    """Whether an event is about the client whose clocks are replayed, not another client's of one defect."""
    return bool(data.get("client", "this") == "this")


def _check_classes(event: Event) -> None:
    classes = event.data["classes"]
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise BadEventError(event.position, "classified: `classes` is a list of class names")


def _check_registers(event: Event) -> None:
    total, down = event.data["total"], event.data["down"]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (total, down))
    if not whole or not 0 <= down <= total:
        raise BadEventError(event.position, f"registers_state: {down!r} down of {total!r} is impossible")
