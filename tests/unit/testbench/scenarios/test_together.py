"""Events at the same moment: in a scenario, in words, and found again in a store's journals."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from testbench.scenarios import Scenario, from_evidence, read, write
from testbench.scenarios.composing import Composer
from testbench.scenarios.description import describe

START = datetime(2025, 11, 23, 5, tzinfo=UTC)
LOGINS = [(1, f"login:{tab}", "shift.open", {"tab_number": tab}) for tab in ("17", "18")]


def composed() -> Scenario:
    composer = Composer(START)
    composer.do(1, "price", "price.check", barcode="1")
    composer.at_once(*LOGINS)
    composer.do(1, "price", "price.check", barcode="1")
    return composer.scenario()


def test_moment_survives_the_folder(tmp_path: Path) -> None:
    """Two events of one moment have one number; those that are alone are written as before it was known."""
    write(composed(), tmp_path)
    record = json.loads((tmp_path / "scenario.json").read_text())

    assert read(tmp_path) == composed()
    assert [event.get("together", "alone") for event in record["events"]] == ["alone", 1, 1, "alone"]
    assert composed().events[1].at == composed().events[2].at


def test_moment_decides_how_it_plays() -> None:
    """The same events one after the other are another scenario."""
    scenario = composed()
    in_turn = scenario.replaced(events=[e.model_copy(update={"together": None}) for e in scenario.events])

    assert in_turn.digest != scenario.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "restart", "payload": {}, "together": 1}, "restart cannot be played together"),
        ({"together": None}, None),
    ],
)
def test_only_requests_can_be_together(change: dict[str, Any], message: str | None) -> None:
    """A kill of a process is no request; the message says what to leave out."""
    record = composed().as_json()
    record["events"][1].update(change)
    if message is None:
        assert Scenario.model_validate(record).size == 4
    else:
        with pytest.raises(ValidationError, match=message):
            Scenario.model_validate(record)


def test_group_must_not_be_broken() -> None:
    """An event between two of one moment is a contradiction."""
    events = list(composed().events)
    events[2], events[3] = events[3], events[2]
    renumbered = [event.model_copy(update={"seq": place}) for place, event in enumerate(events, 1)]

    with pytest.raises(ValidationError, match="without a gap"):
        composed().replaced(events=renumbered)


def test_words_say_that_it_is_one_moment() -> None:
    """One numbered step for what a person has to do with two hands."""
    english, russian = describe(composed()).splitlines(), describe(composed(), "ru").splitlines()

    assert len(english) == 3
    assert english[1].startswith(
        "2. At the same moment: Register 1: open the shift (cashier 17). Register 1:"
    )
    assert russian[1].startswith("2. Одновременно: Касса 1:")


def _login(seq: int, tab: str, began: str, at: str) -> dict[str, Any]:
    return {
        "seq": seq,
        "began": f"2025-11-23T10:00:{began}+03:00",
        "at": f"2025-11-23T10:00:{at}+03:00",
        "shift": seq,
        "unit": f"shift:{seq}",
        "type": "shift.open",
        "payload": {"tab_number": tab},
    }


@pytest.mark.parametrize(
    ("began", "expected"), [("00.020", [1, 1]), ("00.200", [None, None]), ("no time", [None, None])]
)
def test_journal_shows_who_met(evidence: Callable[..., Path], began: str, expected: list[int | None]) -> None:
    """A login that came in before the other was done is played at the same moment; a later one is not."""
    entries = [_login(1, "17", "00.000", "00.100"), _login(2, "18", began, "00.300")]

    scenario = from_evidence(evidence(register=entries))

    assert [event.together for event in scenario.events] == expected


def test_other_work_at_the_same_time_is_played_in_turn(evidence: Callable[..., Path]) -> None:
    """Only what can disturb each other is played at once: that keeps other runs repeatable."""
    sale = [
        {**_login(number, "17", "00.000", f"00.{number}00"), "type": kind, "payload": payload}
        for number, (kind, payload) in enumerate(
            [("price.check", {"barcode": "1"}), ("price.check", {"barcode": "1"})], 1
        )
    ]

    scenario = from_evidence(evidence(register=sale))

    assert {event.together for event in scenario.events} == {None}


def test_charge_of_bonuses_is_taken_from_the_server_s_journal(evidence: Callable[..., Path]) -> None:
    """The processing service's charge is an event of the server; an unusable one is noted."""
    charge = {
        "seq": 1,
        "at": "2025-11-23T10:00:00+03:00",
        "unit": "bonus:1",
        "type": "bonus.charge",
        "payload": {"card_number": "2013800000017", "amount": 5000},
    }
    broken = {**charge, "seq": 2, "payload": {"card_number": "2013800000017", "amount": "much"}}

    scenario = from_evidence(evidence(server=[charge, broken]))

    assert [(event.type, event.payload) for event in scenario.events] == [
        ("bonus.charge", {"card": "2013800000017", "amount": 5000})
    ]
    assert any("bonus.charge" in note for note in scenario.notes)
