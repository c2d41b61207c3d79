"""What a host's answer means for its state: a module's result, or a look from outside (probe). Pure.

Whatever is not plainly said counts as not known: a missing answer is never success (DESIGN section 3).
The answers' form is the contract of ``playbooks/library/set_update``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.rollouts.states import HostState
from pipeline.rollouts.versions import above

#: So many strikes in a row, and no further waiting mends it: a person is called.
MAX_STRIKES = 8
#: Final states of a receipt on the host, and of a result of the module, that are not success.
_ENDINGS = {
    "failed": HostState.FAILED,
    "rolled-back": HostState.ROLLED_BACK,
    "needs-human": HostState.NEEDS_HUMAN,
}
#: Checks of the module that end by themselves when trade pauses.
_TRADE = frozenset({"shift", "receipt", "unsent"})
#: Checks that no waiting mends: the release is not for this host, or is not approved by the host's own rules.
_UNFIT = frozenset({"product", "newer", "from", "role", "release", "installed"})


class Answer(StrEnum):
    """How a host took part in a run."""

    REPORTED = "reported"  # the module answered
    UNREACHABLE = "unreachable"  # Ansible says so; it may mean a hang in mid-change
    SILENT = "silent"  # the run ended without a word about the host
    PREVENTED = "prevented"  # a step before the module failed: the module was not called in this run


class Again(StrEnum):
    """When to come back to a host that is not settled."""

    NO = "no"
    AFTER_REFUSAL = "after-refusal"
    WHEN_ONLINE = "when-online"
    SOON = "soon"


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a host is to become."""

    version: str
    #: ``sha256:<hex>`` of the package.
    digest: str
    effect_id: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is known of a host now.

    Attributes:
        state: its new state; may be the old one.
        reason: for people; empty when all is well.
        again: whether and why to come back.
        reachable: it answered; None when that was not asked.
        healthy: the product serves; None when that is not known.
        version: what runs there, when it was said.
        finish: an unfinished change is on the host and nobody works at it: the same call must be made again.
        strikes: it was not as it should be; so many count towards calling a person (``MAX_STRIKES``).
        trade: it refused because it trades (open shift, open receipt, unsent receipts).
    """

    state: HostState
    reason: str = ""
    again: Again = Again.NO
    reachable: bool | None = None
    healthy: bool | None = None
    version: str | None = None
    finish: bool = False
    strikes: int = 0
    trade: bool = False


def judge_result(
    answer: Answer,
    result: Mapping[str, Any] | None,
    target: Target,
    *,
    detail: str = "",
    finishing: bool = False,
) -> Finding:
    """What a run of the module on one host means. ``done`` is only believed after a look from outside.

    Args:
        detail: Ansible's words where there is no result.
        finishing: the run was to end an interrupted change: the host is changed half-way whatever happens.
    """
    if answer is Answer.PREVENTED:
        after = HostState.UNKNOWN if finishing else HostState.PLANNED
        return Finding(state=after, reason=detail, again=Again.AFTER_REFUSAL, reachable=True, strikes=2)
    if answer is not Answer.REPORTED or result is None:
        said = (
            "the connection was lost" if answer is Answer.UNREACHABLE else "the run ended without its answer"
        )
        reachable = False if answer is Answer.UNREACHABLE else None
        reason = f"{said}: it may or may not have been changed"
        return Finding(
            state=HostState.UNKNOWN, reason=reason, again=Again.SOON, reachable=reachable, strikes=1
        )
    state, reason = str(result.get("state")), str(result.get("reason") or "")
    version = _text(result.get("version_after"))
    if state == "done" and version == target.version:
        return Finding(state=HostState.VERIFYING, reachable=True, healthy=True, version=version)
    if state == "refused":
        return _refused(result, reason)
    if state in _ENDINGS:
        healthy = None if state == "needs-human" else True
        return Finding(
            state=_ENDINGS[state], reason=reason or state, reachable=True, healthy=healthy, version=version
        )
    why = reason or f"the host answered {state!r} with version {version!r}"
    return Finding(state=HostState.UNKNOWN, reason=why, again=Again.SOON, reachable=True, strikes=1)


def _refused(result: Mapping[str, Any], reason: str) -> Finding:
    """Nothing was touched. Trade ends by itself; an unfit release or a bad signature does not."""
    checks = [check for check in result.get("checks") or () if isinstance(check, Mapping)]
    unmet = {str(check.get("name")) for check in checks if not check.get("ok")}
    if unmet & _TRADE and not unmet & _UNFIT:
        return Finding(
            state=HostState.PLANNED, reason=reason, again=Again.AFTER_REFUSAL, reachable=True, trade=True
        )
    if unmet & _UNFIT:
        return Finding(state=HostState.FAILED, reason=reason, reachable=True)
    # The papers themselves were refused (signatures, digest), or could not be fetched over the store's LAN:
    # the second time in a row it is no flaw of the line. Anything else (a full disk) has some more tries.
    phases = [phase for phase in result.get("phases") or () if isinstance(phase, Mapping)]
    unverified = any(phase.get("name") == "verify" and phase.get("ok") is not True for phase in phases)
    return Finding(
        state=HostState.PLANNED,
        reason=reason,
        again=Again.AFTER_REFUSAL,
        reachable=True,
        strikes=MAX_STRIKES // 2 if unverified else 1,
    )


def judge_probe(
    before: HostState, answer: Answer, result: Mapping[str, Any] | None, target: Target
) -> Finding:
    """What a look at one host means.

    Args:
        before: the state that the host is in for us: untouched (planned), changed (verifying) or unknown.
        result: the module's result of action ``probe``.
    """
    probe = result.get("probe") if result is not None else None
    if answer is not Answer.REPORTED or not isinstance(probe, Mapping):
        return _no_answer(before, answer)
    if before is HostState.PLANNED:
        return _untouched(probe, target)
    return _touched(before, probe, target)


def _no_answer(before: HostState, answer: Answer) -> Finding:
    what = "does not answer" if answer is Answer.UNREACHABLE else "the look at it brought no answer"
    if before is HostState.PLANNED:
        return Finding(
            state=before, reason=f"{what}; it was not touched", again=Again.WHEN_ONLINE, reachable=False
        )
    return Finding(
        state=HostState.UNKNOWN,
        reason=f"{what}; whether it was changed is not known",
        again=Again.WHEN_ONLINE,
        reachable=False,
    )


def _untouched(probe: Mapping[str, Any], target: Target) -> Finding:
    version, healthy = _text(probe.get("version")), probe.get("healthy") is True
    lock = _mapping(probe.get("lock"))
    if lock.get("held"):
        reason = f"another change ({lock.get('effect_id')}) holds the host"
        return Finding(
            state=HostState.PLANNED, reason=reason, again=Again.AFTER_REFUSAL, reachable=True, healthy=healthy
        )
    if not healthy:
        reason = f"it was not well before we touched it: {_health(probe)}"
        return Finding(
            state=HostState.PLANNED, reason=reason, again=Again.AFTER_REFUSAL, reachable=True, healthy=False
        )
    if above(version, target.version):
        return Finding(
            state=HostState.SUPERSEDED,
            reason=f"runs {version}, which is newer than {target.version}",
            reachable=True,
            healthy=True,
            version=version,
        )
    if version == target.version:
        return _already_there(probe, target)
    return Finding(state=HostState.PLANNED, reachable=True, healthy=True, version=version)


def _already_there(probe: Mapping[str, Any], target: Target) -> Finding:
    digest = _mapping(probe.get("marker")).get("digest")
    hex_digest = target.digest.partition(":")[2]
    offered = probe.get("role") != "server" or hex_digest in (probe.get("depot") or ())
    if digest is None or (digest == target.digest and not offered):
        # The module verifies what is there, marks it, and (a server) offers it to the registers.
        return Finding(state=HostState.PLANNED, reachable=True, healthy=True, version=target.version)
    if digest != target.digest:
        return Finding(
            state=HostState.NEEDS_HUMAN,
            reason=f"runs another build of {target.version} ({digest}) than the approved {target.digest}",
            reachable=True,
            healthy=True,
            version=target.version,
        )
    return Finding(
        state=HostState.DONE,
        reason=f"ran {target.version} already",
        reachable=True,
        healthy=True,
        version=target.version,
    )


def _touched(before: HostState, probe: Mapping[str, Any], target: Target) -> Finding:
    version, healthy = _text(probe.get("version")), probe.get("healthy") is True
    receipt = _mapping(probe.get("receipt"))
    lock = _mapping(probe.get("lock"))
    if lock.get("held"):
        reason = f"change {lock.get('effect_id')} still goes on"
        return Finding(state=HostState.UNKNOWN, reason=reason, again=Again.SOON, reachable=True)
    if receipt and receipt.get("final") is not True:
        return Finding(
            state=HostState.UNKNOWN,
            reason="its change was interrupted; the same change is called again to end it",
            reachable=True,
            healthy=healthy,
            finish=True,
        )
    ending = _ENDINGS.get(str(receipt.get("state"))) if receipt else None
    if ending is not None:
        said = str(receipt.get("reason") or receipt.get("state"))
        if ending is not HostState.NEEDS_HUMAN and not healthy:
            return _unwell(probe, f"{receipt.get('state')}: {said}; then")
        return Finding(state=ending, reason=said, reachable=True, healthy=healthy, version=version)
    if _is_target(probe, target) and (receipt or before is HostState.VERIFYING):
        return Finding(state=HostState.DONE, reachable=True, healthy=True, version=version)
    if not receipt and before is HostState.UNKNOWN:
        return Finding(
            state=HostState.PLANNED,
            reason="the change had not begun on the host",
            reachable=True,
            healthy=healthy,
            version=version,
        )
    return _unwell(probe, f"says that {target.version} is installed, but")


def _is_target(probe: Mapping[str, Any], target: Target) -> bool:
    return (
        probe.get("healthy") is True
        and probe.get("version") == target.version
        and probe.get("link_version") == target.version
        and _mapping(probe.get("marker")).get("digest") == target.digest
    )


def _unwell(probe: Mapping[str, Any], introduction: str) -> Finding:
    return Finding(
        state=HostState.UNKNOWN,
        reason=f"{introduction} {_health(probe)}",
        again=Again.SOON,
        reachable=True,
        healthy=False,
        strikes=1,
    )


def _health(probe: Mapping[str, Any]) -> str:
    if not probe.get("answering"):
        return "the product does not answer"
    status = _mapping(probe.get("status"))
    digest = _mapping(probe.get("marker")).get("digest")
    return (
        f"state {status.get('state')!r}, running {probe.get('version')!r}, "
        f"link {probe.get('link_version')!r}, installed digest {digest!r}"
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
