"""What an answer of the channel means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.notices.rules import GIVE_UP_AFTER, WAITS, Decision, Delivery, after_attempt

NOW = datetime(2026, 3, 12, 6, 0, tzinfo=UTC)
TAKEN = Delivery(accepted=True, code=250, text="ok")
LATER = Delivery(accepted=False, code=451, text="greylisted")
NEVER = Delivery(accepted=False, code=550, text="no such user", permanent=True)


@pytest.mark.parametrize(
    ("delivery", "attempts", "age", "expected"),
    [
        # accepted, however late
        (TAKEN, 1, timedelta(0), Decision(state="accepted")),
        (TAKEN, 40, timedelta(days=2), Decision(state="accepted")),
        # 5xx is final at once
        (NEVER, 1, timedelta(0), Decision(state="failed")),
        # 4xx and silence wait, longer each time
        (LATER, 1, timedelta(0), Decision(state="sent", again_at=NOW + WAITS[0])),
        (LATER, 3, timedelta(minutes=6), Decision(state="sent", again_at=NOW + WAITS[2])),
        (LATER, 99, timedelta(hours=5), Decision(state="sent", again_at=NOW + WAITS[-1])),
        # until the end of patience
        (LATER, 99, GIVE_UP_AFTER, Decision(state="failed")),
    ],
)
def test_answers(delivery: Delivery, attempts: int, age: timedelta, expected: Decision) -> None:
    """Each answer has one meaning, by its class and by how long we have tried."""
    assert expected == after_attempt(delivery, attempts=attempts, first_at=NOW - age, now=NOW)
