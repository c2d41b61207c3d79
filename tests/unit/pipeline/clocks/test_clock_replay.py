"""The clocks against the owner's 40 cases, and the conventions that those cases only name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipeline.clocks.document import CaseDocument, differences, read_cases, replay_case
from pipeline.clocks.errors import ClocksFileError
from pipeline.clocks.tariff import GARANT, contract_due, tariff_from

FILE = Path(__file__).parent / "sla-cases.json"
CASES = read_cases(FILE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_owner_case(case: CaseDocument) -> None:
    """Every clock and every further field of the owner's case comes out as it says."""
    assert case.expect

    assert differences(case, replay_case(case)) == []


def test_there_are_forty() -> None:
    """No case got lost on the way into the tests."""
    assert len(CASES) == 40


def test_built_in_tariff_is_the_owners() -> None:
    """The tariff in the code gives the same terms as the file's targets."""
    told = tariff_from(json.loads(FILE.read_text(encoding="utf-8"))["targets"])

    assert told == GARANT


def clocks(tmp_path: Path, *events: dict[str, Any], **case: Any) -> dict[str, dict[str, Any]]:
    """The clocks of one case by kind; ``at`` of the events is a time on 12 March 2026, UTC."""
    for event in events:
        if len(event["at"]) <= 8:
            event["at"] = f"2026-03-12T{event['at']}Z"
    document = {"cases": [{"id": "T", "tz": "Europe/Moscow", "events": list(events), **case}]}
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    answer = replay_case(read_cases(file)[0])
    return {clock["clock"]: clock for clock in answer["clocks"]} | {"case": answer}


def ev(at: str, kind: str, **data: Any) -> dict[str, Any]:
    return {"at": at, "type": kind, **data}


REGISTERED = {"at": "06:00:00", "type": "registered"}


def loyalty() -> list[dict[str, Any]]:
    return [dict(REGISTERED), ev("06:00:00", "classified", classes=["loyalty"])]


def test_one_second_late_is_breached(tmp_path: Path) -> None:
    """A second after due is a breach, dated at due."""
    got = clocks(tmp_path, ev("06:00:00", "received"), ev("06:15:01", "registered"))["registration"]

    assert (got["state"], got["breached_at"]) == ("breached", "2026-03-12T06:15:00Z")


@pytest.mark.parametrize(
    ("total", "down", "due"),
    [(10, 6, "08:00"), (10, 5, "10:00"), (2, 1, "10:00"), (3, 2, "08:00"), (1, 1, "08:00")],
)
def test_more_than_half_is_strict(tmp_path: Path, total: int, down: int, due: str) -> None:
    """More than 50 % of the registers is critical, exactly half is not."""
    got = clocks(tmp_path, dict(REGISTERED), ev("06:00:00", "registers_state", total=total, down=down))

    assert got["restore"]["due"] == f"2026-03-12T{due}:00Z"


def test_reclassification_past_the_new_due_breaches_at_the_reclassification(tmp_path: Path) -> None:
    """4 h to 2 h after 2.5 h: breached when reclassified, and the record says why."""
    got = clocks(tmp_path, *loyalty(), ev("08:30:00", "classified", classes=["registers_down_gt50"]))[
        "restore"
    ]

    assert (got["state"], got["breached_at"], got["cause"]) == (
        "breached",
        "2026-03-12T08:30:00Z",
        "reclassified",
    )


@pytest.mark.parametrize("by", ["service_manager", "anna"])
def test_breach_survives_a_downgrade_without_a_second_person(tmp_path: Path, by: str) -> None:
    """Only another person than the one who reclassifies can lift a breach."""
    got = clocks(
        tmp_path,
        dict(REGISTERED),
        ev("06:00:00", "classified", classes=["registers_down_gt50"]),
        ev("08:30:00", "classified", classes=["loyalty"], by="anna", approved_by=by),
        ev("09:30:00", "restored"),
    )["restore"]

    assert got["state"] == ("met" if by != "anna" else "breached")
    assert got["breached_at"] == (None if by != "anna" else "2026-03-12T08:00:00Z")


def test_pauses_are_united(tmp_path: Path) -> None:
    """Two overlapping pauses count once."""
    got = clocks(
        tmp_path,
        *loyalty(),
        ev("07:00:00", "pause", reason="waiting_client"),
        ev("07:30:00", "pause", reason="third_party"),
        ev("08:00:00", "resume", reason="waiting_client"),
        ev("08:30:00", "resume", reason="third_party"),
    )["restore"]

    assert (got["paused_s"], got["due"]) == (5400, "2026-03-12T11:30:00Z")


def test_waiting_for_development_never_pauses(tmp_path: Path) -> None:
    """The pause is refused and named; the clock runs on."""
    got = clocks(tmp_path, *loyalty(), ev("07:00:00", "pause", reason="waiting_development"))

    assert got["case"]["rejected_events"] == [2]
    assert got["restore"]["state"] == "running"


def test_reopened_after_a_day_is_another_request(tmp_path: Path) -> None:
    """Later than 24 hours the restored clock stays met, and the event is refused."""
    late = ev("2026-03-13T09:00:01Z", "reopened")
    got = clocks(tmp_path, *loyalty(), ev("09:00:00", "restored"), late)

    assert got["restore"]["state"] == "met"
    assert got["case"]["rejected_events"] == [3]


def test_two_agreements_the_second_after_the_term(tmp_path: Path) -> None:
    """A new agreement after the term was missed does not lift the breach."""
    got = clocks(
        tmp_path,
        dict(REGISTERED),
        ev("06:00:00", "classified", classes=["register_data_discrepancy"]),
        ev("07:00:00", "term_agreed", until="2026-03-12T08:00:00Z"),
        ev("09:00:00", "term_agreed", until="2026-03-12T12:00:00Z"),
    )["agreed_term"]

    assert (got["state"], got["breached_at"], got["revisions"]) == ("breached", "2026-03-12T08:00:00Z", 2)


def test_hard_bounce_leaves_the_other_channel(tmp_path: Path) -> None:
    """Met by the channel that accepted and did not bounce, at its time."""
    got = clocks(
        tmp_path,
        ev("06:00:00", "defect_recorded"),
        ev("07:00:00", "eta_notice_accepted", channel="email", revision=1),
        ev("08:00:00", "eta_notice_accepted", channel="portal", revision=1),
        ev("09:00:00", "bounced", channel="email", status="5.1.1", revision=1),
    )["eta_notice"]

    assert (got["state"], got["elapsed_s"]) == ("met", 7200)


@pytest.mark.parametrize(
    ("bounce", "state"),
    [
        ({"status": "5.1.1"}, "running"),
        ({"status": "4.4.7"}, "running"),
        ({"status": "4.0.0", "action": "failed"}, "running"),
        ({"status": "4.4.1", "action": "delayed"}, "met"),
    ],
)
def test_what_a_bounce_is(tmp_path: Path, bounce: dict[str, str], state: str) -> None:
    """5.x.x, 4.4.7 and Action: failed are final; a delay is not."""
    got = clocks(
        tmp_path,
        ev("06:00:00", "defect_recorded"),
        ev("07:00:00", "eta_notice_accepted", channel="email", revision=1),
        ev("08:00:00", "bounced", channel="email", **bounce),
    )["eta_notice"]

    assert got["state"] == state


def test_eta_ends_with_the_third_local_day_where_the_clocks_go_forward(tmp_path: Path) -> None:
    """72 elapsed hours would pass local midnight by an hour: the contract's day ends first."""
    got = clocks(tmp_path, ev("2026-03-28T22:30:00Z", "defect_recorded"), tz="Europe/Berlin")["eta_notice"]

    assert got["due"] == got["contract_due"] == "2026-03-31T22:00:00Z"


def test_contract_day_is_the_local_one() -> None:
    """A minute before midnight in Kamchatka still counts from that day."""
    event = datetime(2026, 3, 12, 11, 59, tzinfo=UTC)

    assert contract_due(event, ZoneInfo("Asia/Kamchatka")) == datetime(2026, 3, 15, 12, tzinfo=UTC)


def test_outage_fires_only_the_highest_warning(tmp_path: Path) -> None:
    """50 and 75 % passed while the engine was down: one page, for 75 %."""
    got = clocks(
        tmp_path,
        dict(REGISTERED),
        ev("06:00:00", "classified", classes=["registers_down_gt50"]),
        engine_down=["2026-03-12T06:50:00Z", "2026-03-12T07:35:00Z"],
        evaluate_at="2026-03-12T07:40:00Z",
    )

    assert got["restore"]["warnings"] == ["2026-03-12T07:30:00Z"]
    assert got["case"]["pages_after_return"] == 1


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (
            {"events": [{"at": "2026-03-12T06:00:00", "type": "registered"}]},
            "case T, event 0: registered: `at`",
        ),
        ({"events": [{"at": "yesterday", "type": "registered"}]}, "is no ISO 8601 instant"),
        ({"events": [{"at": "2026-03-12T06:00:00Z", "type": "regstered"}]}, "no event type 'regstered'"),
        (
            {
                "events": [
                    {"at": "2026-03-12T06:00:00Z", "type": "registered"},
                    {"at": "2026-03-12T06:00:00Z", "type": "classified", "classes": ["loyal"]},
                ]
            },
            "case T, event 1: no class 'loyal'",
        ),
        (
            {"events": [{"at": "2026-03-12T06:00:00Z", "type": "registers_state", "total": 2, "down": 3}]},
            "3 down of 2",
        ),
        ({"events": [{"at": "2026-03-12T06:00:00Z", "type": "pause"}]}, "`reason` is missing"),
        ({"events": []}, "case T: `events`"),
        ({"events": [{"at": "2026-03-12T06:00:00Z", "type": "registered"}], "tz": "Mars/X"}, "no time zone"),
        (
            {
                "events": [{"at": "2025-01-01T00:00:00Z", "type": "registered"}],
                "tariff_versions": [{"from": "2026-01-01", "name": "garant"}],
            },
            "no tariff version is in force",
        ),
    ],
)
def test_malformed_case_is_named(tmp_path: Path, case: dict[str, Any], says: str) -> None:
    """What is wrong, in which case and event."""
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"cases": [{"id": "T", **case}]}), encoding="utf-8")

    with pytest.raises(ClocksFileError) as error:
        read_cases(file)

    assert says in str(error.value)
    assert "case T" in str(error.value)


@pytest.mark.parametrize("text", ["", "[1,", "[]", '{"cases": 3}', "[" * 100_000])
def test_file_that_is_none(tmp_path: Path, text: str) -> None:
    """A file of another shape is refused by its name."""
    file = tmp_path / "cases.json"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ClocksFileError, match=r"cases\.json"):
        read_cases(file)


def test_terms_in_words() -> None:
    """A term that is none is named by its class."""
    with pytest.raises(ValueError, match="class loyalty"):
        tariff_from({"classes": {"loyalty": "soon"}})
    assert tariff_from({"restore_default_s": 60}).restore_default == timedelta(minutes=1)
