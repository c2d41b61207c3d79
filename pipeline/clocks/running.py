"""One clock as it runs: its due instant, its pauses, its warnings, its breach. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

#: Per cent of the target in running time at which people are warned (sla-cases.json, conventions).
WARNINGS = (50, 75, 90)
_ZERO = timedelta()


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A span in which the clock stands; ``end`` None while it lasts. ``clock`` None: all that may pause."""

    start: datetime
    end: datetime | None
    reason: str
    clock: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reckoning:
    """Where a clock stands at an instant."""

    #: None while it is paused.
    due: datetime | None
    #: How long it has stood so far.
    paused: timedelta
    #: What is left until due (negative: overdue); frozen while it is paused.
    remaining: timedelta


def reckon(start: datetime, target: timedelta, pauses: Iterable[Pause], at: datetime) -> Reckoning:
    """due = start + target + the union of the pauses that began by then (sla-cases.json, conventions).

    A pause that begins after the due instant comes too late and moves nothing.
    """
    due, paused = start + target, _ZERO
    for begin, end in _union(pauses, start):
        if begin > due or begin > at:
            break
        if end is None or end > at:
            return Reckoning(due=None, paused=paused + (at - begin), remaining=due - begin)
        due += end - begin
        paused += end - begin
    return Reckoning(due=due, paused=paused, remaining=due - at)


def running_instant(start: datetime, running: timedelta, pauses: Iterable[Pause]) -> datetime | None:
    """When the clock has run for so long; None when an open pause stands before it."""
    instant = start + running
    for begin, end in _union(pauses, start):
        if begin >= instant:
            break
        if end is None:
            return None
        instant += end - begin
    return instant


def _union(pauses: Iterable[Pause], start: datetime) -> list[tuple[datetime, datetime | None]]:
    spans: list[tuple[datetime, datetime | None]] = []
    for pause in sorted(pauses, key=lambda p: p.start):
        begin, end = max(pause.start, start), pause.end
        if end is not None and end <= begin:
            continue
        if spans:
            last_begin, last_end = spans[-1]
            if last_end is None:
                break
            if begin <= last_end:
                spans[-1] = (last_begin, None if end is None else max(last_end, end))
                continue
        spans.append((begin, end))
    return spans


@dataclass(kw_only=True)
class RunningClock:
    """One clock while its events are replayed; ``rules`` tells it what happens, in the order of time.

    Attributes:
        target: what the tariff gives; for an agreed term: from the agreement to the agreed instant.
        absolute: no pause moves it (registration, eta_notice, agreed_term).
        classified: some classification asked for it; else it is the default of a case without a class.
    """

    kind: str
    start: datetime
    target: timedelta
    absolute: bool = False
    classified: bool = True
    pauses: list[Pause] = field(default_factory=list)
    stopped_at: datetime | None = None
    stopped_by: str | None = None
    cancelled_at: datetime | None = None
    breached_at: datetime | None = None
    cause: str | None = None
    superseded_breach_at: datetime | None = None
    revisions: int = 0
    warned: list[tuple[int, datetime]] = field(default_factory=list)
    #: Per cents that are over: fired, or skipped for a higher one.
    passed: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def live(self) -> bool:
        """It can still warn and be breached."""
        return self.stopped_at is None and self.cancelled_at is None

    def reckoning(self, at: datetime) -> Reckoning:
        """Where it stands at an instant, or stood when it stopped."""
        return reckon(self.start, self.target, self._pauses, self.stopped_at or at)

    def thresholds(self) -> list[tuple[int, datetime]]:
        """The warnings that are still to come, with their instants; none behind an open pause."""
        found = []
        for percent in WARNINGS:
            if percent > self.passed:
                instant = running_instant(self.start, self.target * percent / 100, self._pauses)
                if instant is not None:
                    found.append((percent, instant))
        return found

    def begin(self, at: datetime, *, cause: str | None) -> None:
        """It is asked for at ``at``, and counts from its start nevertheless.

        ``cause``: what is to blame when its due instant is past already (None: the due instant itself).
        """
        self._catch_up(at, cause=cause)

    def advance(self, to: datetime) -> None:
        """Let time pass: warnings up to and including ``to``; a breach when due lies before it."""
        if not self.live or self.breached_at is not None:
            return
        for percent, instant in self.thresholds():
            if instant <= to:
                self._warn(percent, instant)
        due = self.reckoning(to).due
        if due is not None and due < to:
            self._breach(due, None)

    def stop(self, at: datetime, by: str) -> None:
        """It did what was promised, at ``at``; time has been advanced to there."""
        if self.live:
            self.stopped_at, self.stopped_by = at, by

    def go_on(self, at: datetime, *, gap_counts_as_pause: bool) -> None:
        """What stopped it did not hold; with or without the time between."""
        if self.stopped_at is None:
            return
        stopped_at, self.stopped_at, self.stopped_by = self.stopped_at, None, None
        if gap_counts_as_pause:
            self.pauses.append(Pause(start=stopped_at, end=at, reason="restored", clock=self.kind))
        self._catch_up(at, cause=None)

    def retarget(self, at: datetime, target: timedelta, *, approved: bool, classified: bool = True) -> None:
        """Another class (or agreement) gives another target, counted from the same start.

        A due instant that is past by then is a breach at the reclassification; a breach already
        recorded stays unless a second person approved a longer target (sla-cases.json, conventions).
        """
        unchanged = target == self.target and self.cancelled_at is None
        self.cancelled_at = None
        self.classified = self.classified or classified
        if unchanged:
            return
        self.history.append(
            {"at": at, "entry": "target_changed", "from": self.target, "to": target, "approved": approved}
        )
        if self.breached_at is not None and approved and target > self.target:
            self._supersede(at)
        self.target = target
        self._catch_up(at, cause="reclassified")

    def cancel(self, at: datetime, *, approved: bool) -> None:
        """No class asks for it any more; a breach stays unless a second person approved."""
        if self.cancelled_at is not None or self.stopped_at is not None:
            return
        if self.breached_at is not None and not approved:
            return
        if self.breached_at is not None:
            self._supersede(at)
        self.cancelled_at = at
        self.history.append({"at": at, "entry": "cancelled"})

    def state(self, at: datetime) -> str:
        """absent | cancelled | breached | met | paused | running."""
        if self.breached_at is not None:
            return "breached"
        if self.cancelled_at is not None:
            return "cancelled" if self.classified else "absent"
        if self.stopped_at is not None:
            return "met"
        return "paused" if self.reckoning(at).due is None else "running"

    @property
    def _pauses(self) -> Sequence[Pause]:
        if self.absolute:
            return [pause for pause in self.pauses if pause.reason == "restored"]
        return [pause for pause in self.pauses if pause.clock in (None, self.kind)]

    def _catch_up(self, at: datetime, *, cause: str | None) -> None:
        # Time did not pass step by step here, so of the warnings that lie behind only the highest fires,
        # and none beside a breach: as after an outage of the engine.
        if self.cancelled_at is not None or self.breached_at is not None:
            return
        due = self.reckoning(at).due
        if due is not None and due < (self.stopped_at or at):
            self._breach(max(due, at) if cause else due, cause)
            return
        behind = [percent for percent, instant in self.thresholds() if instant <= at]
        if behind and self.stopped_at is None and due is not None:
            self._warn(max(behind), at)

    def _warn(self, percent: int, at: datetime) -> None:
        self.warned.append((percent, at))
        self.passed = percent

    def _breach(self, at: datetime, cause: str | None) -> None:
        self.breached_at, self.cause = at, cause
        self.history.append({"at": at, "entry": "breached", **({"cause": cause} if cause else {})})

    def _supersede(self, at: datetime) -> None:
        self.history.append({"at": at, "entry": "breach_superseded", "breached_at": self.breached_at})
        self.superseded_breach_at, self.breached_at, self.cause = self.breached_at, None, None
