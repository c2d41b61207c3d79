"""Warnings and breaches of a case, on virtual time, through the engine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.application import Garant
from pipeline.clocks.ticks import tick_case
from pipeline.database.base import EventRow
from pipeline.defects import service as defects
from pipeline.fleet.tables import ClientRow
from pipeline.intake import progress, service
from pipeline.notices.tables import NoticeRow


@pytest.fixture
def case_id(app: Garant) -> str:
    """A case of an eligible client, classified with 4 hours."""
    with app.unit("person:anna") as unit:
        unit.session.add(
            ClientRow(
                id="kupets",
                name="Купец",
                language="ru",
                zone="Europe/Moscow",
                tariff="contract",
                contacts=[],
                service_manager="boss@support.invalid",
                state="active",
                created_at=unit.now,
                updated_at=unit.now,
            )
        )
    with app.unit("person:anna") as unit:
        row = service.open_case(
            unit,
            client_id="kupets",
            store_id=None,
            channel="phone",
            received_at=unit.now,
            subject="Карты",
            text="не работают",
        )
        service.classify(unit, row.id, ["loyalty"])
        return row.id


def tick(app: Garant, case_id: str) -> Any:
    with app.unit("worker:test") as unit:
        return tick_case(unit, case_id)


def pages(app: Garant) -> list[tuple[str, int]]:
    chosen = (
        select(EventRow).where(EventRow.type.in_(("clock_warning", "clock_breach"))).order_by(EventRow.id)
    )
    with app.database.reading() as session:
        return [(row.payload["clock"], row.payload["percent"]) for row in session.scalars(chosen)]


def test_each_threshold_fires_once(app: Garant, clock: Any, case_id: str) -> None:
    """Following the wake-ups gives 50, 75, 90 % and the breach, each once, however often it is rung."""
    while (again := tick(app, case_id)) is not None:
        tick(app, case_id)
        clock.now = again
    tick(app, case_id)

    assert pages(app) == [("restore", 50), ("restore", 75), ("restore", 90), ("restore", 100)]
    with app.database.reading() as session:
        told = session.scalars(
            select(NoticeRow).where(NoticeRow.kind.in_(("clock_warning", "clock_breach")))
        ).all()
    assert {row.recipient for row in told} == {"boss@support.invalid"}
    assert len(told) == 4


def test_after_an_outage_only_the_highest(app: Garant, clock: Any, case_id: str) -> None:
    """50 and 75 % passed while nobody looked: one warning; then the breach, without the 90 %."""
    clock.advance(timedelta(hours=3, minutes=10))
    tick(app, case_id)
    clock.advance(timedelta(hours=1))
    tick(app, case_id)

    assert pages(app) == [("restore", 75), ("restore", 100)]


def test_breach_is_dated_at_due(app: Garant, clock: Any, case_id: str) -> None:
    """Hours after the fact the breach still carries the due instant."""
    due = clock.now + timedelta(hours=4)
    clock.advance(timedelta(hours=9))
    tick(app, case_id)

    with app.database.reading() as session:
        row = session.scalars(select(EventRow).where(EventRow.type == "clock_breach")).one()
    assert row.payload["passed_at"] == due.isoformat()


def test_nothing_at_exactly_due(app: Garant, clock: Any, case_id: str) -> None:
    """At the due instant the clock can still be met."""
    clock.advance(timedelta(hours=4))
    tick(app, case_id)

    assert pages(app) == [("restore", 90)]


def test_paused_case_is_quiet(app: Garant, clock: Any, case_id: str) -> None:
    """While the clock stands nothing is warned of and nothing wakes; afterwards it goes on."""
    clock.advance(timedelta(hours=1))
    with app.unit("person:anna") as unit:
        progress.pause(unit, case_id, "waiting_client")
    assert tick(app, case_id) is None
    clock.advance(timedelta(hours=30))
    with app.unit("person:anna") as unit:
        progress.resume(unit, case_id)

    assert tick(app, case_id) == clock.now + timedelta(hours=1)
    assert pages(app) == []


def test_closed_case_is_never_warned_of(app: Garant, clock: Any, case_id: str) -> None:
    """Closing cancels what still runs."""
    with app.unit("person:anna") as unit:
        service.close(unit, case_id, "отозвано")
    clock.advance(timedelta(hours=9))

    assert tick(app, case_id) is None
    assert pages(app) == []


def test_engine_rings_the_bells(app: Garant, clock: Any, case_id: str) -> None:
    """The same through the real dispatcher: nobody calls tick_case by hand."""
    for _ in range(60):
        app.engine.run_due(app.dispatcher())  # type: ignore[attr-defined]
        clock.advance(timedelta(minutes=5))

    assert pages(app) == [("restore", 50), ("restore", 75), ("restore", 90), ("restore", 100)]


@pytest.fixture
def suspected(app: Garant, case_id: str) -> str:
    """The case, classified as a software defect that nobody has reproduced; SET itself works again."""
    with app.unit("person:anna") as unit:
        service.classify(unit, case_id, ["loyalty"], software_defect=True)
        service.restore(unit, case_id)
    return case_id


def follow(app: Garant, clock: Any, case_id: str) -> None:
    """Look whenever the last look asked for it, until nothing more can come."""
    while (again := tick(app, case_id)) is not None:
        clock.now = again


def test_eta_without_a_defect_is_warned_of(app: Garant, clock: Any, suspected: str) -> None:
    """No defect is recorded within 72 hours: the case's own bell warns, since no promise can."""
    follow(app, clock, suspected)

    assert pages(app) == [("eta_notice", 50), ("eta_notice", 75), ("eta_notice", 90), ("eta_notice", 100)]


def test_eta_outlives_the_closed_case(app: Garant, clock: Any, suspected: str) -> None:
    """The client still waits for the date when its case was closed after a workaround."""
    with app.unit("person:anna") as unit:
        service.close(unit, suspected, "workaround")
    follow(app, clock, suspected)

    assert ("eta_notice", 100) in pages(app)


def test_promise_takes_over_from_the_case(app: Garant, clock: Any, suspected: str) -> None:
    """From the record of the defect on, the case is silent of the ETA: the promise warns of it."""
    clock.advance(timedelta(hours=37))
    tick(app, suspected)
    with app.unit("person:anna") as unit:
        defects.record(
            unit,
            product="set10",
            signature="receipt-arithmetic/lines-sum",
            title="Lines differ from the total",
            verdict="reproduced",
            version="v10.4.7.0",
            case_id=suspected,
        )
    follow(app, clock, suspected)

    assert pages(app) == [("eta_notice", 50)]
