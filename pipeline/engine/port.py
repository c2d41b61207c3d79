"""The port to a durable queue with timers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.orm import Session

#: The queue of short ticks; jobs name their own (``bench``, ``rollout``, ``mail``, ``tracker``, ...).
TICKS = "ticks"


@dataclass(frozen=True, kw_only=True)
class Tick:
    """Look at one thing again: a bell. It may be delivered any number of times, late, or out of order.

    ``seq`` gives each bell a name. What it is rung for stands in the wake-up's row (``WakeupRow``), and that
    is consumed once: further bells for it find nothing to do.
    """

    kind: str
    thing_id: str
    seq: int

    @property
    def key(self) -> str:
        """The tick's identity: enqueued twice under one key, it is one tick."""
        return f"{self.kind}:{self.thing_id}:{self.seq}"


#: What the engine calls for each tick, in a thread of its own. An exception means: deliver it again later.
TickHandler = Callable[[Tick], None]


class Engine(Protocol):
    """A durable queue: what was enqueued in a committed transaction is delivered, after its delay, at least
    once, to one of the processes that listen to its queue. It may deliver late, twice, or (after a kill)
    not at all: the reaper in ``pipeline.engine.reaper`` makes up for that, so no engine needs to be perfect.
    """

    def enqueue(self, session: Session, tick: Tick, *, queue: str, delay_seconds: float) -> None:
        """Put the tick on the queue as part of the caller's transaction; nothing happens on rollback."""

    def start(self, handler: TickHandler, queues: Mapping[str, int]) -> None:
        """Begin to deliver. ``queues`` maps each queue to how many ticks may run at once in this process."""

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Stop delivering; wait for running ticks up to the timeout. Idempotent."""

    def purge(self, older_than_seconds: float) -> int:
        """Drop the records of finished ticks that are older; returns how many."""
