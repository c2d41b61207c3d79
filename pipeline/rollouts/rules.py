"""What one store may do next: the decision that real and simulated rollouts share. Pure.

The order of the questions is the order of harm: an interrupted change is ended first, then what is unknown
is looked at, and only then is something new begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.rollouts import budgets, windows
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.states import (
    BAD,
    DOWN,
    GOOD,
    IN_FLIGHT,
    MOVING,
    HostState,
    RolloutState,
    StoreState,
    Waiting,
)
from pipeline.rollouts.versions import at_least
from pipeline.rollouts.windows import Freeze, Gate, Window

#: What ends without an event of this rollout: monitoring, another rollout, closing time. Looked at by time.
_OTHERS_DECIDE = frozenset({Waiting.BUDGET, Waiting.OTHER_ROLLOUT, Waiting.CONSENT})
#: The ends of a host in its rollout.
_SETTLED = GOOD | BAD | {HostState.SKIPPED}


@dataclass(frozen=True, kw_only=True)
class HostView:
    """A host as the decision sees it.

    Attributes:
        version: what it is known to run.
        down: reported out of service by monitoring, or known to be down.
        elsewhere: another rollout has it in flight or does not know its state.
        not_before: it refused, or did not answer; not touched again before then.
        probed_at: when it was last looked at; None: never.
        reachable: whether it answered then.
        finish: an interrupted change waits on it to be ended.
        busy: it is already part of a run or a probe.
        shift: its last refusal was for trade (open shift, open receipt, unsent receipts).
    """

    name: str
    state: HostState
    version: str | None = None
    down: bool = False
    elsewhere: bool = False
    not_before: datetime | None = None
    probed_at: datetime | None = None
    reachable: bool | None = None
    finish: bool = False
    busy: bool = False
    shift: bool = False
    reason: str = ""

    @property
    def out(self) -> bool:
        """Counts against the budget of its store."""
        return self.down or self.elsewhere or self.state in IN_FLIGHT or self.state in DOWN


@dataclass(frozen=True, kw_only=True)
class StoreView:
    """A store in one rollout; ``registers`` are all of the store's, in their order."""

    rollout: RolloutState
    wave_open: bool
    target: str
    server: HostView
    registers: tuple[HostView, ...]
    zone: str
    windows: tuple[Window, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    #: The store does not trade at this moment.
    closed: bool = False
    #: The client consented to its single register being out of service.
    consent: bool = False

    @property
    def hosts(self) -> tuple[HostView, ...]:
        """Server first."""
        return (self.server, *self.registers)


@dataclass(frozen=True, kw_only=True)
class StoreDecision:
    """What follows now.

    Attributes:
        start: hosts to be changed now.
        probe: hosts to be looked at now.
        look_at: when time alone may change the answer; None: only an event can.
    """

    state: StoreState
    waiting: Waiting | None = None
    detail: str = ""
    start: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()
    look_at: datetime | None = None


@dataclass
class _Draft:
    """Collects the answer while the questions are asked."""

    state: StoreState
    waiting: Waiting | None = None
    detail: str = ""
    start: list[str] = field(default_factory=list)
    probe: list[str] = field(default_factory=list)
    looks: list[datetime] = field(default_factory=list)

    def done(self) -> StoreDecision:
        return StoreDecision(
            state=self.state,
            waiting=self.waiting,
            detail=self.detail,
            start=tuple(self.start),
            probe=tuple(self.probe),
            look_at=min(self.looks, default=None),
        )

    def wait(self, what: Waiting, detail: str) -> None:
        self.waiting, self.detail = what, detail


def decide_store(view: StoreView, policy: Policy, now: datetime) -> StoreDecision:
    """What the store does next, and what it waits for.

    Args:
        view: the store's rows as they are now.
        now: aware.
    """
    draft = _Draft(state=_progress(view))
    _end_interrupted(view, draft)
    _look_at_unknown(view, policy, now, draft)
    if draft.state in (StoreState.VERIFIED, StoreState.HELD, StoreState.SKIPPED):
        draft.detail = _bad_words(view.hosts) or _half_way(view)
        return draft.done()
    if view.rollout not in MOVING or not view.wave_open:
        if view.rollout in MOVING:
            draft.wait(Waiting.WAVE, "its wave has not opened yet")
        else:
            draft.wait(Waiting.OPERATOR, f"the rollout is {view.rollout.value}")
        return draft.done()
    return _decide_open(view, policy, now, draft)


def _decide_open(view: StoreView, policy: Policy, now: datetime, draft: _Draft) -> StoreDecision:
    gate = windows.gate(view.windows, view.zone, view.freezes, now, policy.need)
    wanted = _next_hosts(view, draft)
    if not gate.is_open:
        _shut(gate, draft)
        return draft.done()
    ready = _ready(wanted, policy, now, draft)
    if view.server in wanted:
        _start_server(view, ready, draft)
    else:
        _start_registers(view, ready, policy, draft)
    if draft.waiting is None and not draft.start:
        _explain(view, wanted, policy, draft)
    if draft.waiting in _OTHERS_DECIDE:
        draft.looks.append(now + policy.refusal_retry)
    return draft.done()


def still_allowed(view: StoreView, names: Sequence[str], policy: Policy, now: datetime) -> dict[str, str]:
    """Asked again just before hosts are touched (DESIGN section 5, rule 3): why each may not, "" = it may.

    The hosts were chosen by ``decide_store`` some moments ago and count against the budget since; the window
    may have ended, a person paused, the release been recalled meanwhile.
    """
    gate = windows.gate(view.windows, view.zone, view.freezes, now, policy.need)
    answers = {}
    for host in view.hosts:
        if host.name not in names:
            continue
        if host.finish:
            ended = view.rollout in (RolloutState.ABORTED, RolloutState.RECALLED)
            answers[host.name] = f"the rollout is {view.rollout.value}" if ended else ""
        elif view.rollout not in MOVING:
            answers[host.name] = f"the rollout is {view.rollout.value}"
        elif not view.wave_open:
            answers[host.name] = "its wave is not open"
        elif not gate.is_open:
            answers[host.name] = gate.detail
        else:
            answers[host.name] = _order_and_budget(view, host, policy)
    return answers


def _order_and_budget(view: StoreView, host: HostView, policy: Policy) -> str:
    if host.elsewhere:
        return "another rollout has it in its hands"
    if host is view.server:
        return ""
    if view.server.state not in GOOD or view.server.elsewhere:
        return "its server is not verified"
    allowed = view.closed or view.consent
    bound = budgets.limit(len(view.registers), policy.cap, closed_or_consent=allowed)
    out = sum(1 for register in view.registers if register.out)
    return "" if out <= bound else f"{out} of the store's registers are out of service, {bound} may be"


def _progress(view: StoreView) -> StoreState:
    states = [host.state for host in view.hosts]
    if all(state in GOOD for state in states):
        return StoreState.VERIFIED
    moving = any(host.state in IN_FLIGHT or host.state is HostState.UNKNOWN for host in view.hosts)
    if view.server.state in BAD and not moving:
        return StoreState.HELD
    if all(state in _SETTLED for state in states):
        # Some changed and some not: half-way, and shown as such.
        mixed = any(state in BAD or state is HostState.DONE for state in states)
        return StoreState.HELD if mixed else StoreState.SKIPPED
    if view.server.state not in GOOD:
        untouched = view.server.state in (HostState.PLANNED, HostState.STAGED)
        return StoreState.WAITING if untouched else StoreState.SERVER
    return StoreState.REGISTERS


def _end_interrupted(view: StoreView, draft: _Draft) -> None:
    # An interrupted change may have left the service stopped. Ending it returns the host to service (or takes
    # it back), so neither window nor pause holds it up; it is out already, so it costs no budget. A recalled
    # or aborted update is not carried on: that host needs a person.
    if view.rollout in (RolloutState.ABORTED, RolloutState.RECALLED):
        return
    draft.start += [
        host.name for host in view.hosts if host.finish and host.state is HostState.UNKNOWN and not host.busy
    ]


def _look_at_unknown(view: StoreView, policy: Policy, now: datetime, draft: _Draft) -> None:
    for host in view.hosts:
        if host.state is HostState.UNKNOWN and not host.busy and host.name not in draft.start:
            if host.not_before is not None and host.not_before > now:
                draft.looks.append(host.not_before)
            else:
                draft.probe.append(host.name)


def _next_hosts(view: StoreView, draft: _Draft) -> list[HostView]:
    """Whose turn it is: the server, and only then the registers."""
    if at_least(view.server.version, view.target) and view.server.state in GOOD:
        return [host for host in view.registers if host.state in (HostState.PLANNED, HostState.STAGED)]
    return [view.server] if view.server.state in (HostState.PLANNED, HostState.STAGED) else []


def _shut(gate: Gate, draft: _Draft) -> None:
    draft.wait(Waiting.FREEZE if gate.freeze is not None else Waiting.WINDOW, gate.detail)
    if gate.opens_at is not None:
        draft.looks.append(gate.opens_at)
    if gate.freeze is not None:
        draft.looks.append(gate.freeze.end)


def _ready(wanted: Sequence[HostView], policy: Policy, now: datetime, draft: _Draft) -> list[HostView]:
    """Those of them that have just been seen to answer; the others are looked at first."""
    ready = []
    for host in wanted:
        if host.busy:
            continue
        if host.not_before is not None and host.not_before > now:
            draft.looks.append(host.not_before)
        elif host.probed_at is None or now - host.probed_at >= policy.probe_fresh or not host.reachable:
            draft.probe.append(host.name)
        else:
            ready.append(host)
    return ready


def _start_server(view: StoreView, ready: Sequence[HostView], draft: _Draft) -> None:
    if not ready:
        return
    if view.server.elsewhere:
        draft.wait(Waiting.OTHER_ROLLOUT, f"{view.server.name} is in the hands of another rollout")
        return
    # While registers take from it or report to it, the server stays up.
    moving = [host.name for host in view.registers if host.elsewhere or host.state in IN_FLIGHT]
    if moving:
        draft.wait(Waiting.OTHER_ROLLOUT, f"{', '.join(moving)} of the store are being changed")
        return
    draft.start.append(view.server.name)
    draft.state = StoreState.SERVER


def _start_registers(view: StoreView, ready: Sequence[HostView], policy: Policy, draft: _Draft) -> None:
    free = [host.name for host in ready if not host.elsewhere]
    out = [host.name for host in view.registers if host.out]
    # The server is out of reach of its registers while another rollout changes it.
    if view.server.elsewhere:
        draft.wait(Waiting.OTHER_ROLLOUT, f"{view.server.name} is in the hands of another rollout")
        return
    allowed = view.closed or view.consent
    draft.start += budgets.choose(
        free,
        registers=len(view.registers),
        out=out,
        cap=policy.cap,
        closed_or_consent=allowed,
    )
    if len(view.registers) == 1 and free and not allowed:
        draft.wait(
            Waiting.CONSENT,
            "its only register may be changed while the store is closed, or with the client's consent: "
            "`garant rollout consent`",
        )


def _explain(view: StoreView, wanted: Sequence[HostView], policy: Policy, draft: _Draft) -> None:
    """Why nothing begins although the window is open."""
    moving = [host.name for host in view.hosts if host.state in IN_FLIGHT]
    silent = [h.name for h in view.hosts if h.reachable is False and h.state not in _SETTLED]
    unknown = [host.name for host in view.hosts if host.state is HostState.UNKNOWN]
    trading = next((host for host in wanted if host.shift and host.not_before is not None), None)
    if moving:
        draft.wait(Waiting.RUN, f"being changed: {', '.join(moving)}")
    elif silent and (unknown or view.server.name in silent or len(silent) >= len(wanted)):
        draft.wait(Waiting.OFFLINE, f"not answering: {', '.join(silent)}")
    elif unknown:
        draft.wait(Waiting.CHECK, f"not known: {', '.join(unknown)}")
    elif trading is not None:
        draft.wait(Waiting.SHIFT, f"{trading.name}: {trading.reason}")
    elif draft.probe or any(host.busy for host in wanted):
        draft.wait(Waiting.CHECK, "being looked at before it is touched")
    elif any(host.out for host in view.registers):
        _explain_budget(view, policy, draft)
    else:
        waiting = next((host for host in wanted if host.reason), None)
        draft.wait(Waiting.CHECK, f"{waiting.name}: {waiting.reason}" if waiting else "")


def _explain_budget(view: StoreView, policy: Policy, draft: _Draft) -> None:
    allowed = view.closed or view.consent
    bound = budgets.limit(len(view.registers), policy.cap, closed_or_consent=allowed)
    stuck = [host for host in view.registers if host.state in BAD and host.out]
    if stuck and len(stuck) >= bound:
        # Only a person frees the budget: the store is shown as held, not as waiting for ever.
        draft.state = StoreState.HELD
        draft.wait(Waiting.BUDGET, _bad_words(stuck))
        return
    out = ", ".join(f"{host.name} ({_why_out(host)})" for host in view.registers if host.out)
    draft.wait(Waiting.BUDGET, f"out of service: {out}")


def _half_way(view: StoreView) -> str:
    left = [host.name for host in view.hosts if host.state is HostState.SKIPPED]
    changed = [host.name for host in view.hosts if host.state is HostState.DONE]
    if not left or not changed:
        return ""
    return f"half-way: {', '.join(changed)} run {view.target}, {', '.join(left)} do not"


def _why_out(host: HostView) -> str:
    if host.elsewhere:
        return "another rollout"
    return host.state.value if host.state in DOWN or host.state in IN_FLIGHT else "reported down"


def _bad_words(hosts: Iterable[HostView]) -> str:
    return "; ".join(f"{host.name} {host.state.value}: {host.reason}" for host in hosts if host.state in BAD)
