"""``garant report``."""

from __future__ import annotations

import csv
import io
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli import as_json, json_option, opened
from pipeline.errors import GarantError
from pipeline.notices.params import one_line
from pipeline.reports import service
from pipeline.reports.rules import Promised, harmless

_SPANS = ("age", "to_reproduce", "to_file", "to_eta")


@click.group()
def report() -> None:
    """What happened, in figures.

    \b
    Example:
      garant report defects --month 2026-03
    """


@report.command()
@click.option("--client", help="Only this client's defects, and the promises given to it.")
@click.option(
    "--month", type=click.DateTime(["%Y-%m"]), help="Only defects recorded in this month (UTC): 2026-03."
)
@click.option(
    "--csv",
    "csv_",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the lines to FILE too, for a spreadsheet (spans in seconds).",
)
@json_option
@click.pass_obj
def defects(home: Path, client: str | None, month: datetime | None, csv_: Path | None, json_: bool) -> None:
    """How old defects are, how long each step took, and which promises were kept.

    Spans are elapsed time: to reproduce from the receipt of the first case, to file from the defect's
    record, to a date from the classification as a software defect. A closed defect ages no more. The last
    line holds medians over the defects that have the figure, and the sums of the promises.

    \b
    Example:
      garant report defects
      garant report defects --client kupets --month 2026-03 --csv march.csv
    """
    with opened(home) as app, app.database.reading() as session:
        found = service.defects(session, now=app.clock(), client_id=client, month=month)
    answer = as_dict(found)
    if csv_ is not None:
        _write(csv_, as_csv(answer["defects"]))
    if json_:
        as_json(answer)
    else:
        _show(found)
    if csv_ is not None:
        click.echo(f"{len(found.lines)} defects written to {csv_}", err=True)


def as_dict(found: service.DefectReport) -> dict[str, Any]:
    """The report for programs: spans in seconds, instants in UTC."""
    return {
        "defects": [
            {
                "defect": line.id,
                "product": line.product,
                "title": line.title,
                "state": line.times.state,
                "recorded_at": line.times.recorded_at.astimezone(UTC).isoformat(),
                **{f"{name}_s": _seconds(getattr(line.times, name)) for name in _SPANS},
                "fixed_in": line.times.fixed_in,
                "tracker_key": line.tracker_key,
                **_counts(line.promised),
            }
            for line in found.lines
        ],
        "total": {
            "defects": len(found.lines),
            **{f"median_{name}_s": _seconds(getattr(found, name)) for name in _SPANS},
            **_counts(found.promised),
        },
    }


def as_csv(lines: list[dict[str, Any]]) -> str:
    """Lines as CSV whose texts no spreadsheet takes for formulas."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for line in lines:
        writer.writerow(
            harmless(one_line(value)) if isinstance(value := line[name], str) else value for name in _COLUMNS
        )
    return out.getvalue()


_COLUMNS = (
    "defect",
    "product",
    "title",
    "state",
    "recorded_at",
    *(f"{name}_s" for name in _SPANS),
    "fixed_in",
    "tracker_key",
    *(f"promises_{name}" for name in ("kept", "breached", "pending", "void")),
)


def _write(path: Path, text: str) -> None:
    # Whole or not at all: somebody may be reading last month's.
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # The mark in front makes spreadsheets read Russian as UTF-8.
        partial.write_text(text, encoding="utf-8-sig", newline="")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise GarantError(
            f"report {path} cannot be written: {error.strerror}. Name a file in a folder that you may write"
        ) from error


def _show(found: service.DefectReport) -> None:
    table = Table(
        "defect", "title", "state", "age", "to reproduce", "to file", "to a date", "fixed in", "promises"
    )
    for line in found.lines:
        table.add_row(
            line.id,
            Text(one_line(line.title)),  # the product's words: no markup
            line.times.state,
            *(span(getattr(line.times, name)) for name in _SPANS),
            Text(line.times.fixed_in or "-"),
            _words(line.promised),
        )
    table.add_section()
    medians = (span(getattr(found, name)) for name in _SPANS)
    table.add_row(f"{len(found.lines)} defects", "median", "", *medians, "", _words(found.promised))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def span(value: timedelta | None) -> str:
    """A span for people: ``3d 04:05`` (days, hours, minutes), ``-`` when it is not known."""
    if value is None:
        return "-"
    minutes = int(value.total_seconds() // 60)
    days = f"{minutes // 1440}d " if minutes >= 1440 else ""
    return f"{days}{minutes // 60 % 24:02}:{minutes % 60:02}"


def _words(promised: Promised) -> str:
    counts = {name.removeprefix("promises_"): number for name, number in _counts(promised).items()}
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "none"


def _counts(promised: Promised) -> dict[str, int]:
    return {
        "promises_kept": promised.kept,
        "promises_breached": promised.breached,
        "promises_pending": promised.pending,
        "promises_void": promised.void,
    }


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()
