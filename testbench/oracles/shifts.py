"""Oracle shifts: a register has one open shift, and sells nothing in one that is 24 hours old (54-FZ)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from testbench.oracles.findings import Finding
from testbench.oracles.observations import ActionSeen, Observations

NAME = "shifts"
LONGEST = timedelta(hours=24)


def check(seen: Observations) -> Iterator[Finding]:
    """Over what the registers confirmed, in the order of the events."""
    open_since: dict[int, datetime | None] = {}
    for action in seen.actions:
        if not action.is_ok or action.register is None:
            continue
        if action.type == "shift.open":
            if action.register in open_since:
                yield _finding("two-open", action, "refused: a shift is open", "a second shift is open")
            open_since[action.register] = action.at
        elif action.type == "shift.close":
            open_since.pop(action.register, None)
        elif action.type == "receipt.open":
            since = open_since.get(action.register)
            if since and action.at and action.at - since >= LONGEST:
                yield _finding("too-long", action, "refused after 24 hours", "a receipt is open")


def _finding(rule: str, action: ActionSeen, expected: str, shown: str) -> Finding:
    return Finding(NAME, rule, f"register {action.register}, event {action.seq}", expected, shown)
