"""What hosts answer, written into their rows: each answer in its own short transaction, fenced by its job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.engine.dispatch import LeaseLostError, RunningJob
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork
from pipeline.fleet import service as fleet
from pipeline.rollouts.findings import MAX_STRIKES, Again, Finding, Target
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.states import BAD, IN_RUN, HostState
from pipeline.rollouts.tables import HostUpdateRow, RolloutRow
from pipeline.rollouts.transitions import lock_store, move_host


def effect_id(row: HostUpdateRow) -> str:
    """The identity of the change on the host itself: the same for every call of the same attempt."""
    return f"{row.rollout_id}.{row.host_id}.{row.attempt}"


def target_of(rollout: RolloutRow, row: HostUpdateRow) -> Target:
    """What the host is to become."""
    return Target(version=rollout.target, digest=rollout.digest, effect_id=effect_id(row))


def fence(unit: UnitOfWork, job: RunningJob) -> None:
    """Refuse what comes from an attempt that has been overtaken.

    Raises:
        LeaseLostError: another worker has the job.
    """
    row = unit.session.get(JobRow, job.effect_id)
    if row is None or row.token != job.token or row.state != "running":
        raise LeaseLostError(f"job {job.effect_id}: attempt {job.attempt} has been overtaken")


def locked_host(unit: UnitOfWork, host_update_id: str) -> HostUpdateRow:
    """The host's row, its store's ledger locked first."""
    row = unit.session.get_one(HostUpdateRow, host_update_id)
    lock_store(unit, row.store_id)
    unit.session.refresh(row, with_for_update=True)
    return row


def take(
    unit: UnitOfWork,
    row: HostUpdateRow,
    finding: Finding,
    policy: Policy,
    *,
    probed: bool,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Write a finding into the host's row and what it tells of the host into the fleet.

    Args:
        probed: it comes from a look at the host, not from a change of it.
        evidence: the module's own words, kept with the row.
    """
    if evidence is not None:
        row.evidence = {**row.evidence, "probe" if probed else "result": dict(evidence)}
    if finding.reachable is not None:
        row.reachable = finding.reachable
    row.finish, row.trade = finding.finish, finding.trade
    row.not_before = _later(unit, finding, policy)
    if probed:
        row.probed_at = unit.now if finding.reachable and finding.healthy else None
    state, reason = finding.state, finding.reason
    row.strikes += finding.strikes
    if finding.trade or state in (HostState.VERIFYING, HostState.DONE):
        row.strikes = 0
    if finding.strikes and row.strikes >= MAX_STRIKES:
        # Untouched it failed; changed, or perhaps changed, it needs a person.
        state = HostState.FAILED if state is HostState.PLANNED else HostState.NEEDS_HUMAN
        reason = f"{reason} (tried again in vain)"
        row.finish, row.not_before = False, None
    _tell_fleet(unit, row, finding, state)
    move_host(unit, row, state, reason)


def _later(unit: UnitOfWork, finding: Finding, policy: Policy) -> Any:
    waits = {
        Again.NO: None,
        Again.AFTER_REFUSAL: policy.refusal_retry,
        Again.WHEN_ONLINE: policy.offline_retry,
        Again.SOON: policy.unknown_retry,
    }
    wait = waits[finding.again]
    return unit.now + wait if wait is not None else None


def _tell_fleet(unit: UnitOfWork, row: HostUpdateRow, finding: Finding, state: HostState) -> None:
    # A host's own word that it is done is not yet a sight of it.
    if finding.version is not None and state is not HostState.VERIFYING:
        fleet.record_version(unit, row.host_id, finding.version, unit.now)
        row.version_after = finding.version
        row.version_before = row.version_before or finding.version
    if finding.healthy is True:
        fleet.record_health(unit, row.host_id, "in-service")
    elif finding.healthy is False or state is HostState.NEEDS_HUMAN:
        fleet.record_health(unit, row.host_id, "down")
    elif finding.reachable is False:
        fleet.record_health(unit, row.host_id, "unknown")


def lose(unit: UnitOfWork, row: HostUpdateRow, reason: str) -> None:
    """The run that had the host is gone: what was in its hands is unknown, what it never got goes back."""
    state = HostState(row.state)
    row.run_id = row.wants = None
    if state in IN_RUN:
        row.not_before = None
        move_host(unit, row, HostState.UNKNOWN, reason)
    elif state is HostState.LEASED:
        give_back(unit, row, reason)
    else:
        unit.wake("store_update", row.store_update_id)


def give_back(unit: UnitOfWork, row: HostUpdateRow, reason: str) -> None:
    """It was chosen but is not touched after all: back to where it was chosen from."""
    row.run_id = row.wants = None
    move_host(unit, row, HostState.UNKNOWN if row.finish else HostState.PLANNED, reason)


def is_bad(row: HostUpdateRow) -> bool:
    """Whether a person must decide about it."""
    return HostState(row.state) in BAD
