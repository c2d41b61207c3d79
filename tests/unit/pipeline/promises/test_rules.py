"""The promise's clock (TARIFF "ETA notice"; conventions of sla-cases.json)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.promises.rules import (
    Decision,
    Look,
    Telling,
    Told,
    acceptable,
    contract_term,
    decide,
    due,
    telling,
)

START = datetime(2026, 3, 12, 7, 0, tzinfo=UTC)
DUE = START + timedelta(hours=72)
JUST_AFTER = DUE + timedelta(seconds=1)


def at(percent: float) -> datetime:
    return START + timedelta(hours=72) * percent / 100


def look(**changes: object) -> Look:
    plain: dict[str, object] = {
        "state": "running",
        "start": START,
        "due": DUE,
        "warned": 0,
        "dated": False,
        "held": False,
        "told_at": None,
    }
    return Look(**plain | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "zone", "expected_due", "expected_contract"),
    [
        # 72 elapsed hours, week-end or not
        (START, "Europe/Moscow", DUE, datetime(2026, 3, 15, 21, 0, tzinfo=UTC)),
        # one second before midnight in Kamchatka
        (
            datetime(2026, 3, 12, 11, 59, 59, tzinfo=UTC),
            "Asia/Kamchatka",
            datetime(2026, 3, 15, 11, 59, 59, tzinfo=UTC),
            datetime(2026, 3, 15, 12, 0, tzinfo=UTC),
        ),
        # the night when the clocks go forward in Berlin: the third day ends an hour early
        (
            datetime(2026, 3, 26, 22, 30, tzinfo=UTC),
            "Europe/Berlin",
            datetime(2026, 3, 29, 22, 0, tzinfo=UTC),
            datetime(2026, 3, 29, 22, 0, tzinfo=UTC),
        ),
    ],
)
def test_due(start: datetime, zone: str, expected_due: datetime, expected_contract: datetime) -> None:
    """The earlier of 72 elapsed hours and the end of the third calendar day in the client's zone."""
    assert expected_due == due(start, zone)
    assert expected_contract == contract_term(start, zone)


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [
        # nothing yet: wake at 50 %
        (look(), START, Decision(state="running", again_at=at(50))),
        # each warning once
        (look(), at(50), Decision(state="running", warn=50, again_at=at(75))),
        (look(warned=50), at(50), Decision(state="running", again_at=at(75))),
        (look(warned=50), at(75), Decision(state="running", warn=75, again_at=at(90))),
        (look(warned=75), at(90), Decision(state="running", warn=90, again_at=JUST_AFTER)),
        # after an outage only the highest
        (look(), at(95), Decision(state="running", warn=90, again_at=JUST_AFTER)),
        # a date that is queued but not accepted is still warned of: the client does not know it
        (look(dated=True), at(50), Decision(state="running", warn=50, again_at=at(75))),
        # exactly at due it is not broken yet
        (look(warned=90), DUE, Decision(state="running", again_at=JUST_AFTER)),
        # the end without a date: broken, and the client is told so
        (look(warned=90), JUST_AFTER, Decision(state="breached", hold=True)),
        # once
        (look(state="breached", held=True), at(120), Decision(state="breached")),
        # with a date under way nobody is told that there is none
        (look(dated=True), JUST_AFTER, Decision(state="breached")),
        # accepted in time
        (look(told_at=at(10)), at(10), Decision(state="met")),
        (look(told_at=DUE), JUST_AFTER, Decision(state="met")),
        # accepted late: broken stays broken
        (look(state="breached", told_at=at(110)), at(110), Decision(state="breached")),
        # accepted in time, heard of late: the breach is taken back
        (look(state="breached", told_at=at(99)), at(110), Decision(state="met")),
        # its only notice bounced after the end
        (look(state="met", dated=True), at(110), Decision(state="breached")),
        (look(state="closed"), at(200), Decision(state="closed")),
    ],
)
def test_decide(seen: Look, now: datetime, expected: Decision) -> None:
    """One row per situation; deciding again with nothing changed decides the same."""
    assert expected == decide(seen, now)


def test_a_date_that_has_passed_is_not_acceptable() -> None:
    """Today may be promised, yesterday not."""
    assert acceptable(date(2026, 3, 12), today=date(2026, 3, 12))
    assert not acceptable(date(2026, 3, 11), today=date(2026, 3, 12))


A, B, C = date(2026, 3, 24), date(2026, 3, 27), date(2026, 3, 30)


@pytest.mark.parametrize(
    ("before", "eta", "withdraw", "tell", "previous"),
    [
        ([], A, (), True, None),
        # not gone out yet: gives way
        ([(A, "queued")], B, (1,), True, None),
        ([(A, "superseded"), (B, "queued")], C, (2,), True, None),
        # told, or being told: a change
        ([(A, "accepted")], B, (), True, A),
        ([(A, "sent")], B, (), True, A),
        ([(A, "accepted"), (B, "queued")], C, (2,), True, A),
        # back to what it knows
        ([(A, "accepted"), (B, "queued")], A, (2,), False, A),
        # being sent is not called back, so going back is a change again
        ([(A, "accepted"), (B, "sent")], A, (), True, B),
        # what failed told nothing
        ([(A, "failed")], A, (), True, None),
        ([(A, "accepted"), (B, "bounced")], A, (), False, A),
    ],
)
def test_telling(
    before: list[tuple[date, str]], eta: date, withdraw: tuple[int, ...], tell: bool, previous: date | None
) -> None:
    """One row per history of notices; the notices are revisions 1, 2, ..."""
    told = [Told(revision=n, eta=day, state=state) for n, (day, state) in enumerate(before, 1)]

    assert telling(told, eta) == Telling(withdraw=withdraw, tell=tell, previous=previous)
