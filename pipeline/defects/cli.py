"""``garant defect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.defects import queries, service
from pipeline.engine.tables import JobRow
from pipeline.errors import GarantError


@click.group()
def defect() -> None:
    """Confirmed faults of the product: what shows them, who has them, where development sees them.

    \b
    Example:
      garant defect list
      garant defect show D-000001
      garant defect file D-000001
    """


@defect.command("list")
@click.option(
    "--state",
    type=click.Choice(["recorded", "filed", "fixed", "closed", "reopened"]),
    help="Only those in this state.",
)
@json_option
@click.pass_obj
def list_(home: Path, state: str | None, json_: bool) -> None:
    """List defects, oldest first.

    \b
    Example:
      garant defect list --state filed
    """
    with opened(home) as app, app.database.reading() as session:
        rows = [queries.document(session, row) for row in queries.defects(session, state=state)]
    if json_:
        as_json(rows)
        return
    table = Table("id", "title", "state", "since", "fixed in", "tracker", "clients")
    for row in rows:
        since = row["first_bad_release"] or row["version"]
        clients = str(sum(not part["closed"] for part in row["clients"]))
        key = row["tracker"]["key"] or ""
        table.add_row(
            row["id"], escape(row["title"]), row["state"], since, row["fixed_in"] or "", key, clients
        )
    Console().print(table)


@defect.command()
@click.argument("defect_id", metavar="DEFECT")
@json_option
@click.pass_obj
def show(home: Path, defect_id: str, json_: bool) -> None:
    """Show everything known of a defect.

    \b
    Example:
      garant defect show D-000001 --json
    """
    with opened(home) as app, app.database.reading() as session:
        row = queries.document(session, queries.defect(session, defect_id))
    if json_:
        as_json(row)
        return
    for name, value in row.items():
        if value not in (None, [], {}) and name not in ("steps", "clients", "tracker"):
            click.echo(f"{name + ':':19}{', '.join(value) if name == 'cases' else value}")
    click.echo(
        f"{'tracker:':19}{row['tracker']['key'] or 'not filed'} {row['tracker']['url'] or ''}".rstrip()
    )
    for part in row["clients"]:
        click.echo(f"{'client:':19}{part['client']} ({'closed' if part['closed'] else 'open'})")
    for number, step in enumerate(row["steps"].get("en", []), 1):
        click.echo(f"{'step ' + str(number) + ':':19}{step}")


@defect.command()
@click.argument("defect_id", metavar="DEFECT")
@click.option("--wait", default=60.0, show_default=True, help="Seconds to wait for the tracker; 0: do not.")
@json_option
@click.pass_obj
def file(home: Path, defect_id: str, wait: float, json_: bool) -> None:
    """Hand a defect to development's tracker, its bundle attached. A worker does it (`garant worker`).

    Asked for again, it is the same one issue.

    \b
    Example:
      garant defect file D-000001
    """
    with opened(home) as app:
        with app.unit(actor()) as unit:
            service.file(unit, defect_id)
        if wait > 0:
            app.wait_until(lambda: _over(app, defect_id), seconds=wait, what=f"defect {defect_id}: filing it")
        with app.database.reading() as session:
            job = session.get(JobRow, service.filing_effect(defect_id))
            row = queries.document(session, queries.defect(session, defect_id))
    if job is not None and job.state == "failed":
        raise GarantError(f"defect {defect_id} could not be filed: {job.error}. Mend it and file it again")
    if json_:
        as_json(row)
    else:
        click.echo(f"{defect_id}: {row['tracker']['key'] or 'will be filed'} {row['tracker']['url'] or ''}")


def _over(app: Any, defect_id: str) -> bool:
    with app.database.reading() as session:
        job = session.get(JobRow, service.filing_effect(defect_id))
        filed = queries.defect(session, defect_id).tracker_key is not None
        return filed or (job is not None and job.state == "failed")
