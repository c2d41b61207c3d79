"""``garant diagnose``."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.diagnosis import service
from pipeline.diagnosis.tables import EvidenceRow
from pipeline.engine.watch import wait_for_job


@click.command()
@click.argument("case")
@click.option(
    "--hours",
    type=click.IntRange(1, 24 * 92),
    default=24,
    show_default=True,
    help="How far before the request the time in question begins, in hours.",
)
@json_option
@click.pass_obj
def diagnose(home: Path, case: str, hours: int, json_: bool) -> None:
    """Collect evidence from the store of CASE over SSH: versions, configuration, journals, logs, documents.

    Personal data is masked before anything is stored. What a host does not give is listed with the reason:
    partial evidence is evidence. Exit code 1 when nothing could be had at all.

    \b
    Example:
      garant diagnose G-000001
    """
    with opened(home) as app:
        with app.unit(actor()) as unit:
            evidence_id = service.request(unit, case, look_back=timedelta(hours=hours)).id
        wait_for_job(
            app,
            service.job_id(evidence_id),
            f"collecting evidence {evidence_id}",
            show=not json_,
            until=lambda: _settled(app, evidence_id),
        )
        with app.database.reading() as session:
            row = service.evidence(session, evidence_id)
    if json_:
        as_json(_as_json(row))
    else:
        _show(row)
    if row.state == "failed":
        click.echo(f"garant: no host of store {row.store_id} gave anything; see the reasons above", err=True)
        sys.exit(1)


def _settled(app: Any, evidence_id: str) -> bool:
    with app.database.reading() as session:
        return service.evidence(session, evidence_id).state != "collecting"


def _as_json(row: EvidenceRow) -> dict[str, Any]:
    return {
        "evidence": row.id,
        "case": row.case_id,
        "store": row.store_id,
        "state": row.state,
        "version": row.version,
        "folder": row.folder,
        "digest": row.digest,
        "window": {"from": row.window_from.isoformat(), "to": row.window_to.isoformat()},
        "figures": row.figures,
        "missing": row.missing,
    }


def _show(row: EvidenceRow) -> None:
    console = Console()
    figures = row.figures
    console.print(f"[bold]{row.id}[/] {row.state}: store {row.store_id}, version {row.version or 'unknown'}")
    if row.folder:
        console.print(f"{figures['files']} files, {figures['bytes']:,} bytes, masked, in {row.folder}")
    if row.missing:
        table = Table("host", "what", "reason", title="Not to be had", title_justify="left")
        for entry in row.missing:
            # Text: the host's words are shown, not read as markup
            table.add_row(*(Text(entry[name]) for name in ("host", "what", "reason")))
        console.print(table)
