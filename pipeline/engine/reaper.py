"""Rings again for what was due and did not happen: lost bells, dead workers, engines that forgot.

Level-triggered: it looks at what is pending and overdue, not at who died. A new wake-up number makes the
old tick stale, so should the lost one turn up after all, it does nothing.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from pipeline.engine.port import Tick
from pipeline.engine.tables import WakeupRow
from pipeline.engine.unit import UnitOfWork

#: How late a bell may be before it counts as lost. More than an engine's polling and a long transaction.
GRACE = timedelta(seconds=20)


def ring_overdue(unit: UnitOfWork, *, grace: timedelta = GRACE, limit: int = 1000) -> list[Tick]:
    """Enqueue again what is pending and overdue by more than ``grace``; returns the new ticks.

    Two reapers at once do no harm: rows are locked, and a row rung by the other is no longer overdue.
    """
    overdue = unit.session.scalars(
        select(WakeupRow)
        .where(WakeupRow.pending, WakeupRow.due_at < unit.now - grace)
        .order_by(WakeupRow.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ticks = []
    for row in overdue:
        row.seq += 1
        row.due_at = unit.now
        unit.session.flush()
        tick = Tick(kind=row.kind, thing_id=row.thing_id, seq=row.seq)
        unit.engine.enqueue(unit.session, tick, queue=row.queue, delay_seconds=0)
        ticks.append(tick)
    return ticks
