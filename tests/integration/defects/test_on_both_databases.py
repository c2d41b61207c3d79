"""A defect's whole way, and two workers at once, on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from pipeline.application import Garant
from pipeline.database import Database
from pipeline.defects import service
from pipeline.defects.tables import DefectRow
from pipeline.engine.memory import MemoryEngine
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import ConflictError
from pipeline.fleet.tables import ClientRow, HostRow, StoreRow
from pipeline.intake import service as intake
from pipeline.notices import service as notices
from pipeline.notices.tables import NoticeRow
from pipeline.promises import service as promises
from pipeline.settings import Settings


@pytest.fixture
def garant(database: Database, tmp_path: Path, clock: Any) -> Iterator[Garant]:
    """One client with one store and one register."""
    numbers = itertools.count(1)
    app = Garant(
        Settings(home=tmp_path / "home"),
        database=database,
        engine=MemoryEngine(clock),
        clock=clock,
        new_id=lambda: f"id{next(numbers):04}",
    )
    stamp: dict[str, Any] = {"created_at": clock.now, "updated_at": clock.now, "state": "active"}
    with app.unit("person:test") as unit:
        contact = {"name": "IT", "channel": "email", "address": "it@kupets.invalid"}
        zone = "Europe/Moscow"
        unit.session.add(
            ClientRow(
                id="kupets",
                name="Купец",
                language="ru",
                zone=zone,
                tariff="contract",
                contacts=[contact],
                **stamp,
            )
        )
        unit.session.flush()
        unit.session.add(
            StoreRow(
                id="k1",
                client_id="kupets",
                name="К1",
                zone=zone,
                windows=[],
                trading_hours=[],
                tags=[],
                **stamp,
            )
        )
        unit.session.flush()
        unit.session.add(
            HostRow(
                id="k1-r1",
                store_id="k1",
                role="register",
                register=1,
                address="127.0.0.1",
                port=22,
                user="root",
                host_key="ssh-ed25519 AAAA",
                version="10.4.2",
                **stamp | {"state": "in-service"},
            )
        )
    yield app
    app.close()


def record(unit: UnitOfWork, case: str | None = None) -> DefectRow:
    return service.record(
        unit,
        product="set10",
        signature="receipt-total",
        title="receipt does not add up",
        verdict="reproduced",
        version="10.4.2",
        rate=0.5,
        interval=(0.3, 0.7),
        case_id=case,
    )[0]


def test_the_whole_way(garant: Garant, clock: Any) -> None:
    """Recorded, dated, fixed, verified, closed: the same on both databases."""

    def work() -> None:
        assert isinstance(garant.engine, MemoryEngine)
        garant.engine.run_due(garant.dispatcher("test"))

    with garant.unit("person:test") as unit:
        case = intake.open_case(
            unit,
            client_id="kupets",
            store_id="k1",
            channel="phone",
            received_at=unit.now,
            subject="Чек",
            text="текст",
        )
        defect = record(unit, case.id).id
    work()
    with garant.unit("person:dev") as unit:
        promises.set_eta(unit, defect, (unit.now + timedelta(days=9)).date(), "planned")
    work()
    with garant.unit("worker:bench") as unit:
        service.mark_fixed(unit, defect, "10.4.3")
    with garant.unit("worker:rollout") as unit:
        assert service.store_verified(unit, "k1", "10.4.3") == [defect]
    work()

    with garant.database.reading() as session:
        assert session.get_one(DefectRow, defect).state == "closed"
        told = {row.kind: row.state for row in notices.notices(session, client_id="kupets")}
        (promise,) = promises.promises(session)
    kinds = {"case_registered", "defect_recorded", "eta", "fix_released", "fixed_in_your_stores"}
    assert told == dict.fromkeys(kinds, "accepted")
    assert (promise.state, promise.told_at) == ("closed", clock.now)


def at_once(garant: Garant, work: Callable[[UnitOfWork], object]) -> int:
    """Two workers do the same at the same time; a conflict is done again. Returns the conflicts."""
    barrier, conflicts, errors = threading.Barrier(2), [], []

    def worker() -> None:
        barrier.wait()
        for _ in range(5):
            try:
                with garant.unit("worker:test") as unit:
                    work(unit)
                return
            except ConflictError as error:
                conflicts.append(error)
            except Exception as error:  # shown by the assertion below
                errors.append(error)
                return

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return len(conflicts)


def test_two_workers_record_one_defect(garant: Garant) -> None:
    """The same signature from two benches at once is one defect."""
    at_once(garant, record)

    with garant.database.reading() as session:
        assert session.scalars(select(DefectRow.id)).all() == ["D-000001"]


def test_two_workers_queue_one_notice(garant: Garant) -> None:
    """The same key from two workers at once is one notice."""

    def queue(unit: UnitOfWork) -> None:
        notices.queue(
            unit,
            kind="eta",
            client_id="kupets",
            key="eta/D-000001/kupets/1/1",
            params={"defect": "D-000001", "cases": ["G-000001"], "eta": "2026-03-24"},
            about=("promise", "x"),
        )

    at_once(garant, queue)

    with garant.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(NoticeRow)) == 1


def test_a_date_that_was_not_told_gives_way(garant: Garant) -> None:
    """Two dates before the first mail went out are one notice, of the last date."""
    with garant.unit("person:test") as unit:
        case = intake.open_case(
            unit,
            client_id="kupets",
            store_id="k1",
            channel="phone",
            received_at=unit.now,
            subject="Чек",
            text="текст",
        )
        defect = record(unit, case.id).id
    for days in (9, 12):
        with garant.unit("person:dev") as unit:
            promises.set_eta(unit, defect, (unit.now + timedelta(days=days)).date(), "planned")
    assert isinstance(garant.engine, MemoryEngine)
    garant.engine.run_due(garant.dispatcher("test"))

    with garant.database.reading() as session:
        told = [row.state for row in notices.notices(session, kind="eta")]
    assert sorted(told) == ["accepted", "superseded"]
