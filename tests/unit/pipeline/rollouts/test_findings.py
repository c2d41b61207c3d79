"""What hosts say, and what it means: nothing that is not plainly said is taken as known."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.rollouts.findings import Again, Answer, Target, judge_probe, judge_result
from pipeline.rollouts.states import HostState

DIGEST = "sha256:" + "a" * 64
TARGET = Target(version="10.4.2", digest=DIGEST, effect_id="R-000001.h.1")


def probe(**more: Any) -> dict[str, Any]:
    base = {
        "role": "register",
        "answering": True,
        "healthy": True,
        "version": "10.4.2",
        "link_version": "10.4.2",
        "status": {"state": "ready"},
        "marker": {"version": "10.4.2", "digest": DIGEST},
        "lock": {"held": False, "effect_id": None},
        "receipt": {"state": "done", "final": True},
    }
    return {"state": "probed", "probe": {**base, **more}}


@pytest.mark.parametrize(
    ("answer", "result", "state"),
    [
        (Answer.REPORTED, {"state": "done", "version_after": "10.4.2"}, HostState.VERIFYING),
        # Done, but of another version: not known.
        (Answer.REPORTED, {"state": "done", "version_after": "10.4.1"}, HostState.UNKNOWN),
        (Answer.REPORTED, {"state": "refused", "reason": "shift"}, HostState.PLANNED),
        (Answer.REPORTED, {"state": "busy"}, HostState.UNKNOWN),
        (Answer.REPORTED, {"state": "failed"}, HostState.FAILED),
        (Answer.REPORTED, {"state": "rolled-back"}, HostState.ROLLED_BACK),
        (Answer.REPORTED, {"state": "needs-human"}, HostState.NEEDS_HUMAN),
        (Answer.REPORTED, {"state": "perfect"}, HostState.UNKNOWN),
        (Answer.REPORTED, {}, HostState.UNKNOWN),
        (Answer.UNREACHABLE, None, HostState.UNKNOWN),
        (Answer.SILENT, None, HostState.UNKNOWN),
        (Answer.PREVENTED, None, HostState.PLANNED),
    ],
)
def test_results(answer: Answer, result: dict[str, Any] | None, state: HostState) -> None:
    """Each answer of a run, and the state that it gives."""
    assert judge_result(answer, result, TARGET).state is state


def test_a_prevented_ending_leaves_the_host_unknown() -> None:
    """When an interrupted change was to be ended, the host is half-way whatever prevented the call."""
    found = judge_result(Answer.PREVENTED, None, TARGET, finishing=True)

    assert found.state is HostState.UNKNOWN


def test_a_release_that_does_not_fit_is_final_and_trade_is_not() -> None:
    """An open shift is asked again, a release of another product is not."""
    shift = {"state": "refused", "reason": "x", "checks": [{"name": "shift", "ok": False}]}
    product = {"state": "refused", "reason": "x", "checks": [{"name": "product", "ok": False}]}

    assert judge_result(Answer.REPORTED, shift, TARGET).trade
    assert judge_result(Answer.REPORTED, shift, TARGET).again is Again.AFTER_REFUSAL
    assert judge_result(Answer.REPORTED, product, TARGET).state is HostState.FAILED


U, V, P = HostState.UNKNOWN, HostState.VERIFYING, HostState.PLANNED


@pytest.mark.parametrize(
    ("before", "seen", "state"),
    [
        (V, probe(), HostState.DONE),
        (U, probe(), HostState.DONE),
        # Another digest is installed than the approved one.
        (V, probe(marker={"digest": "sha256:other"}), U),
        (V, probe(healthy=False), U),
        (V, probe(link_version="10.4.1"), U),
        (U, probe(lock={"held": True, "effect_id": "x"}), U),
        (U, probe(receipt={"state": "running", "final": False}), U),
        (U, probe(receipt={"state": "rolled-back", "final": True}, version="10.4.1"), HostState.ROLLED_BACK),
        (U, probe(receipt={"state": "needs-human", "final": True}, healthy=False), HostState.NEEDS_HUMAN),
        # It says rolled back, but does not serve: nobody knows.
        (U, probe(receipt={"state": "rolled-back", "final": True}, healthy=False), U),
        # Never begun there.
        (U, probe(receipt=None, version="10.4.1", link_version="10.4.1", marker=None), P),
        (P, probe(receipt=None), HostState.DONE),
        (P, probe(receipt=None, version="10.4.1"), P),
        (P, probe(receipt=None, version="10.5.0"), HostState.SUPERSEDED),
        # The same version by other means: the module verifies it.
        (P, probe(receipt=None, marker=None), P),
        (P, probe(receipt=None, marker={"digest": "sha256:other"}), HostState.NEEDS_HUMAN),
        # A server that does not offer the package to its registers is not done.
        (P, probe(receipt=None, role="server"), P),
        (P, probe(receipt=None, role="server", depot=["a" * 64]), HostState.DONE),
        (P, probe(receipt=None, healthy=False), P),
    ],
)
def test_probes(before: HostState, seen: dict[str, Any], state: HostState) -> None:
    """Each look, from each state in which hosts are looked at."""
    assert judge_probe(before, Answer.REPORTED, seen, TARGET).state is state


@pytest.mark.parametrize("answer", [Answer.UNREACHABLE, Answer.SILENT])
def test_no_answer_tells_touched_from_untouched(answer: Answer) -> None:
    """A silent host that was not touched stays planned; any other is unknown, never done."""
    assert judge_probe(P, answer, None, TARGET).state is P
    assert judge_probe(V, answer, None, TARGET).state is U
    assert judge_probe(U, answer, None, TARGET).state is U
    assert judge_probe(P, answer, None, TARGET).reachable is False


def test_an_interrupted_change_is_to_be_ended() -> None:
    """An open receipt without a lock: the same call must be made again."""
    found = judge_probe(U, Answer.REPORTED, probe(receipt={"state": "running", "final": False}), TARGET)

    assert found.finish
