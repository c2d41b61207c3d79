"""The pure core under random fleets, faults, clocks and operators; an observer outside counts violations.

The observer looks at what is physically done to hosts, never at the states that the core keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.rollouts import budgets
from pipeline.rollouts.findings import MAX_STRIKES, Again, Answer, Finding, Target, judge_probe, judge_result
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.rules import HostView, StoreView, decide_store, still_allowed
from pipeline.rollouts.states import BAD, GOOD, HOST_STEPS, IN_FLIGHT, IN_RUN, HostState, RolloutState
from pipeline.rollouts.versions import version_key
from pipeline.rollouts.windows import Freeze, Window

POLICY = Policy()
ZONE = ZoneInfo("Europe/Berlin")
WINDOW = Window(days=frozenset(range(7)), opens=time(22), closes=time(6))
VERSIONS = {"A": "10.4.2", "B": "10.4.3"}
S = HostState
OUTCOMES = ["done", "done", "done", "rolled-back", "cut", "lost", "never"]


def digest(version: str) -> str:
    return f"sha256:{version}"


@dataclass
class Physical:
    """A host as it is."""

    role: str
    version: str = "10.4.1"
    marker: str | None = None
    online: bool = True
    shift_open: bool = False
    #: The rollout and effect that have its service stopped, or None.
    stopped_by: tuple[str, str] | None = None
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: bool = False  # out of service for reasons of its own
    monitored_down: bool = False
    effects: list[str] = field(default_factory=list)


@dataclass
class Row:
    """A host in a rollout, as the database would keep it."""

    state: HostState = S.PLANNED
    attempt: int = 1
    not_before: datetime | None = None
    probed_at: datetime | None = None
    reachable: bool | None = None
    finish: bool = False
    trade: bool = False
    strikes: int = 0
    in_run: bool = False


class Core(RuleBasedStateMachine):
    """One store, two rollouts, everything that may happen."""

    @initialize(
        registers=st.integers(1, 9),
        hour=st.sampled_from([20, 21, 21, 21, 3, 12]),
        consent=st.booleans(),
        day=st.sampled_from(["2026-03-28", "2026-10-24", "2026-06-01"]),
    )
    def begin(self, registers: int, hour: int, consent: bool, day: str) -> None:
        self.now = datetime.fromisoformat(f"{day}T{hour:02}:30:00+00:00")
        self.names = ["server", *[f"r{number}" for number in range(1, registers + 1)]]
        self.world = {n: Physical(role="server" if n == "server" else "register") for n in self.names}
        self.known = dict.fromkeys(self.names, "10.4.1")
        self.consent = consent
        self.rows = {key: {name: Row() for name in self.names} for key in VERSIONS}
        self.state = dict.fromkeys(VERSIONS, RolloutState.RUNNING)
        self.approved = dict.fromkeys(VERSIONS, True)
        self.freezes: tuple[Freeze, ...] = ()
        self.probing: dict[str, list[str]] = {key: [] for key in VERSIONS}
        #: What goes on on hosts now: by whose order, for what, and how it will end.
        self.flying: dict[str, tuple[str, Target, str]] = {}

    def view(self, key: str) -> StoreView:
        other = next(name for name in VERSIONS if name != key)
        held = IN_FLIGHT | {S.UNKNOWN}

        def host(name: str) -> HostView:
            row = self.rows[key][name]
            return HostView(
                name=name,
                state=row.state,
                version=self.known[name],
                down=self.world[name].monitored_down,
                elsewhere=self.rows[other][name].state in held,
                not_before=row.not_before,
                probed_at=row.probed_at,
                reachable=row.reachable,
                finish=row.finish,
                busy=row.in_run or name in self.probing[key],
                shift=row.trade,
            )

        return StoreView(
            rollout=self.state[key],
            wave_open=True,
            target=VERSIONS[key],
            server=host("server"),
            registers=tuple(host(name) for name in self.names if name != "server"),
            zone="Europe/Berlin",
            windows=(WINDOW,),
            freezes=self.freezes,
            consent=self.consent,
        )

    def move(self, key: str, name: str, state: HostState) -> None:
        row = self.rows[key][name]
        if state is not row.state:
            assert state in HOST_STEPS[row.state], f"{name}: {row.state} -> {state}"
            row.state = state

    def target(self, key: str, name: str) -> Target:
        effect = f"{key}.{name}.{self.rows[key][name].attempt}"
        return Target(version=VERSIONS[key], digest=digest(VERSIONS[key]), effect_id=effect)

    def take(self, key: str, name: str, finding: Finding, *, probed: bool) -> None:
        row = self.rows[key][name]
        if finding.reachable is not None:
            row.reachable = finding.reachable
        row.finish, row.trade = finding.finish, finding.trade
        row.not_before = None if finding.again is Again.NO else self.now + POLICY.unknown_retry
        if probed:
            row.probed_at = self.now if finding.reachable and finding.healthy else None
        row.strikes += finding.strikes
        state = finding.state
        if finding.trade or state in (S.VERIFYING, S.DONE):
            row.strikes = 0
        if finding.strikes and row.strikes >= MAX_STRIKES:
            state = S.FAILED if state is S.PLANNED else S.NEEDS_HUMAN
            row.finish = False
        if finding.version is not None and state is not S.VERIFYING:
            self.known[name] = finding.version
        if finding.healthy is not None:
            self.world[name].monitored_down = not finding.healthy
        self.move(key, name, state)

    @rule(key=st.sampled_from(sorted(VERSIONS)))
    def tick(self, key: str) -> None:
        decision = decide_store(self.view(key), POLICY, self.now)
        if self.state[key] in (RolloutState.ABORTED, RolloutState.RECALLED):
            for name, row in self.rows[key].items():
                if row.state is S.PLANNED and not row.in_run:
                    self.move(key, name, S.SKIPPED)
        for name in decision.start:
            self.move(key, name, S.LEASED)
            self.rows[key][name].in_run = True
        self.probing[key] += [name for name in decision.probe if name not in self.probing[key]]
        assert (
            decision.waiting is not None
            or decision.start
            or decision.state.value
            in (
                "verified",
                "held",
                "skipped",
                "server",
                "registers",
            )
        )

    @rule(key=st.sampled_from(sorted(VERSIONS)))
    def look(self, key: str) -> None:
        for name in self.probing[key]:
            host, row = self.world[name], self.rows[key][name]
            if row.state not in (S.PLANNED, S.VERIFYING, S.UNKNOWN):
                continue
            target = self.target(key, name)
            if not host.online:
                self.take(key, name, judge_probe(row.state, Answer.UNREACHABLE, None, target), probed=True)
                continue
            self.take(
                key,
                name,
                judge_probe(row.state, Answer.REPORTED, {"probe": self.seen(name, target)}, target),
                probed=True,
            )
            row.in_run = False
        self.probing[key] = []

    def seen(self, name: str, target: Target) -> dict[str, Any]:
        host = self.world[name]
        healthy = host.stopped_by is None and not host.broken
        return {
            "role": host.role,
            "answering": healthy,
            "healthy": healthy,
            "version": host.version if healthy else None,
            "link_version": host.version,
            "marker": {"digest": host.marker} if host.marker else None,
            "depot": [host.marker.partition(":")[2]] if host.marker else [],
            "lock": {"held": name in self.flying},
            "receipt": host.receipts.get(target.effect_id),
        }

    @rule(key=st.sampled_from(sorted(VERSIONS)), outcome=st.sampled_from(OUTCOMES))
    def run(self, key: str, outcome: str) -> None:
        """The slice begins: every leased host that may go on has its service stopped, all at once."""
        leased = [name for name, row in self.rows[key].items() if row.state is S.LEASED]
        if not leased:
            return
        allowed = still_allowed(self.view(key), leased, POLICY, self.now)
        going = []
        for name in leased:
            row = self.rows[key][name]
            if allowed[name] or not self.approved[key]:
                self.move(key, name, S.UNKNOWN if row.finish else S.PLANNED)
                row.in_run = False
            else:
                self.move(key, name, S.PRE_OK)
                going.append(name)
        for name in going:
            self.touch(key, name, outcome)

    def touch(self, key: str, name: str, outcome: str) -> None:
        host, target = self.world[name], self.target(key, name)
        if not host.online or outcome == "never":
            self.answer(key, name, judge_result(Answer.UNREACHABLE, None, target))
            return
        self.move(key, name, S.APPLYING)
        receipt = host.receipts.get(target.effect_id)
        if receipt is None and host.shift_open and host.role == "register":
            refusal = {"state": "refused", "checks": [{"name": "shift", "ok": False}]}
            self.answer(key, name, judge_result(Answer.REPORTED, refusal, target))
            return
        if receipt is None:
            self.observe_touch(key, name)
        if receipt is None or not receipt["final"]:
            host.receipts[target.effect_id] = {"state": "running", "final": False}
            host.stopped_by = (key, target.effect_id)
        self.flying[name] = (key, target, outcome)

    @rule()
    def land(self) -> None:
        """What goes on on hosts comes to its end, whether or not anybody listens any more."""
        flying, self.flying = self.flying, {}
        for name, (key, target, outcome) in flying.items():
            host, row = self.world[name], self.rows[key][name]
            if not host.receipts[target.effect_id]["final"]:
                self.change(host, target, outcome)
            if row.state is not S.APPLYING or not row.in_run:
                continue  # the worker died meanwhile
            result = {"version_after": host.version, **host.receipts[target.effect_id]}
            lost = outcome in ("cut", "lost")
            self.answer(
                key,
                name,
                judge_result(Answer.UNREACHABLE, None, target)
                if lost
                else judge_result(Answer.REPORTED, result, target),
            )
            if row.state is S.VERIFYING:
                self.probing[key].append(name)

    def change(self, host: Physical, target: Target, outcome: str) -> None:
        if outcome == "cut":
            return  # interrupted half-way: its service stays stopped
        host.stopped_by = None
        state = "rolled-back" if outcome == "rolled-back" else "done"
        host.receipts[target.effect_id] = {"state": state, "final": True}
        if state == "done":
            assert target.effect_id not in host.effects, "the same effect was applied twice"
            host.effects.append(target.effect_id)
            host.version, host.marker = target.version, target.digest

    @rule(
        rounds=st.integers(1, 6),
        together=st.booleans(),
        outcome=st.sampled_from([*OUTCOMES, "leased", "leased"]),
    )
    def go_on(self, rounds: int, together: bool, outcome: str) -> None:
        """Some ordinary rounds, so that the faults between them meet stores in every stage."""
        for number in range(rounds):
            for key in sorted(VERSIONS) if together else ["A"]:
                self.tick(key)
                self.look(key)
                self.tick(key)
                if number < rounds - 1:
                    self.run(key, "done")
                elif outcome != "leased":  # else what was chosen waits for its run while the world turns
                    self.run(key, outcome)
            self.now += timedelta(seconds=20)
            if number < rounds - 1:
                self.land()
                self.look("A")
                self.look("B")

    def observe_touch(self, key: str, name: str) -> None:
        """What must hold at the instant at which a service is stopped by us, seen from outside."""
        host = self.world[name]
        assert self.approved[key], "touched without approval"
        assert self.state[key] is RolloutState.RUNNING, f"touched while {self.state[key]}"
        wall = self.now.astimezone(ZONE)
        assert wall.hour >= 22 or wall.hour < 6, f"touched at {wall}"
        assert not any(freeze.start <= self.now < freeze.end for freeze in self.freezes), (
            "touched in a freeze"
        )
        assert version_key(VERSIONS[key]) > version_key(host.version), "a downgrade"
        if host.role == "register":
            server = self.world["server"]
            assert server.stopped_by is None, "a register was touched while its server is down"
            assert version_key(server.version) >= version_key(VERSIONS[key]), "a register above its server"
            out = {
                other
                for other in self.names
                if other != "server" and (self.world[other].stopped_by or self.world[other].monitored_down)
            } | {name}
            count = len(self.names) - 1
            assert len(out) <= budgets.limit(count, POLICY.cap, closed_or_consent=self.consent), out

    def answer(self, key: str, name: str, finding: Finding) -> None:
        row = self.rows[key][name]
        if finding.state is not S.VERIFYING:
            row.in_run = False
        self.take(key, name, finding, probed=False)

    @rule(key=st.sampled_from(sorted(VERSIONS)))
    def sweep_after_crash(self, key: str) -> None:
        for name, row in self.rows[key].items():
            if row.in_run and row.state in IN_RUN and name not in self.probing[key]:
                row.in_run = False
                row.not_before = None
                self.move(key, name, S.UNKNOWN)

    @rule(minutes=st.sampled_from([1, 3, 11, 45, 240]))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(data=st.data())
    def turn_online(self, data: st.DataObject) -> None:
        host = self.world[data.draw(st.sampled_from(self.names))]
        host.online = not host.online

    @rule(data=st.data())
    def turn_shift(self, data: st.DataObject) -> None:
        host = self.world[data.draw(st.sampled_from(self.names))]
        host.shift_open = not host.shift_open

    @rule(data=st.data())
    def monitoring_reports(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.names))
        self.world[name].broken = not self.world[name].broken
        self.world[name].monitored_down = self.world[name].broken

    @rule(key=st.sampled_from(sorted(VERSIONS)))
    def pause_or_resume(self, key: str) -> None:
        turned = {RolloutState.RUNNING: RolloutState.PAUSED, RolloutState.PAUSED: RolloutState.RUNNING}
        self.state[key] = turned.get(self.state[key], self.state[key])

    @precondition(lambda self: self.now.minute % 7 == 0)
    @rule(key=st.sampled_from(sorted(VERSIONS)))
    def recall(self, key: str) -> None:
        self.state[key], self.approved[key] = RolloutState.RECALLED, False

    @rule(hours=st.integers(1, 30))
    def freeze(self, hours: int) -> None:
        self.freezes = (Freeze(start=self.now, end=self.now + timedelta(hours=hours), reason="stocktaking"),)

    @rule(key=st.sampled_from(sorted(VERSIONS)))
    def retry(self, key: str) -> None:
        if self.state[key] is RolloutState.RECALLED:
            return
        for name, row in self.rows[key].items():
            if row.state in BAD:
                row.attempt += 1
                row.strikes, row.finish, row.not_before = 0, False, None
                row.probed_at = row.reachable = None
                self.move(key, name, S.PLANNED)

    @invariant()
    def done_means_done(self) -> None:
        """A host that counts as done really ran the version when it was verified, and never goes back."""
        for key, rows in getattr(self, "rows", {}).items():
            for name, row in rows.items():
                if row.state in GOOD:
                    assert version_key(self.world[name].version) >= version_key(VERSIONS[key])


Core.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestCore = Core.TestCase


def test_the_core_brings_a_healthy_store_to_its_end() -> None:
    """Without faults every host is verified: the invariants above are not met by idleness."""
    core = Core()
    core.begin(registers=6, hour=21, consent=False, day="2026-06-01")
    core.state["B"] = RolloutState.PAUSED
    for _ in range(40):
        core.tick("A")
        core.look("A")
        for name in [n for n, row in core.rows["A"].items() if row.state is S.LEASED]:
            assert not still_allowed(core.view("A"), [name], POLICY, core.now)[name]
            core.move("A", name, S.PRE_OK)
            core.touch("A", name, "done")
        core.land()
        core.look("A")
        core.now += timedelta(minutes=1)

    assert {row.state for row in core.rows["A"].values()} == {S.DONE}
