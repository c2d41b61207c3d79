"""``garant clocks``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pipeline.cli import as_json, json_option
from pipeline.clocks.document import CaseDocument, differences, read_cases, replay_case


@click.group()
def clocks() -> None:
    """The tariff's clocks, derived from what happened.

    \b
    Example:
      garant clocks replay events.json
    """


@clocks.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def replay(file: Path, json_: bool) -> None:
    """Replay the events of FILE and show the clocks that they come to.

    FILE has the form of sla-cases.json: {"cases": [{"id", "tz", "events": [{"at", "type", ...}],
    "evaluate_at", "expect": [...]}]}. Instants carry a zone. Without `evaluate_at` the clocks are shown as
    they stood at the last event. Where a case has `expect`, differences are marked and the exit code is 1.

    \b
    Example:
      garant clocks replay cases.json
      garant clocks replay cases.json --json
    """
    cases = read_cases(file)
    answers = [replay_case(case) for case in cases]
    if json_:
        as_json({"cases": answers})
        return
    wrong = _show(cases, answers)
    expected = sum(case.expect is not None for case in cases)
    click.echo(f"{len(cases)} cases, {expected} with expectations, {wrong} differ", err=True)
    if wrong:
        sys.exit(1)


def _show(cases: list[CaseDocument], answers: list[dict[str, Any]]) -> int:
    table = Table("case", "clock", "state", "due (UTC)", "elapsed", "left", "difference")
    wrong = 0
    for case, answer in zip(cases, answers, strict=True):
        found = differences(case, answer)
        wrong += bool(found)
        for clock in answer["clocks"]:
            marks = [_mark(d) for d in found if d["clock"] == clock["clock"]]
            if clock["state"] == "absent" and not marks:
                continue
            table.add_row(
                case.id,
                clock["clock"],
                clock["state"],
                clock.get("due") or "-",
                time_span(clock.get("elapsed_s")),
                time_span(clock.get("remaining_s")),
                "\n".join(marks),
                style="bold red" if marks else None,
            )
        for difference in found:
            if difference["clock"] not in {clock["clock"] for clock in answer["clocks"]}:
                table.add_row(case.id, difference["clock"] or "-", "", "", "", "", _mark(difference))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return wrong


def _mark(difference: dict[str, Any]) -> str:
    return f"{difference['field']}: expected {difference['expected']}, found {difference['found']}"


def time_span(seconds: float | None) -> str:
    """Seconds as hours, minutes and seconds (``-0:10:00`` for overdue), ``-`` for None."""
    if seconds is None:
        return "-"
    whole = int(abs(seconds))
    sign = "-" if seconds < 0 else ""
    return f"{sign}{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
