"""``garant notices``, ``garant eta`` and ``garant defect`` as people and programs call them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from pipeline.application import Garant, system_clock
from pipeline.defects import service as defects
from pipeline.defects.cli import defect
from pipeline.engine.dbos import DbosEngine
from pipeline.errors import NotFoundError, RefusedError
from pipeline.intake import service as intake
from pipeline.notices.cli import notices
from pipeline.notices.rendering import kinds
from pipeline.promises.cli import eta

Call = Callable[..., Result]


@pytest.fixture
def call(chains: Garant, run: Callable[..., None]) -> Call:
    """Calls a command on a home with one defect of kupets, its first notices sent; raises what it raises."""
    with chains.unit("person:test") as unit:
        case = intake.open_case(
            unit,
            client_id="kupets",
            store_id="k-tverskaya",
            channel="phone",
            received_at=unit.now,
            subject="Чек не сходится",
            text="текст",
        )
        defects.record(
            unit,
            product="set10",
            signature="receipt-total",
            title="receipt does not add up",
            verdict="reproduced",
            version="10.4.2",
            case_id=case.id,
            steps={"en": ["open a shift"], "ru": ["открыть смену"]},
        )
    run()

    def invoke(command: click.Command, *arguments: str) -> Result:
        home: Path = chains.settings.home
        return CliRunner().invoke(command, list(arguments), obj=home, catch_exceptions=False)

    return invoke


def output(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_list_and_show(call: Call) -> None:
    """What was told is listed with its state, and shown by id or key as it was told."""
    rows = output(call(notices, "list", "--client", "kupets", "--json"))

    assert {row["kind"] for row in rows} == {"case_registered", "defect_recorded"}
    assert {(row["client"], row["language"], row["state"]) for row in rows} == {("kupets", "ru", "accepted")}
    told = output(call(notices, "show", "defect_recorded/D-000001/kupets/1", "--json"))
    assert "Номер ошибки: D-000001" in told["text"]
    assert told["evidence"][0]["code"] == 250
    assert "250" in call(notices, "show", told["id"]).output
    assert "defect_recorded" in call(notices, "list").output


def test_resend_refuses_with_the_next_action(call: Call) -> None:
    """The command line shows the service's own words."""
    with pytest.raises(RefusedError, match="nobody is told twice"):
        call(notices, "resend", "defect_recorded/D-000001/kupets/1")


@pytest.mark.parametrize("kind", kinds())
def test_preview_needs_nothing(kind: str) -> None:
    """Every kind can be looked at without a database."""
    told = output(CliRunner().invoke(notices, ["preview", kind, "--language", "en", "--json"]))

    assert set(told) == {"kind", "language", "subject", "text", "html"}


def test_eta(call: Call, chains: Garant) -> None:
    """Setting a date says who is told; the list shows the promise with its revisions."""
    engine = DbosEngine(chains.database)  # a command of its own enqueues through the durable engine
    engine.migrate()
    engine.stop()
    day = (system_clock() + timedelta(days=30)).date().isoformat()

    answer = output(call(eta, "set", "D-000001", day, "--reason", "planned", "--json"))

    assert answer == {
        "defect": "D-000001",
        "eta": day,
        "revision": 1,
        "reason": "planned",
        "clients": ["kupets"],
    }
    (promise,) = output(call(eta, "list", "--json"))
    assert (promise["client"], promise["eta"], promise["told_at"]) == ("kupets", day, None)
    assert [row["reason"] for row in promise["revisions"]] == ["planned"]
    assert "kupets" in call(eta, "list").output
    assert "revision 1" in call(eta, "set", "D-000001", day, "--reason", "again").output


@pytest.mark.parametrize(
    "arguments",
    [["set", "D-000001", "tomorrow", "--reason", "x"], ["set", "D-000001", "2026-03-24"], ["put"]],
)
def test_wrong_use_is_exit_2(call: Call, arguments: Sequence[str]) -> None:
    """A date that is none and a missing reason are wrong use, not failures."""
    assert call(eta, *arguments).exit_code == 2


def test_defect_list_and_show(call: Call) -> None:
    """A defect shows its findings, its clients and its cases."""
    (row,) = output(call(defect, "list", "--json"))

    assert row == output(call(defect, "show", "D-000001", "--json"))
    assert (row["state"], row["cases"], row["clients"][0]["client"]) == ("recorded", ["G-000001"], "kupets")
    assert "open a shift" in call(defect, "show", "D-000001").output
    assert "D-000001" in call(defect, "list").output
    with pytest.raises(NotFoundError, match="garant defect list"):
        call(defect, "show", "D-000002")
    with pytest.raises(RefusedError, match="no bundle"):
        call(defect, "file", "D-000001")


@pytest.mark.parametrize("group", [notices, eta, defect])
def test_help_teaches(group: click.Group) -> None:
    """Every command's help has an example."""
    for command in [group, *group.commands.values()]:
        assert "Example:" in str(command.help)
