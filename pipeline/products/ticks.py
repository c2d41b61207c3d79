"""The watch's bell: begins a look when its time has come, takes its answer, and says when to look again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.engine.dispatch import TickFunction
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork
from pipeline.products import rules, service
from pipeline.products.tables import ProductWatchRow

if TYPE_CHECKING:
    from pipeline.application import Garant


def ticks(app: Garant) -> Mapping[str, TickFunction]:
    """By kind of thing."""

    def tick(unit: UnitOfWork, product: str) -> datetime | None:
        return tick_product(unit, product, app)

    return {service.KIND: tick}


def tick_product(unit: UnitOfWork, product: str, app: Garant) -> datetime | None:
    """Level-triggered: whatever rang, the row says what is to be done."""
    row = unit.get(ProductWatchRow, product, called="product")
    every = timedelta(seconds=app.settings.product_poll_s)
    if not row.settled:
        job = unit.session.get(JobRow, service.look_effect(row))
        if job is None or job.state not in ("done", "failed"):
            return None  # its outcome rings
        outcome = job.outcome or {"versions": {}, "error": job.error or "no reason is known"}
        service.settle_look(unit, row, outcome["versions"], outcome["error"])
        if row.again and app.settings.product is not None:
            service.begin_look(unit, row, app.settings.product)
            return None
        return unit.now + rules.next_look(every, row.failures)
    wait = rules.next_look(every, row.failures) if row.looks else timedelta(0)
    if unit.now < row.updated_at + wait:
        return row.updated_at + wait
    if app.settings.product is None:
        return None  # taken out of the settings: a worker that finds it there again watches on
    service.begin_look(unit, row, app.settings.product)
    return None
