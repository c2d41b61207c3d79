"""``garant clocks replay`` as people and checks call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.clocks.cli import clocks, time_span
from pipeline.clocks.errors import ClocksFileError

FILE = Path(__file__).parent / "sla-cases.json"


def test_owner_file_as_json() -> None:
    """One document on stdout, every case with its clocks, exit 0."""
    done = CliRunner().invoke(clocks, ["replay", str(FILE), "--json"])

    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert len(told["cases"]) == 40
    assert {"clock", "state"} <= set(told["cases"][0]["clocks"][0])


def test_owner_file_has_no_differences() -> None:
    """The table comes with exit 0."""
    done = CliRunner().invoke(clocks, ["replay", str(FILE)])

    assert done.exit_code == 0
    assert "40 with expectations, 0 differ" in done.stderr


def test_difference_is_marked(tmp_path: Path) -> None:
    """What differs is named with both values, exit 1."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    document["cases"][0]["expect"][0]["elapsed_s"] = 1
    document["cases"][0]["expect"][0]["clock"] = "registration"
    document["cases"][2]["tickets"] = 2
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    done = CliRunner().invoke(clocks, ["replay", str(file)])

    assert done.exit_code == 1
    assert "elapsed_s: expected 1, found 900" in done.stdout
    assert "tickets: expected 2, found 1" in done.stdout
    assert "2 differ" in done.stderr


def test_file_without_expectations(tmp_path: Path) -> None:
    """`expect` may be missing: the clocks are shown, exit 0."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    case = document["cases"][0]
    del case["expect"]
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"cases": [case]}), encoding="utf-8")
    done = CliRunner().invoke(clocks, ["replay", str(file)])

    assert done.exit_code == 0
    assert "registration" in done.stdout


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is a refusal with its name."""
    done = CliRunner().invoke(clocks, ["replay", str(tmp_path / "none.json")])

    assert isinstance(done.exception, ClocksFileError)
    assert "none.json cannot be read" in str(done.exception)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0, "0:00:00"), (14399, "3:59:59"), (-61, "-0:01:01")]
)
def test_time_span(seconds: float | None, text: str) -> None:
    """Hours are not folded into days, overdue carries a sign."""
    assert time_span(seconds) == text
