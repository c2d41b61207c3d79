"""The words for the states of a rollout (DESIGN section 4), and which of them mean what. Pure."""

from __future__ import annotations

from enum import StrEnum


class RolloutState(StrEnum):
    """A rollout as a whole."""

    DRAFT = "draft"  # planned; nothing happens until a person starts it
    CHECKING = "checking"
    AWAITING_APPROVAL = "awaiting-approval"
    SCHEDULED = "scheduled"  # started by a person; waits for its first look
    RUNNING = "running"
    PAUSED = "paused"  # by a person or by the error criterion; what is in flight ends, nothing new starts
    COMPLETED = "completed"  # every host of every store is verified
    COMPLETED_WITH_EXCEPTIONS = "completed-with-exceptions"  # some store is held; each is named
    ABORTED = "aborted"
    RECALLED = "recalled"  # the release was recalled


class WaveState(StrEnum):
    """A wave of stores."""

    PENDING = "pending"
    OPEN = "open"
    SOAKING = "soaking"  # every store is settled; the time in which trouble would show
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"  # the success criterion was unmet at the deadline: never success


class StoreState(StrEnum):
    """One store in one rollout."""

    WAITING = "waiting"  # for what is said in ``Waiting``
    STAGED = "staged"
    SERVER = "server"  # its server is being changed
    REGISTERS = "registers"  # its registers are being changed
    VERIFIED = "verified"
    HELD = "held"  # a person must look; the reason names the host
    SKIPPED = "skipped"  # the rollout ended before it was touched


class Waiting(StrEnum):
    """What a store waits for; always shown."""

    WINDOW = "window"
    FREEZE = "freeze"
    CONSENT = "consent"
    SHIFT = "shift"
    BUDGET = "budget"
    OFFLINE = "offline"
    WAVE = "wave"
    OPERATOR = "operator"
    CHECK = "check"  # it is being looked at before it is touched
    RUN = "run"  # hosts are being changed
    OTHER_ROLLOUT = "other-rollout"


class HostState(StrEnum):
    """One host in one rollout."""

    PLANNED = "planned"
    STAGED = "staged"
    LEASED = "leased"  # chosen to be changed: it counts against its store's budget from here on
    PRE_OK = "pre-ok"  # checked again, handed to a run
    APPLYING = "applying"
    VERIFYING = "verifying"  # it says that it is done; somebody else looks
    DONE = "done"
    FAILED = "failed"  # stopped before its service was touched
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"  # the old version serves again
    NEEDS_HUMAN = "needs-human"
    UNKNOWN = "unknown"  # it may or may not have been changed: it is probed before anything else
    SKIPPED = "skipped"
    SUPERSEDED = "superseded"  # it runs a newer version already


#: The host may be out of service by us or is about to be.
IN_FLIGHT = frozenset(
    {HostState.LEASED, HostState.PRE_OK, HostState.APPLYING, HostState.VERIFYING, HostState.ROLLING_BACK}
)
#: Counts as out of service until the contrary has been seen (DESIGN section 5, rule 1).
DOWN = frozenset({HostState.UNKNOWN, HostState.FAILED, HostState.NEEDS_HUMAN})
#: In a run's hands: when the run is lost, these become unknown.
IN_RUN = frozenset({HostState.PRE_OK, HostState.APPLYING, HostState.VERIFYING, HostState.ROLLING_BACK})
#: Nothing more will happen by itself; a person may retry.
BAD = frozenset({HostState.FAILED, HostState.ROLLED_BACK, HostState.NEEDS_HUMAN})
#: As it should be.
GOOD = frozenset({HostState.DONE, HostState.SUPERSEDED})

#: Rollouts in which hosts may be started.
MOVING = frozenset({RolloutState.RUNNING})
#: Rollouts that nothing but a person's retry brings to life again.
ENDED = frozenset(
    {
        RolloutState.COMPLETED,
        RolloutState.COMPLETED_WITH_EXCEPTIONS,
        RolloutState.ABORTED,
        RolloutState.RECALLED,
    }
)

_H = HostState
#: Every step that a host may take; anything else is a defect of ours and is refused.
HOST_STEPS: dict[HostState, frozenset[HostState]] = {
    _H.PLANNED: frozenset({_H.LEASED, _H.DONE, _H.SUPERSEDED, _H.SKIPPED, _H.NEEDS_HUMAN}),
    _H.STAGED: frozenset({_H.LEASED, _H.SKIPPED}),
    _H.LEASED: frozenset({_H.PRE_OK, _H.PLANNED, _H.UNKNOWN}),
    _H.PRE_OK: frozenset(
        {_H.APPLYING, _H.VERIFYING, _H.PLANNED, _H.UNKNOWN, _H.FAILED, _H.ROLLED_BACK, _H.NEEDS_HUMAN}
    ),
    _H.APPLYING: frozenset({_H.VERIFYING, _H.PLANNED, _H.UNKNOWN, _H.FAILED, _H.ROLLED_BACK, _H.NEEDS_HUMAN}),
    _H.VERIFYING: frozenset({_H.DONE, _H.UNKNOWN, _H.FAILED, _H.ROLLED_BACK, _H.NEEDS_HUMAN}),
    _H.ROLLING_BACK: frozenset({_H.ROLLED_BACK, _H.UNKNOWN, _H.NEEDS_HUMAN}),
    _H.UNKNOWN: frozenset(
        {_H.PLANNED, _H.LEASED, _H.DONE, _H.FAILED, _H.ROLLED_BACK, _H.NEEDS_HUMAN, _H.SUPERSEDED}
    ),
    _H.FAILED: frozenset({_H.PLANNED}),
    _H.ROLLED_BACK: frozenset({_H.PLANNED}),
    _H.NEEDS_HUMAN: frozenset({_H.PLANNED}),
    _H.SKIPPED: frozenset({_H.PLANNED}),
    _H.DONE: frozenset(),
    _H.SUPERSEDED: frozenset(),
}
