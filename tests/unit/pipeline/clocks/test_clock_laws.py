"""What holds for every history of a case, however odd."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clocks.events import Event
from pipeline.clocks.rules import CLOCKS, PAUSE_REASONS, Replay, replay
from pipeline.clocks.running import Pause, reckon
from pipeline.clocks.tariff import GARANT, GARANT_CLASSES, TariffVersion

START = datetime(2026, 3, 12, 6, tzinfo=UTC)
VERSIONS = (TariffVersion(begins=datetime(2000, 1, 1, tzinfo=UTC), tariff=GARANT),)
MINUTES = st.integers(0, 60 * 60)

FACTS = st.one_of(
    st.just(("registered", {})),
    st.just(("received", {})),
    st.lists(st.sampled_from(sorted(GARANT_CLASSES)), min_size=1, max_size=3).map(
        lambda names: ("classified", {"classes": names})
    ),
    st.sampled_from([*PAUSE_REASONS, "waiting_development"]).map(lambda r: ("pause", {"reason": r})),
    st.just(("resume", {})),
    st.just(("answered", {})),
    st.just(("restored", {})),
    st.just(("reopened", {})),
    st.just(("closed", {})),
    st.integers(1, 3000).map(lambda m: ("term_agreed", {"until": START + timedelta(minutes=m)})),
    st.integers(0, 4).map(lambda n: ("registers_state", {"total": 4, "down": n})),
    st.just(("defect_recorded", {})),
    st.just(("eta_notice_accepted", {"channel": "email", "revision": 1})),
    st.just(("bounced", {"channel": "email", "status": "5.1.1"})),
)
HISTORIES = st.lists(st.tuples(MINUTES, FACTS), min_size=1, max_size=14).map(
    lambda facts: [
        Event(at=START + timedelta(minutes=minute), type=kind, position=index, data=data)
        for index, (minute, (kind, data)) in enumerate(facts)
    ]
)


def at(events: list[Event], when: datetime) -> Replay:
    return replay(events, at=when, zone=ZoneInfo("Europe/Moscow"), versions=VERSIONS)


@settings(max_examples=300, deadline=None)
@given(HISTORIES, MINUTES)
def test_replay_of_a_prefix_is_the_replay_then(events: list[Event], minute: int) -> None:
    """What is known later changes nothing of how the clocks stood at an instant."""
    when = START + timedelta(minutes=minute)

    assert at(events, when) == at([e for e in events if e.at <= when], when)


@settings(max_examples=300, deadline=None)
@given(HISTORIES, MINUTES)
def test_clock_is_whole(events: list[Event], minute: int) -> None:
    """Every clock is there once, in a known state, and its figures fit together."""
    found = at(events, START + timedelta(minutes=minute))

    assert [clock.kind for clock in found.clocks] == list(CLOCKS)
    for clock in found.clocks:
        assert clock.state in ("absent", "running", "paused", "met", "breached", "cancelled")
        assert clock.paused >= timedelta()
        assert clock.elapsed is None or clock.elapsed >= timedelta()
        if clock.state == "running":
            assert clock.remaining is not None
            assert clock.remaining >= timedelta()
            assert clock.due is not None
            assert clock.elapsed is not None
            assert clock.target is not None
            assert clock.elapsed + clock.remaining == clock.target
        if clock.state == "paused":
            assert clock.due is None
        if clock.state == "met" and clock.due is not None:
            assert clock.stopped_at is not None
            assert clock.stopped_at <= clock.due


@settings(max_examples=300, deadline=None)
@given(HISTORIES, MINUTES, MINUTES)
def test_breach_stays(events: list[Event], one: int, other: int) -> None:
    """A breach once recorded is still there later, at the same instant (nobody approved its removal)."""
    first, later = (START + timedelta(minutes=m) for m in sorted((one, other)))
    then = {c.kind: c.breached_at for c in at(events, first).clocks if c.breached_at}
    # A client that is linked anew gets a clock of its own; histories here have none.
    now = {c.kind: c.breached_at for c in at(events, later).clocks}

    assert {kind: now[kind] for kind in then} == then


@settings(max_examples=300, deadline=None)
@given(HISTORIES, MINUTES)
def test_each_warning_once(events: list[Event], minute: int) -> None:
    """A per cent is warned of once, in rising order of time; an agreed term anew with each agreement."""
    for clock in at(events, START + timedelta(minutes=minute)).clocks:
        instants = [instant for _, instant in clock.warnings]
        percents = [percent for percent, _ in clock.warnings]
        assert instants == sorted(instants)
        if clock.kind != "agreed_term":
            assert percents == sorted(set(percents))


SPANS = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 600)), max_size=8).map(
    lambda pairs: [
        Pause(
            start=START + timedelta(minutes=min(pair)),
            end=START + timedelta(minutes=max(pair)),
            reason="waiting_client",
        )
        for pair in pairs
    ]
)
FAR = START + timedelta(days=10)


@given(SPANS, SPANS, st.integers(1, 600))
def test_pause_never_shortens_the_due(some: list[Pause], more: list[Pause], minutes: int) -> None:
    """More pauses give the same due instant or a later one, never later than their whole length."""
    target = timedelta(minutes=minutes)
    less, all_ = reckon(START, target, some, FAR).due, reckon(START, target, [*some, *more], FAR).due
    assert less is not None
    assert all_ is not None

    assert less <= all_
    added = sum(((p.end or FAR) - p.start for p in (*some, *more)), timedelta())
    assert START + target <= all_ <= START + target + added


@given(SPANS, st.integers(1, 600), st.integers(1, 600))
def test_due_is_monotone_in_the_target(pauses: list[Pause], one: int, other: int) -> None:
    """A longer target is never due earlier."""
    short, long = sorted((one, other))
    first = reckon(START, timedelta(minutes=short), pauses, FAR).due
    second = reckon(START, timedelta(minutes=long), pauses, FAR).due
    assert first is not None
    assert second is not None

    assert first <= second
    if short < long:
        assert first < second
