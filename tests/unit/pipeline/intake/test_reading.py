"""The order in which cases need somebody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pipeline.application import Garant
from pipeline.database.history import history, newest_event
from pipeline.intake import reading, service


def opened(app: Garant) -> str:
    with app.unit("person:test") as unit:
        return service.open_case(
            unit,
            client_id="kupets",
            store_id="k-tverskaya",
            channel="phone",
            received_at=unit.now,
            subject="Касса стоит",
            text="Касса 1 стоит",
        ).id


def listed(app: Garant) -> list[tuple[str, float | None, float | None]]:
    with app.database.reading() as session:
        found = reading.by_time_left(session, app.clock())
    return [(one["id"], one["overdue_s"], one["remaining_s"]) for one in found]


def test_overdue_before_running_before_done(chains: Garant, clock: Any) -> None:
    """The longest overdue first, then the least time left, then what no clock runs for."""
    first, second = opened(chains), opened(chains)
    clock.advance(timedelta(hours=1))
    third = opened(chains)
    clock.advance(timedelta(hours=3, minutes=30))
    fourth = opened(chains)
    with chains.unit("person:test") as unit:
        service.restore(unit, second)
        service.close(unit, fourth, "done")

    assert listed(chains) == [
        (first, 1800.0, None),
        (third, None, 1800.0),
        (second, None, None),
        (fourth, None, None),
    ]


def test_a_history_is_the_things_own_and_the_newest_of_it(chains: Garant) -> None:
    """In the order of time, and no more than asked for."""
    one, other = opened(chains), opened(chains)
    with chains.database.reading() as session:
        whole = [event.type for event in history(session, "case", one)]
        last = [event.type for event in history(session, "case", one, limit=1)]
        before = newest_event(session)

    assert whole == ["received", "registered"]
    assert last == ["registered"]
    with chains.unit("person:test") as unit:
        service.restore(unit, other)
    with chains.database.reading() as session:
        assert newest_event(session) > before
