"""The bell of a case: warn our people of its clocks in time, once for each threshold."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.clocks.pages import Page, next_look, page_due
from pipeline.clocks.rules import Clock
from pipeline.clocks.service import case_clocks, pages_sent
from pipeline.engine.dispatch import TickFunction
from pipeline.engine.unit import UnitOfWork
from pipeline.fleet import service as fleet
from pipeline.intake.tables import CaseRow

if TYPE_CHECKING:
    from pipeline.application import Garant

#: Who is warned when a client has no service manager: a name, which notices send to the duty address.
DUTY = "duty engineer"


def ticks(app: Garant) -> dict[str, TickFunction]:
    """By kind of thing."""
    return {"case": tick_case}


def tick_case(unit: UnitOfWork, case_id: str) -> datetime | None:
    """Fire what the case's clocks have passed; returns when the next threshold comes.

    Each threshold (50, 75, 90 %, breach) fires once; after an outage only the highest one. The promise of
    an ETA is warned of here until a defect is recorded, and by ``pipeline.promises``, which knows the
    defect, from then on.
    """
    row = unit.session.get(CaseRow, case_id, with_for_update=True)
    if row is None or not row.eligible:
        return None
    clocks = case_clocks(unit.session, row, unit.now).clocks
    if row.defect_id is not None:
        clocks = tuple(clock for clock in clocks if clock.kind != "eta_notice")
    sent = pages_sent(unit.session, case_id)
    for clock in clocks:
        page = page_due(clock, sent)
        if page is not None:
            _send(unit, row, clock, page)
    # A closed case has no running clock but the promise of an ETA, which outlives it (sla-cases.json).
    return min((at for at in map(next_look, clocks) if at is not None), default=None)


def _send(unit: UnitOfWork, row: CaseRow, clock: Clock, page: Page) -> None:
    from pipeline.notices.service import internal

    client = fleet.client(unit.session, row.client_id)
    breach = page.percent == 100
    kind = "clock_breach" if breach else "clock_warning"
    params = {"case": row.id, "client_name": client.name, "clock": clock.kind}
    if breach:
        params["breached_at"] = page.at  # type: ignore[assignment]
    else:
        params |= {"percent": page.percent, "due": clock.due or page.at}  # type: ignore[dict-item]
    suffix = f"breach/{page.at:%Y%m%dT%H%M%S}" if breach else f"{page.percent}/{page.revision}"
    internal(
        unit,
        kind=kind,
        to=client.service_manager or DUTY,
        key=f"clock/{row.id}/{clock.kind}/{suffix}",
        params=params,
        about=("case", row.id),
    )
    unit.record(
        "case",
        row.id,
        kind,
        clock=page.clock,
        percent=page.percent,
        passed_at=page.at.isoformat(),
        revision=page.revision,
    )
