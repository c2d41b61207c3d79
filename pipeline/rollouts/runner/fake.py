"""A fleet in memory that behaves as hosts do, for tests, rehearsals and simulated rollouts.

It keeps what real hosts keep (version, marker, receipts, lock), so the same rules meet the same answers. What
goes wrong is told beforehand, by host.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.rollouts.findings import Answer
from pipeline.rollouts.runner.port import Action, HostAnswer, Listener, RunEnd, RunHost, RunOrder, silent


@dataclass
class FakeHost:
    """One host, and what will go wrong on it.

    Attributes:
        version: what it runs.
        online: it answers.
        shift_open: it refuses.
        failures: the results of its next changes, one each: ``rolled-back``, ``failed``, ``needs-human``,
            ``lost`` (the connection breaks, the change ends by itself), ``cut`` (it is interrupted half-way),
            ``unapproved`` (the host itself refuses the signatures).
        updates: how often a change was really made; more than one for an effect is a defect of ours.
    """

    version: str
    digest: str | None = None
    online: bool = True
    healthy: bool = True
    shift_open: bool = False
    failures: list[str] = field(default_factory=list)
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    updates: list[str] = field(default_factory=list)


class FakeRunner:
    """The runner of the port over ``FakeHost``s by name.

    Args:
        observer: told of every instant at which a host's service goes down and up again.
        crash: called before each host is begun; what it raises is the death of the worker.
    """

    def __init__(
        self,
        hosts: dict[str, FakeHost],
        *,
        observer: Callable[[str, bool], None] | None = None,
        crash: Callable[[RunOrder, str], None] | None = None,
    ) -> None:
        self.hosts = hosts
        self.orders: list[RunOrder] = []
        self._observer = observer or (lambda _host, _out: None)
        self._crash = crash or (lambda _order, _host: None)

    def run(self, order: RunOrder, listener: Listener, cancelled: threading.Event) -> RunEnd:
        """As the port says."""
        self.orders.append(order)
        answers: dict[str, HostAnswer] = {}
        # As the playbook does: servers first.
        for target in sorted(order.hosts, key=lambda host: host.role != "server"):
            if cancelled.is_set():
                return RunEnd(complete=False, answers=silent(order, answers), detail="cancelled")
            self._crash(order, target.name)
            answer = self._one(order, target, listener)
            answers[target.name] = answer
            listener.answered(answer)
        return RunEnd(complete=True, answers=silent(order, answers))

    def stop_leftover(self, order_folder: Path) -> None:
        """Nothing runs on by itself here."""

    def _one(self, order: RunOrder, target: RunHost, listener: Listener) -> HostAnswer:
        host = self.hosts[target.name]
        if not host.online:
            return HostAnswer(host=target.name, answer=Answer.UNREACHABLE, detail="no route to host")
        if order.action is Action.PROBE:
            return _reported(target, {"state": "probed", "probe": self._probe(target, host)})
        listener.begun(target.name)
        return self._update(order, target, host)

    def _probe(self, target: RunHost, host: FakeHost) -> dict[str, Any]:
        receipt = host.receipts.get(target.effect_id)
        marker = {"version": host.version, "digest": host.digest} if host.digest else None
        return {
            "role": target.role,
            "answering": host.healthy,
            "healthy": host.healthy,
            "version": host.version if host.healthy else None,
            "link_version": host.version,
            "status": {"state": "ready", "shift": {"open": host.shift_open}} if host.healthy else None,
            "marker": marker,
            "lock": {"held": False, "effect_id": None},
            "receipt": receipt,
            "depot": [host.digest.partition(":")[2]] if host.digest else [],
            "unfinished": [key for key, one in host.receipts.items() if not one["final"]],
        }

    def _update(self, order: RunOrder, target: RunHost, host: FakeHost) -> HostAnswer:
        receipt = host.receipts.get(target.effect_id)
        if receipt is not None and receipt["final"]:
            return _reported(target, {**receipt, "changed": False})
        if receipt is None and host.shift_open:
            check = {"name": "shift", "ok": False, "detail": "shift 1 is open"}
            return _reported(target, {"state": "refused", "reason": "shift 1 is open", "checks": [check]})
        wrong = host.failures.pop(0) if host.failures else "done"
        if wrong == "unapproved":
            phase = {"name": "verify", "ok": False, "detail": "1 of 2 approvals are valid"}
            return _reported(target, {"state": "refused", "reason": phase["detail"], "phases": [phase]})
        return self._change(order, target, host, wrong)

    def _change(self, order: RunOrder, target: RunHost, host: FakeHost, wrong: str) -> HostAnswer:
        before = host.version
        self._observer(target.name, True)
        if wrong == "cut":
            host.healthy = False
            host.receipts[target.effect_id] = {"state": "running", "final": False, "touched": True}
            return HostAnswer(host=target.name, answer=Answer.UNREACHABLE, detail="connection lost")
        state = wrong if wrong in ("rolled-back", "failed", "needs-human") else "done"
        if state == "done":
            host.version, host.digest = order.version, order.digest
            host.updates.append(target.effect_id)
        host.healthy = state != "needs-human"
        if host.healthy:
            self._observer(target.name, False)
        receipt = {
            "state": state,
            "final": True,
            "touched": state != "failed",
            "reason": "" if state == "done" else f"told to end as {state}",
            "version_before": before,
            "version_after": host.version,
            "out_of_service_seconds": 0.0 if state == "failed" else 3.0,
        }
        host.receipts[target.effect_id] = receipt
        if wrong == "lost":
            return HostAnswer(host=target.name, answer=Answer.UNREACHABLE, detail="connection lost")
        return _reported(target, {**receipt, "changed": True})


def _reported(target: RunHost, result: dict[str, Any]) -> HostAnswer:
    return HostAnswer(host=target.name, answer=Answer.REPORTED, result=result)
