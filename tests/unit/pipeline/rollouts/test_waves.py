"""Waves: splitting, success, errors first, the deadline, the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.rollouts import waves
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.states import RolloutState, WaveState
from pipeline.rollouts.waves import RolloutView, WaveView, decide_rollout

NOW = datetime(2026, 3, 12, 20, tzinfo=UTC)
R, W = RolloutState, WaveState


@pytest.mark.parametrize(
    ("canary", "sizes", "expected"),
    [
        ((), (), [["a"], ["b", "c", "d"]]),
        (("c",), (), [["c"], ["a", "b", "d"]]),
        (("c", "c"), (1,), [["c"], ["a"], ["b", "d"]]),
        (("a", "b"), (5,), [["a", "b"], ["c", "d"]]),
        (("a", "b", "c", "d"), (1,), [["a", "b", "c", "d"]]),
    ],
)
def test_split(canary: tuple[str, ...], sizes: tuple[int, ...], expected: list[list[str]]) -> None:
    """Canary first, then the sizes, then the rest; every store exactly once."""
    assert waves.split(["a", "b", "c", "d"], canary, sizes) == expected


def view(*found: WaveView, **more: Any) -> RolloutView:
    return RolloutView(**{"state": R.RUNNING, "waves": found, **more})


def wave(number: int, state: WaveState, **counts: Any) -> WaveView:
    return WaveView(number=number, state=state, **{"opened_at": NOW - timedelta(hours=1), **counts})


def moved(found: waves.RolloutDecision) -> list[tuple[int, WaveState]]:
    return [(move.number, move.state) for move in found.waves]


def test_the_first_wave_opens_when_it_is_time() -> None:
    """Not before the instant that was asked for."""
    waiting = view(wave(1, W.PENDING, moving=1), state=R.SCHEDULED, begins_at=NOW + timedelta(hours=1))

    assert decide_rollout(waiting, Policy(), NOW).state is R.SCHEDULED
    later = decide_rollout(waiting, Policy(), NOW + timedelta(hours=1))
    assert (later.state, moved(later)) == (R.RUNNING, [(1, W.OPEN)])


def test_a_wave_soaks_before_it_passes() -> None:
    """Settled: soaking; soaked: passed; then the next one opens."""
    settled = decide_rollout(view(wave(1, W.OPEN, verified=1), wave(2, W.PENDING, moving=3)), Policy(), NOW)
    assert moved(settled) == [(1, W.SOAKING)]
    assert settled.look_at == NOW + Policy().soak

    soaking = view(wave(1, W.SOAKING, verified=1, soak_until=settled.look_at), wave(2, W.PENDING, moving=3))
    assert not decide_rollout(soaking, Policy(), NOW).waves
    assert moved(decide_rollout(soaking, Policy(), settled.look_at)) == [(1, W.PASSED)]
    passed = view(wave(1, W.PASSED, verified=1), wave(2, W.PENDING, moving=3))
    assert moved(decide_rollout(passed, Policy(), NOW)) == [(2, W.OPEN)]


def test_errors_come_before_success() -> None:
    """All stores verified and the error criterion met: paused, not passed."""
    found = decide_rollout(
        view(wave(1, W.SOAKING, verified=1, soak_until=NOW), wave(2, W.PENDING), failures=1, tried=5),
        Policy(),
        NOW,
    )

    assert (found.state, moved(found)) == (R.PAUSED, [(1, W.FAILED)])


@pytest.mark.parametrize(
    ("failures", "accepted", "tried", "state"),
    [
        (1, 0, 10, R.RUNNING),  # one is accepted after the first wave
        (2, 0, 10, R.PAUSED),
        (2, 0, 100, R.RUNNING),  # 2 %
        (6, 0, 100, R.PAUSED),
        (6, 5, 100, R.RUNNING),  # five were seen by a person
    ],
)
def test_the_error_criterion(failures: int, accepted: int, tried: int, state: RolloutState) -> None:
    """More than a number and more than a share, cumulative, less what a person has accepted."""
    running = view(
        wave(1, W.PASSED, verified=1),
        wave(2, W.OPEN, moving=3),
        failures=failures,
        accepted=accepted,
        tried=tried,
    )

    assert decide_rollout(running, Policy(), NOW).state is state


def test_an_unmet_wave_is_inconclusive_at_its_deadline() -> None:
    """Never success: the rollout pauses and says how far it came."""
    found = decide_rollout(view(wave(1, W.OPEN, offline=2)), Policy(), NOW + Policy().wave_deadline)

    assert (found.state, moved(found)) == (R.PAUSED, [(1, W.INCONCLUSIVE)])
    assert "0 of 2 stores" in found.reason


def test_a_wave_of_offline_stores_only_does_not_pass() -> None:
    """Nothing verified is no success, however long nothing moves."""
    assert not decide_rollout(view(wave(1, W.OPEN, offline=2)), Policy(), NOW).waves


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({"verified": 3}, R.COMPLETED),
        ({"verified": 2, "held": 1}, R.COMPLETED_WITH_EXCEPTIONS),
        ({"verified": 2, "offline": 1}, R.RUNNING),  # it catches up
        ({"verified": 2, "moving": 1}, R.RUNNING),
    ],
)
def test_the_end(counts: dict[str, int], state: RolloutState) -> None:
    """Complete only when every store is verified; an offline store keeps it running."""
    assert decide_rollout(view(wave(1, W.PASSED, **counts)), Policy(), NOW).state is state


@pytest.mark.parametrize("state", [R.DRAFT, R.PAUSED, R.COMPLETED, R.ABORTED, R.RECALLED])
def test_nothing_moves_by_itself_in_other_states(state: RolloutState) -> None:
    """A paused or ended rollout waits for a person."""
    found = decide_rollout(view(wave(1, W.PENDING), state=state), Policy(), NOW)

    assert (found.state, found.waves) == (state, ())
