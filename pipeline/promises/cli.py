"""``garant eta``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.promises import service
from pipeline.promises.tables import PromiseRow


def as_dict(row: PromiseRow, revisions: list[dict[str, Any]]) -> dict[str, Any]:
    """A promise for programs; instants in UTC."""

    def told(at: datetime | None) -> str | None:
        return at.isoformat() if at else None

    return {
        "defect": row.defect_id,
        "client": row.client_id,
        "turn": row.turn,
        "state": row.state,
        "started_at": told(row.started_at),
        "due": told(row.due),
        "contract_due": told(row.contract_due),
        "zone": row.zone,
        "eta": row.eta.isoformat() if row.eta else None,
        "told_at": told(row.told_at),
        "held_at": told(row.held_at),
        "breached_at": told(row.breached_at),
        "warned_percent": row.warned,
        "revisions": revisions,
    }


@click.group()
def eta() -> None:
    """When clients are told that a defect will be fixed (the tariff's 3 days).

    \b
    Example:
      garant eta set D-000001 2026-03-24 --reason "fix reviewed, in the next release"
      garant eta list
    """


@eta.command("set")
@click.argument("defect")
@click.argument("date", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--reason", required=True, help="Why this date. Clients read it when a date they know changes.")
@json_option
@click.pass_obj
def set_(home: Path, defect: str, date: datetime, reason: str, json_: bool) -> None:
    """Set the date on which DEFECT will be fixed; each of its clients is told, once per change.

    \b
    Example:
      garant eta set D-000001 2026-03-27 --reason "one more check of returns is needed"
    """
    with opened(home) as app, app.unit(actor()) as unit:
        row = service.set_eta(unit, defect, date.date(), reason)
        promises = service.promises(unit.session, defect_id=defect, open_only=True)
        answer = {
            "defect": defect,
            "eta": row.eta.isoformat(),
            "revision": row.revision,
            "reason": row.reason,
            "clients": [promise.client_id for promise in promises],
        }
    if json_:
        as_json(answer)
    else:
        clients = ", ".join(promise.client_id for promise in promises) or "no client yet"
        click.echo(f"{defect}: {answer['eta']} (revision {answer['revision']}); told: {clients}")


@eta.command("list")
@click.option("--defect", help="Only this defect's.")
@click.option("--all", "all_", is_flag=True, help="Closed promises too.")
@json_option
@click.pass_obj
def list_(home: Path, defect: str | None, all_: bool, json_: bool) -> None:
    """List promises to clients, the one that is due first at the head.

    \b
    Example:
      garant eta list --defect D-000001
    """
    with opened(home) as app, app.database.reading() as session:
        rows = [
            as_dict(row, _revisions(session, row.defect_id))
            for row in service.promises(session, defect_id=defect, open_only=not all_)
        ]
    if json_:
        as_json(rows)
        return
    table = Table("defect", "client", "state", "due (UTC)", "date told", "told at (UTC)")
    for row in rows:
        told_at = (row["told_at"] or "")[:16]
        table.add_row(
            row["defect"], row["client"], row["state"], row["due"][:16], row["eta"] or "none", told_at
        )
    Console().print(table)


def _revisions(session: Any, defect_id: str) -> list[dict[str, Any]]:
    return [
        {
            "revision": row.revision,
            "eta": row.eta.isoformat(),
            "reason": row.reason,
            "set_at": row.set_at.isoformat(),
            "set_by": row.set_by,
        }
        for row in service.etas(session, defect_id)
    ]
