"""Evidence: asked for, collected once, found again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.database.numbers import next_number
from pipeline.diagnosis import rules
from pipeline.diagnosis.recipe import Recipe
from pipeline.diagnosis.tables import EvidenceRow
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import NotFoundError, RefusedError
from pipeline.fleet import service as fleet
from pipeline.fleet.tables import HostRow
from pipeline.intake import service as intake
from pipeline.intake.tables import CaseRow

KIND = "evidence"
QUEUE = "diagnosis"
#: A whole store, over a slow or limited link, with its cuts waited for.
TIME_LIMIT = timedelta(hours=4)


def job_id(evidence_id: str) -> str:
    """The effect of collecting this evidence."""
    return f"diagnosis:{evidence_id}"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How evidence is to be collected, where that is not left to the settings.

    Attributes:
        look_back: how far before the request the time in question begins.
        since: when it begins (aware), instead of that.
        until: when it ends (aware); None: now.
        recipe: what is collected.
        bandwidth: bytes a second over the store's link.
    """

    look_back: timedelta = rules.LOOK_BACK
    since: datetime | None = None
    until: datetime | None = None
    recipe: Recipe | None = None
    bandwidth: int | None = None

    def as_json(self) -> dict[str, Any] | None:
        """For the row; None when nothing was said."""
        said = {"recipe": self.recipe.as_json() if self.recipe else None, "bandwidth": self.bandwidth}
        return {name: value for name, value in said.items() if value is not None} or None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a collection would ask of whom; nobody has been asked."""

    case_id: str
    store_id: str
    zone: str
    window_from: datetime
    window_to: datetime
    hosts: list[HostRow]


def plan(session: Session, case_id: str, asked: Asked, now: datetime) -> Plan:
    """What would be collected for the case; writes nothing.

    Raises:
        NotFoundError: no such case.
        RefusedError: the case is closed, its store is not known or has no hosts, or the window is none.
    """
    case = intake.case(session, case_id)
    if case.state == "closed":
        raise RefusedError(f"case {case_id} is closed: open a new one (`garant case open`)")
    if case.store_id is None:
        raise RefusedError(f"case {case_id} names no store: give it one (`garant case open --store`) first")
    hosts = list(fleet.hosts_of_store(session, case.store_id))
    if not hosts:
        raise RefusedError(
            f"store {case.store_id} of case {case_id} has no hosts: add them to the fleet file and import it"
        )
    try:
        begin, end = rules.window(
            case.received_at, now, asked.look_back, since=asked.since, until=asked.until
        )
    except ValueError as error:
        raise RefusedError(f"case {case_id}: the time in question is none: {error}") from None
    return Plan(
        case_id=case.id,
        store_id=case.store_id,
        zone=fleet.store(session, case.store_id).zone,
        window_from=begin,
        window_to=end,
        hosts=hosts,
    )


def request(unit: UnitOfWork, case_id: str, asked: Asked | None = None) -> EvidenceRow:
    """Have evidence collected from the case's store; a collection that still runs is joined, not repeated.

    Raises:
        NotFoundError: no such case.
        RefusedError: as ``plan``; or a collection of another window or recipe is at work.
    """
    asked = asked or Asked()
    # Locked: a person and the automatic start may ask at once, and both must get the same collection.
    unit.get(CaseRow, intake.case(unit.session, case_id).id, called="case")
    planned = plan(unit.session, case_id, asked, unit.now)
    running = unit.session.scalars(
        select(EvidenceRow).where(EvidenceRow.case_id == case_id, EvidenceRow.state == "collecting")
    ).first()
    if running is not None:
        _require_same(running, asked)
        return running
    row = EvidenceRow(
        id=f"E-{next_number(unit.session, KIND):06}",
        case_id=case_id,
        store_id=planned.store_id,
        window_from=planned.window_from,
        window_to=planned.window_to,
        asked=asked.as_json(),
        requested_by=unit.actor,
        missing=[],
        figures={},
        state="collecting",
        created_at=unit.now,
        updated_at=unit.now,
    )
    unit.session.add(row)
    unit.session.flush()
    recipe = asked.recipe.name if asked.recipe else None
    unit.record(KIND, row.id, "requested", case=case_id, store=row.store_id, recipe=recipe)
    unit.start_job(
        "diagnosis.collect", job_id(row.id), {"evidence": row.id}, owner=(KIND, row.id), queue=QUEUE,
        time_limit=TIME_LIMIT, max_attempts=3,
    )  # fmt: skip
    return row


def _require_same(running: EvidenceRow, asked: Asked) -> None:
    """Whoever asks for something else must not be given what runs as if it were that."""
    other_window = (asked.since is not None and asked.since != running.window_from) or (
        asked.until is not None and asked.until != running.window_to
    )
    wanted = asked.as_json() or {}
    if other_window or any((running.asked or {}).get(name) != value for name, value in wanted.items()):
        raise RefusedError(
            f"case {running.case_id}: {running.id} is being collected with another window or recipe: "
            f"wait until it is there (`garant evidence show {running.id}`), then ask again"
        )


def begin(unit: UnitOfWork, case_id: str) -> EvidenceRow | None:
    """Have evidence collected unasked, where that is possible and there is none yet; else None."""
    case = intake.case(unit.session, case_id)
    if case.store_id is None or not fleet.hosts_of_store(unit.session, case.store_id):
        return None
    known = select(EvidenceRow.id).where(EvidenceRow.case_id == case_id, EvidenceRow.state != "failed")
    if case.state == "closed" or unit.session.scalars(known).first() is not None:
        return None
    return request(unit, case_id)


def settle(unit: UnitOfWork, row: EvidenceRow, outcome: dict[str, Any] | None, error: str | None) -> None:
    """The collection is over: write down what it brought; the case's history says so too."""
    if outcome is None:
        row.state, row.missing = "failed", [{"host": "", "what": "everything", "reason": error or "unknown"}]
    else:
        row.state = rules.outcome(outcome["figures"]["files"], outcome["missing"])
        row.folder, row.digest, row.version = outcome["folder"], outcome["digest"], outcome["version"]
        row.missing, row.figures = outcome["missing"], outcome["figures"]
        row.collected_at = unit.now
    row.updated_at = unit.now
    unit.record(KIND, row.id, row.state, reason=error, digest=row.digest, missing=len(row.missing))
    unit.record("case", row.case_id, "diagnosed", evidence=row.id, state=row.state)


def evidence(session: Session, evidence_id: str) -> EvidenceRow:
    """The evidence by its id.

    Raises:
        NotFoundError: there is none.
    """
    row = session.get(EvidenceRow, evidence_id)
    if row is None:
        raise NotFoundError(
            f"no evidence {evidence_id!r}: see `garant evidence list`; `garant diagnose` collects"
        )
    return row


def all_evidence(
    session: Session, *, case_id: str | None = None, store_id: str | None = None, state: str | None = None
) -> list[EvidenceRow]:
    """Evidence of all cases, or of one case, store or state; the newest first."""
    query = select(EvidenceRow).order_by(EvidenceRow.id.desc())
    for column, value in (
        (EvidenceRow.case_id, case_id), (EvidenceRow.store_id, store_id), (EvidenceRow.state, state)
    ):  # fmt: skip
        if value is not None:
            query = query.where(column == value)
    return list(session.scalars(query))


def collected(session: Session, case_id: str) -> list[EvidenceRow]:
    """Everything that was or is being collected for the case, the newest first."""
    chosen = select(EvidenceRow).where(EvidenceRow.case_id == case_id)
    return list(session.scalars(chosen.order_by(EvidenceRow.id.desc())))


def latest(session: Session, case_id: str) -> EvidenceRow:
    """The newest usable evidence of the case.

    Raises:
        NotFoundError: none was collected, or only failed collections.
    """
    usable = select(EvidenceRow).where(EvidenceRow.case_id == case_id, EvidenceRow.state.in_(rules.USABLE))
    row = session.scalars(usable.order_by(EvidenceRow.id.desc())).first()
    if row is None:
        intake.case(session, case_id)
        raise NotFoundError(f"case {case_id} has no usable evidence: run `garant diagnose {case_id}` first")
    return row


@dataclass(frozen=True, kw_only=True)
class About:
    """What the collector must know of a store."""

    zone: str
    hosts: list[HostRow]
    #: The hosts that others are reached through, by id.
    jumps: dict[str, HostRow]


def about(session: Session, row: EvidenceRow) -> About:
    """The store's zone, its hosts, and how they are reached.

    Raises:
        NotFoundError: the store, or a host's jump host, is not in the fleet.
    """
    hosts = list(fleet.hosts_of_store(session, row.store_id))
    jumps = {host.jump: fleet.host(session, host.jump) for host in hosts if host.jump is not None}
    return About(zone=fleet.store(session, row.store_id).zone, hosts=hosts, jumps=jumps)
