"""What a plan would do: which store in which wave, when its window opens, what does not fit and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.errors import RefusedError
from pipeline.fleet import service as fleet
from pipeline.fleet.tables import HostRow, StoreRow
from pipeline.rollouts import budgets, selection, waves, windows
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.selection import Candidate
from pipeline.rollouts.versions import at_least
from pipeline.rollouts.views import freezes_of


@dataclass(frozen=True, kw_only=True)
class PlannedStore:
    """A store of the plan; ``why_not`` is empty when it fits."""

    store: StoreRow
    hosts: Sequence[HostRow]
    budget: int
    opens_at: datetime | None
    ends_at: datetime | None
    why_not: str = ""
    #: It fits, but a person should know this.
    remark: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs; instants in UTC."""
        return {
            "store": self.store.id,
            "client": self.store.client_id,
            "zone": self.store.zone,
            "registers": sum(host.role == "register" for host in self.hosts),
            "registers_at_once": self.budget,
            "window_opens_at": self.opens_at.isoformat() if self.opens_at else None,
            "window_ends_at": self.ends_at.isoformat() if self.ends_at else None,
            **({"why_not": self.why_not} if self.why_not else {}),
            **({"remark": self.remark} if self.remark else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The plan as a person looks at it."""

    waves: Sequence[Sequence[PlannedStore]]
    left_out: Sequence[PlannedStore]


def preview(
    session: Session,
    *,
    select_by: str,
    canary: Sequence[str],
    sizes: Sequence[int],
    policy: Policy,
    target: str,
    from_versions: Sequence[str] | None,
    now: datetime,
) -> Preview:
    """Select stores, see what fits, put them into waves.

    Raises:
        RefusedError: the selection is not understood or empty, or a canary store is not in it.
    """
    try:
        wanted = selection.parse(select_by)
    except ValueError as error:
        raise RefusedError(str(error)) from error
    chosen = [
        planned
        for store in session.scalars(select(StoreRow).where(StoreRow.state == "active").order_by(StoreRow.id))
        if (planned := _planned(session, store, wanted, policy, target, from_versions, now)) is not None
    ]
    if not chosen:
        raise RefusedError(f"selection {select_by!r} holds no store: see `garant fleet list`")
    fitting = {planned.store.id: planned for planned in chosen if not planned.why_not}
    left_out = [planned for planned in chosen if planned.why_not]
    for name in canary:
        if name not in fitting:
            why = next((p.why_not for p in left_out if p.store.id == name), "it is not in the selection")
            raise RefusedError(f"canary store {name} cannot be in the plan: {why}")
    split = waves.split(list(fitting), canary, sizes) if fitting else []
    return Preview(waves=[[fitting[name] for name in wave] for wave in split], left_out=left_out)


def _planned(
    session: Session,
    store: StoreRow,
    wanted: Any,
    policy: Policy,
    target: str,
    from_versions: Sequence[str] | None,
    now: datetime,
) -> PlannedStore | None:
    hosts = fleet.hosts_of_store(session, store.id)
    versions = {host.version for host in hosts if host.version is not None}
    candidate = Candidate(
        store=store.id, client=store.client_id, zone=store.zone, tags=store.tags, versions=versions
    )
    if not selection.matches(wanted, candidate):
        return None
    freezes = freezes_of(session, store.client_id, store.id, now)
    span = windows.next_span(windows.parse(store.windows), store.zone, freezes, now, policy.need)
    registers = sum(host.role == "register" for host in hosts)
    alone = registers == 1
    return PlannedStore(
        store=store,
        hosts=hosts,
        budget=budgets.limit(registers, policy.cap, closed_or_consent=True),
        opens_at=span.start if span else None,
        ends_at=span.end if span else None,
        why_not=_why_not(store, hosts, span is not None, target, from_versions, policy),
        remark="its only register waits for closing time or consent" if alone else "",
    )


def _why_not(
    store: StoreRow,
    hosts: Sequence[HostRow],
    opens: bool,
    target: str,
    from_versions: Sequence[str] | None,
    policy: Policy,
) -> str:
    if sum(host.role == "server" for host in hosts) != 1:
        return "it has no SET server in the fleet: import it"
    if not store.windows:
        return "it has no window: give it one in the fleet file"
    if not opens:
        return (
            f"no window holds {policy.need.total_seconds() / 60:.0f} min within {windows.HORIZON.days} days"
        )
    if all(at_least(host.version, target) for host in hosts):
        return f"all its hosts run {target} or newer already"
    if from_versions is not None:
        unfit = sorted(
            {h.version for h in hosts if h.version is not None and not at_least(h.version, target)}
            - set(from_versions)
        )
        if unfit:
            return f"runs {', '.join(unfit)}; {target} follows only {', '.join(from_versions)}"
    return ""
