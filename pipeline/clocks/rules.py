"""A case's clocks by replay of its events. Pure: the instant of evaluation is a parameter.

The conventions are those of sla-cases.json (kept with the tests), the terms those of TARIFF.md.
Everything is elapsed time in UTC; the client's zone only dates the contract's third calendar day
and shows local times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.clocks.events import BadEventError, Event, check, concerns_client, is_hard_bounce
from pipeline.clocks.running import Pause, RunningClock
from pipeline.clocks.tariff import CRITICAL, ClassTerms, Tariff, TariffVersion, contract_due, in_force

#: All clocks, in the order in which they are shown.
CLOCKS = ("registration", "consultation", "restore", "term_agreement", "agreed_term", "eta_notice")
PAUSABLE = ("restore", "consultation")
PAUSE_REASONS = ("waiting_client", "third_party", "agreed_window")
REOPEN_WITHIN = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Clock:
    """One clock of a case at the instant of evaluation; all instants aware, in UTC."""

    kind: str
    #: absent | running | paused | met | breached | cancelled
    state: str
    start: datetime | None = None
    #: None while paused.
    due: datetime | None = None
    elapsed: timedelta | None = None
    #: Until due, while running or paused.
    remaining: timedelta | None = None
    paused: timedelta = timedelta()
    target: timedelta | None = None
    stopped_at: datetime | None = None
    breached_at: datetime | None = None
    cause: str | None = None
    superseded_breach_at: datetime | None = None
    #: The contract's calendar term of an ETA notice (report only, but never later than due).
    contract_due: datetime | None = None
    #: Agreements on the term so far.
    revisions: int | None = None
    #: Warnings that fired: (per cent, instant).
    warnings: tuple[tuple[int, datetime], ...] = ()
    #: Warnings to come if nothing happens: (per cent, instant).
    upcoming: tuple[tuple[int, datetime], ...] = ()
    history: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What the events of one case come to."""

    clocks: tuple[Clock, ...]
    #: Positions of events that the conventions refuse (a pause for development, on the ETA, ...).
    rejected: tuple[int, ...]
    #: Requests received, repeated deliveries of one message not counted.
    tickets: int
    #: First ETA notices to this client (a change of the date is no first notice).
    first_notices: int

    def clock(self, kind: str) -> Clock:
        """The clock of the kind; it may be absent."""
        return next(clock for clock in self.clocks if clock.kind == kind)


def replay(
    events: Sequence[Event], *, at: datetime, zone: ZoneInfo, versions: Sequence[TariffVersion]
) -> Replay:
    """The clocks of one case as they stand at an instant; later events are not looked at.

    Args:
        events: in any order; at equal instants the order given counts.
        at: the instant of evaluation (aware).
        zone: the client's (of the contract).
        versions: the tariff's versions; the one in force at registration governs to the end.

    Raises:
        BadEventError: an event is malformed, or names a class that the tariff does not know.
        ValueError: no tariff version is in force when the case begins.
    """
    for event in events:
        check(event)
    known = sorted((e for e in events if e.at <= at), key=lambda e: (e.at, e.position))
    begins = next((e.at for e in known if e.type == "registered"), known[0].at if known else at)
    case = _Case(tariff=in_force(versions, begins), zone=zone)
    for event in known:
        case.pass_time(event.at)
        case.apply(event)
    case.pass_time(at)
    return Replay(
        clocks=tuple(_shown(kind, case.clocks.get(kind), at, case.contract_due) for kind in CLOCKS),
        rejected=tuple(sorted(case.rejected)),
        tickets=max(1, len(case.messages)),
        first_notices=int(case.accepted_ever),
    )


@dataclass(kw_only=True)
class _Case:
    tariff: Tariff
    zone: ZoneInfo
    clocks: dict[str, RunningClock] = field(default_factory=dict)
    registered_at: datetime | None = None
    classes: tuple[str, ...] = ()
    pauses: list[Pause] = field(default_factory=list)
    restored_at: datetime | None = None
    messages: set[str] = field(default_factory=set)
    defect_at: datetime | None = None
    contract_due: datetime | None = None
    acceptances: list[tuple[datetime, str, object]] = field(default_factory=list)
    accepted_ever: bool = False
    rejected: list[int] = field(default_factory=list)

    def pass_time(self, to: datetime) -> None:
        for clock in self.clocks.values():
            clock.advance(to)

    def apply(self, event: Event) -> None:
        handler = getattr(self, f"_{event.type}", None)
        if handler is not None:
            handler(event)

    # Registration

    def _received(self, event: Event) -> None:
        self.messages.add(str(event.data.get("message_id", "")))
        if "registration" not in self.clocks and self.registered_at is None:
            self.clocks["registration"] = RunningClock(
                kind="registration", start=event.at, target=self.tariff.registration, absolute=True
            )

    def _registered(self, event: Event) -> None:
        if self.registered_at is not None:
            return
        self.registered_at = event.at
        if "registration" in self.clocks:
            self.clocks["registration"].stop(event.at, "registered")
        self._set_classes(event, self.classes, approved=False)

    # Classes

    def _classified(self, event: Event) -> None:
        unknown = [name for name in event.data["classes"] if name not in self.tariff.classes]
        if unknown:
            raise BadEventError(
                event.position, f"no class {unknown[0]!r}; there are {', '.join(self.tariff.classes)}"
            )
        approver = event.data.get("approved_by")
        approved = approver is not None and approver != event.data.get("by")
        self._set_classes(event, tuple(event.data["classes"]), approved=approved)

    def _registers_state(self, event: Event) -> None:
        # Strictly more than half (TARIFF.md). Monitoring only ever raises: recovery is for a person to judge.
        if event.data["down"] * 2 > event.data["total"] and CRITICAL not in self.classes:
            self._set_classes(event, (*self.classes, CRITICAL), approved=False)

    def _set_classes(self, event: Event, classes: tuple[str, ...], *, approved: bool) -> None:
        self.classes = classes
        if self.registered_at is None:
            return
        terms = [self.tariff.classes.get(name, ClassTerms()) for name in classes]
        restore = min((t.restore for t in terms if t.restore is not None), default=None)
        if not classes:
            restore = self.tariff.restore_default
        agree = min((t.agree_within for t in terms if t.agree_within is not None), default=None)
        consult = self.tariff.consultation if any(t.consultation for t in terms) else None
        for kind, target in (("restore", restore), ("term_agreement", agree), ("consultation", consult)):
            self._set_target(event.at, kind, target, approved=approved)
        if agree is None and "agreed_term" in self.clocks:
            self.clocks["agreed_term"].cancel(event.at, approved=approved)

    def _set_target(self, at: datetime, kind: str, target: timedelta | None, *, approved: bool) -> None:
        clock = self.clocks.get(kind)
        if target is None:
            if clock is not None:
                clock.cancel(at, approved=approved)
            return
        if clock is None:
            assert self.registered_at is not None
            clock = RunningClock(
                kind=kind,
                start=self.registered_at,
                target=target,
                absolute=kind not in PAUSABLE,
                classified=bool(self.classes),
                pauses=self.pauses if kind in PAUSABLE else [],
            )
            self.clocks[kind] = clock
            clock.begin(at, cause="reclassified" if self.classes else None)
            return
        clock.retarget(at, target, approved=approved, classified=bool(self.classes))

    # Pauses

    def _pause(self, event: Event) -> None:
        named = event.data.get("clock")
        if event.data["reason"] not in PAUSE_REASONS or (named is not None and named not in PAUSABLE):
            self.rejected.append(event.position)
            return
        self.pauses.append(Pause(start=event.at, end=None, reason=event.data["reason"], clock=named))

    def _resume(self, event: Event) -> None:
        reason, named = event.data.get("reason"), event.data.get("clock")
        for index, pause in enumerate(self.pauses):
            if pause.end is None and reason in (None, pause.reason) and named in (None, pause.clock):
                self._end_pause(index, event.at)
                return

    def _end_pause(self, index: int, at: datetime) -> None:
        pause = self.pauses[index]
        self.pauses[index] = Pause(start=pause.start, end=at, reason=pause.reason, clock=pause.clock)

    # Restoration, advice, agreement

    def _answered(self, event: Event) -> None:
        clock = self.clocks.get("consultation")
        if clock is None and self.registered_at is not None and not self.classes:
            # Asked and answered before anybody classified it: it was a consultation.
            self._set_target(event.at, "consultation", self.tariff.consultation, approved=False)
            clock = self.clocks["consultation"]
            clock.classified = True
        if clock is not None:
            clock.stop(event.at, "answered")

    def _restored(self, event: Event) -> None:
        self.restored_at = event.at
        for kind in ("restore", "agreed_term", "term_agreement", "consultation"):
            if kind in self.clocks:
                self.clocks[kind].stop(event.at, "restored")
        self._end_all_pauses(event.at)

    def _reopened(self, event: Event) -> None:
        if self.restored_at is None or event.at - self.restored_at > REOPEN_WITHIN:
            self.rejected.append(event.position)
            return
        self.restored_at = None
        for clock in self.clocks.values():
            if clock.stopped_by == "restored":
                clock.go_on(event.at, gap_counts_as_pause=clock.kind != "agreed_term")

    def _closed(self, event: Event) -> None:
        for kind in CLOCKS[:-1]:  # the promise of an ETA outlives the case
            if kind in self.clocks:
                self.clocks[kind].cancel(event.at, approved=False)
        self._end_all_pauses(event.at)

    def _end_all_pauses(self, at: datetime) -> None:
        for index, pause in enumerate(self.pauses):
            if pause.end is None:
                self._end_pause(index, at)

    def _term_agreed(self, event: Event) -> None:
        agreement, until = self.clocks.get("term_agreement"), event.data["until"]
        if agreement is None or agreement.cancelled_at is not None or until <= event.at:
            self.rejected.append(event.position)
            return
        agreement.stop(event.at, "term_agreed")
        clock = self.clocks.get("agreed_term")
        if clock is None:
            clock = RunningClock(kind="agreed_term", start=event.at, target=until - event.at, absolute=True)
            self.clocks["agreed_term"] = clock
        else:
            clock.passed = 0  # a new term is warned of anew
            clock.retarget(event.at, until - clock.start, approved=event.data.get("approved_by") is not None)
        clock.revisions += 1
        clock.history.append({"at": event.at, "entry": "term_agreed", "until": until})

    # The promise of an ETA

    def _defect_recorded(self, event: Event) -> None:
        if self.defect_at is None:
            self.defect_at = event.at
            if concerns_client(event.data):
                self._start_eta(event.at)

    def _client_linked(self, event: Event) -> None:
        if concerns_client(event.data) and not self.accepted_ever:
            self._start_eta(event.at)

    def _start_eta(self, at: datetime) -> None:
        self.contract_due = contract_due(at, self.zone).astimezone(UTC)
        due = min(at + self.tariff.eta_notice, self.contract_due)
        self.clocks["eta_notice"] = RunningClock(kind="eta_notice", start=at, target=due - at, absolute=True)

    def _eta_notice_accepted(self, event: Event) -> None:
        clock = self.clocks.get("eta_notice")
        if clock is None or not concerns_client(event.data):
            return
        self.accepted_ever = True
        self.acceptances.append((event.at, str(event.data["channel"]), event.data.get("revision")))
        clock.stop(event.at, "accepted")

    def _bounced(self, event: Event) -> None:
        clock = self.clocks.get("eta_notice")
        if clock is None or not concerns_client(event.data) or not is_hard_bounce(event.data):
            return
        channel, revision = str(event.data["channel"]), event.data.get("revision")
        self.acceptances = [
            (at, on, number)
            for at, on, number in self.acceptances
            if on != channel or (revision is not None and number is not None and number != revision)
        ]
        if clock.stopped_at is None:
            return
        if not self.acceptances:
            clock.go_on(event.at, gap_counts_as_pause=False)
        elif self.acceptances[0][0] != clock.stopped_at:
            clock.go_on(self.acceptances[0][0], gap_counts_as_pause=False)
            clock.stop(self.acceptances[0][0], "accepted")


def _shown(kind: str, clock: RunningClock | None, at: datetime, contract: datetime | None) -> Clock:
    if clock is None or clock.state(at) == "absent":
        return Clock(kind=kind, state="absent")
    state = clock.state(at)
    if state == "cancelled":
        return Clock(
            kind=kind,
            state=state,
            start=clock.start,
            superseded_breach_at=clock.superseded_breach_at,
            warnings=tuple(clock.warned),
            history=tuple(clock.history),
        )
    until = clock.stopped_at or at
    reckoning = clock.reckoning(at)
    return Clock(
        kind=kind,
        state=state,
        start=clock.start,
        due=reckoning.due,
        elapsed=until - clock.start - reckoning.paused,
        remaining=reckoning.remaining if state in ("running", "paused") else None,
        paused=reckoning.paused,
        target=clock.target,
        stopped_at=clock.stopped_at,
        breached_at=clock.breached_at,
        cause=clock.cause,
        superseded_breach_at=clock.superseded_breach_at,
        contract_due=contract if kind == "eta_notice" else None,
        revisions=clock.revisions if kind == "agreed_term" else None,
        warnings=tuple(clock.warned),
        upcoming=tuple(clock.thresholds()) if state == "running" else (),
        history=tuple(clock.history),
    )
