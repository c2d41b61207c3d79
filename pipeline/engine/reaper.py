"""Rings again for what was due and did not happen: lost bells, dead workers, engines that forgot.

Level-triggered: it looks at what is pending and overdue, not at who died. A bell may be late only because the
queue is long; ringing again at a fixed pace would then make the queue longer still (with a pace of one second
two workers once did nothing but answer bells). So each further ring for the same wake-up waits twice as long.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from pipeline.engine.port import Tick
from pipeline.engine.tables import WakeupRow
from pipeline.engine.unit import UnitOfWork

#: How late a bell may be before it counts as lost. More than an engine's polling and a long transaction.
GRACE = timedelta(seconds=20)
#: The wait doubles so often and no more: 20 s, 40 s, ... 21 minutes.
MOST_DOUBLINGS = 6


def ring_overdue(unit: UnitOfWork, *, grace: timedelta = GRACE, limit: int = 1000) -> list[Tick]:
    """Enqueue again what is pending and overdue by more than ``grace``; returns the new ticks.

    Two reapers at once do no harm: rows are locked, and a row rung by the other is no longer overdue.
    """
    overdue = unit.session.scalars(
        select(WakeupRow)
        .where(WakeupRow.pending, WakeupRow.reap_at < unit.now - grace)
        .order_by(WakeupRow.reap_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ticks = []
    for row in overdue:
        row.reap_at = unit.now + grace * (2 ** min(row.rings, MOST_DOUBLINGS) - 1)
        row.rings += 1
        row.seq += 1
        unit.session.flush()
        tick = Tick(kind=row.kind, thing_id=row.thing_id, seq=row.seq)
        unit.engine.enqueue(unit.session, tick, queue=row.queue, delay_seconds=0)
        ticks.append(tick)
    return ticks
