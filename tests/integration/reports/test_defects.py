"""The report on defects, on SQLite and on PostgreSQL, and as a person asks for it."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.application import Garant
from pipeline.cli import garant as command
from pipeline.database import Database
from pipeline.defects import service as defects
from pipeline.defects.tables import DefectRow
from pipeline.engine.memory import MemoryEngine
from pipeline.errors import GarantError, NotFoundError
from pipeline.fleet.tables import ClientRow
from pipeline.intake import service as intake
from pipeline.promises import service as promises
from pipeline.reports import service
from pipeline.reports.rules import Promised
from pipeline.settings import Settings

HOUR = timedelta(hours=1)
HOSTILE = '=HYPERLINK("http://evil.invalid")\n[red]x\x1b[31m'


@pytest.fixture
def told(database: Database, tmp_path: Path, clock: Any) -> Iterator[Garant]:
    """D-000001 is of kupets, filed, dated; D-000002 is of both clients, a month later, and nothing more."""
    home = tmp_path / "home"
    home.mkdir()
    url = database.url.render_as_string(hide_password=False)
    (home / "garant.yaml").write_text(json.dumps({"database_url": url}))
    numbers = itertools.count(1)
    app = Garant(
        Settings(home=home, database_url=url),
        database=database,
        engine=MemoryEngine(clock),
        clock=clock,
        new_id=lambda: f"id{next(numbers):04}",
    )
    with app.unit("person:test") as unit:
        for name in ("kupets", "norden"):
            unit.session.add(
                ClientRow(
                    id=name,
                    name=name,
                    language="en",
                    zone="Europe/Moscow",
                    tariff="contract",
                    contacts=[{"name": "IT", "channel": "email", "address": f"it@{name}.invalid"}],
                    state="active",
                    created_at=unit.now,
                    updated_at=unit.now,
                )
            )
    seen(app, clock, "kupets", "receipt-total", HOSTILE)
    clock.advance(HOUR)
    with app.unit("worker:tracker") as unit:
        defects.mark_filed(unit, unit.get(DefectRow, "D-000001"), {"tracker": "local", "key": "SET-1"})
    clock.advance(HOUR)
    with app.unit("person:dev") as unit:
        promises.set_eta(unit, "D-000001", (unit.now + timedelta(days=9)).date(), "planned")
    work(app)
    clock.advance(timedelta(days=30))
    for client in ("kupets", "norden"):
        seen(app, clock, client, "z-report", "Z report differs")
    clock.advance(4 * HOUR)
    yield app
    app.close()


def work(app: Garant) -> None:
    assert isinstance(app.engine, MemoryEngine)
    app.engine.run_due(app.dispatcher("test"))


def seen(app: Garant, clock: Any, client: str, signature: str, title: str) -> None:
    """A case that takes two hours to be played again."""
    with app.unit("person:test") as unit:
        case = intake.open_case(
            unit,
            client_id=client,
            store_id=None,
            channel="phone",
            received_at=unit.now,
            subject="s",
            text="t",
        ).id
        intake.classify(unit, case, ["register_typical_ops"], software_defect=True)
    clock.advance(2 * HOUR)
    with app.unit("worker:bench") as unit:
        defects.record(
            unit,
            product="set10",
            signature=signature,
            title=title,
            verdict="reproduced",
            version="10.4.2",
            case_id=case,
        )


def report(app: Garant, **filters: Any) -> service.DefectReport:
    with app.database.reading() as session:
        return service.defects(session, now=app.clock(), **filters)


def test_figures(told: Garant) -> None:
    """Ages, terms, promises and medians, as the events say."""
    found = report(told)

    first, second = found.lines
    assert (first.times.state, first.times.age) == ("filed", timedelta(days=30) + 10 * HOUR)
    assert (first.times.to_reproduce, first.times.to_file, first.times.to_eta) == (2 * HOUR, HOUR, 4 * HOUR)
    assert (second.times.state, second.times.to_reproduce, second.times.to_file) == (
        "recorded",
        2 * HOUR,
        None,
    )
    assert (first.promised, second.promised) == (Promised(kept=1), Promised(pending=2))
    assert found.promised == Promised(kept=1, pending=2)
    assert (found.to_file, found.to_reproduce) == (HOUR, 2 * HOUR)
    assert found.age == timedelta(days=15) + 8 * HOUR


def test_filters(told: Garant) -> None:
    """A client sees its own defects and promises only; a month, what was recorded in it."""
    norden = report(told, client_id="norden")
    march = report(told, month=datetime(2026, 3, 1))  # noqa: DTZ001 - a month, as the command line gives it

    assert [(line.id, line.promised) for line in norden.lines] == [("D-000002", Promised(pending=1))]
    assert [line.id for line in march.lines] == ["D-000001"]
    assert report(told, month=datetime(2025, 3, 1)).lines == []  # noqa: DTZ001 - a month
    with pytest.raises(NotFoundError, match="kupez"):
        report(told, client_id="kupez")


def test_the_command(told: Garant, tmp_path: Path) -> None:
    """A table for people, a document for programs, a file for spreadsheets that computes nothing."""
    home = ["--home", str(told.settings.home), "report", "defects"]
    table = CliRunner().invoke(command, home, catch_exceptions=False)
    file = tmp_path / "report.csv"
    both = CliRunner().invoke(command, [*home, "--json", "--csv", str(file)], catch_exceptions=False)

    assert "D-000001" in table.stdout
    assert "\x1b" not in table.stdout
    assert "median" in table.stdout
    assert json.loads(both.stdout)["total"]["promises_kept"] == 1
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["defect"] for row in rows] == ["D-000001", "D-000002"]
    assert rows[0]["title"] == '\'=HYPERLINK("http://evil.invalid") [red]x [31m'
    assert (rows[0]["to_file_s"], rows[1]["to_file_s"]) == ("3600.0", "")
    with pytest.raises(GarantError, match="cannot be written"):
        CliRunner().invoke(command, [*home, "--csv", str(tmp_path / "no" / "x.csv")], catch_exceptions=False)
