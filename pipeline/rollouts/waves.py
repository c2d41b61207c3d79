"""How stores are put into waves, and what a wave and the rollout do next. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.rollouts.policy import Policy
from pipeline.rollouts.states import ENDED, RolloutState, WaveState


def split(stores: Sequence[str], canary: Sequence[str], sizes: Sequence[int] = ()) -> list[list[str]]:
    """Stores as waves: the canary stores first, then waves of the sizes given, then the rest.

    Args:
        stores: all of them, in the order in which they are to be updated; canary stores may be among them.
        canary: goes first; empty: the first store is the canary when there is more than one.
        sizes: numbers of stores of the waves after the first one; what is left is the last wave.
    """
    first = list(dict.fromkeys(canary)) or list(stores[:1])
    rest = [store for store in stores if store not in first]
    found = [first]
    for size in sizes:
        if rest:
            found.append(rest[:size])
            rest = rest[size:]
    if rest:
        found.append(rest)
    return [wave for wave in found if wave]


@dataclass(frozen=True, kw_only=True)
class WaveView:
    """A wave, and how many of its stores are where."""

    number: int
    state: WaveState
    verified: int = 0
    held: int = 0
    #: Not answering; they catch up when they are back, and hold no wave up.
    offline: int = 0
    #: Still under way, or waiting for something else.
    moving: int = 0
    opened_at: datetime | None = None
    soak_until: datetime | None = None

    @property
    def stores(self) -> int:
        """All of them."""
        return self.verified + self.held + self.offline + self.moving


@dataclass(frozen=True, kw_only=True)
class RolloutView:
    """The rollout, its waves in order, and its failures so far.

    Attributes:
        failures: ends of hosts in failed, rolled-back or needs-human, cumulative: a retry takes none back.
        accepted: failures that a person has seen and resumed after.
        tried: hosts that were ever handed to a run.
        begins_at: not before this instant.
    """

    state: RolloutState
    waves: tuple[WaveView, ...]
    failures: int = 0
    accepted: int = 0
    tried: int = 0
    begins_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class WaveMove:
    """A wave's new state."""

    number: int
    state: WaveState
    reason: str = ""
    soak_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RolloutDecision:
    """One set of transitions; ``look_at``: when time alone may bring the next."""

    state: RolloutState
    reason: str = ""
    waves: tuple[WaveMove, ...] = ()
    look_at: datetime | None = None


def decide_rollout(view: RolloutView, policy: Policy, now: datetime) -> RolloutDecision:
    """What the rollout and its waves do next. Errors are looked at first, before anything that is success.

    Args:
        now: aware.
    """
    if view.state in ENDED or view.state not in (RolloutState.SCHEDULED, RolloutState.RUNNING):
        return RolloutDecision(state=view.state)
    if view.begins_at is not None and view.begins_at > now:
        return RolloutDecision(state=view.state, look_at=view.begins_at)
    active = next((w for w in view.waves if w.state is not WaveState.PASSED), None)
    halt = _halt(view, active, policy)
    if halt is not None:
        moves = (WaveMove(number=active.number, state=WaveState.FAILED, reason=halt),) if active else ()
        return RolloutDecision(state=RolloutState.PAUSED, reason=halt, waves=moves)
    if active is None:
        return _finish(view)
    return _advance(active, policy, now)


def _halt(view: RolloutView, active: WaveView | None, policy: Policy) -> str | None:
    failures = view.failures - view.accepted
    if failures <= 0:
        return None
    canary = active is not None and active.number == 1 and len(view.waves) > 1
    if canary:
        return f"{failures} host(s) failed in the first wave"
    if failures > policy.max_failures and failures > policy.max_failure_share * view.tried:
        return (
            f"{failures} of {view.tried} hosts tried have failed; {policy.max_failures} and "
            f"{policy.max_failure_share:.0%} are accepted"
        )
    return None


def _finish(view: RolloutView) -> RolloutDecision:
    offline = sum(wave.offline for wave in view.waves)
    moving = sum(wave.moving for wave in view.waves)
    if offline or moving:
        return RolloutDecision(
            state=RolloutState.RUNNING, reason=f"catching up: {offline + moving} store(s) left"
        )
    held = sum(wave.held for wave in view.waves)
    if held:
        return RolloutDecision(
            state=RolloutState.COMPLETED_WITH_EXCEPTIONS, reason=f"{held} store(s) are held"
        )
    return RolloutDecision(state=RolloutState.COMPLETED)


def _advance(wave: WaveView, policy: Policy, now: datetime) -> RolloutDecision:
    running = RolloutState.RUNNING
    if wave.state in (WaveState.PENDING, WaveState.FAILED, WaveState.INCONCLUSIVE):
        # Failed and inconclusive waves come here only after a person has resumed the rollout.
        move = WaveMove(number=wave.number, state=WaveState.OPEN)
        return RolloutDecision(state=running, waves=(move,), look_at=now)
    if wave.state is WaveState.SOAKING and wave.moving == 0:
        if wave.soak_until is not None and now < wave.soak_until:
            return RolloutDecision(state=running, look_at=wave.soak_until)
        move = WaveMove(number=wave.number, state=WaveState.PASSED)
        return RolloutDecision(state=running, waves=(move,), look_at=now)
    if wave.state is WaveState.SOAKING:
        # A store of the wave is under way again (it came back, or a host is retried): soak anew after it.
        move = WaveMove(number=wave.number, state=WaveState.OPEN, reason="a store is under way again")
        return RolloutDecision(state=running, waves=(move,))
    if wave.moving == 0 and (wave.verified or (wave.held and not wave.offline)):
        until = now + policy.soak
        move = WaveMove(number=wave.number, state=WaveState.SOAKING, soak_until=until)
        return RolloutDecision(state=running, waves=(move,), look_at=until)
    deadline = (wave.opened_at or now) + policy.wave_deadline
    if now >= deadline:
        reason = (
            f"wave {wave.number}: {wave.verified} of {wave.stores} stores are verified after "
            f"{policy.wave_deadline}: inconclusive"
        )
        move = WaveMove(number=wave.number, state=WaveState.INCONCLUSIVE, reason=reason)
        return RolloutDecision(state=RolloutState.PAUSED, reason=reason, waves=(move,))
    return RolloutDecision(state=running, look_at=deadline)
