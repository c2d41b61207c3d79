"""``garant tracker``."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.engine.watch import wait_for_job
from pipeline.errors import GarantError, RefusedError
from pipeline.trackers import reading, service
from pipeline.trackers.jobs import open_tracker
from pipeline.trackers.local import LocalTracker


@click.group()
def tracker() -> None:
    """Development's tracker: what it says of our defects, and whether the settings fit it.

    \b
    Example:
      garant tracker check
      garant tracker status
    """


@tracker.command()
@json_option
@click.pass_obj
def status(home: Path, json_: bool) -> None:
    """Show what is filed, what development says of it, what it asked for, and when we look next.

    \b
    Example:
      garant tracker status
    """
    with opened(home) as app, app.database.reading() as session:
        document = reading.status(session, app.settings.tracker)
    if json_:
        as_json(document)
        return
    where = document["url"] or "in the database"
    click.echo(f"tracker: {document['kind']}, project {document['project']}, {where}")
    looks = document["looks"]
    click.echo(f"last look: {looks['last'] or 'none yet'}; next: {looks['next'] or 'none is set'}")
    if looks["said"]:
        click.echo(f"it said: {looks['said']}")
    table = Table("defect", "issue", "status", "due", "fix version", "requests")
    for row in document["issues"]:
        due, versions = row["due"] or "", ", ".join(row["fix_versions"])
        cells = (row["key"], row["status"] or "not looked at yet", due, versions, str(row["requests"]))
        table.add_row(row["defect"], *map(escape, cells))
    Console().print(table)
    for job in document["trouble"]:
        click.echo(f"{job['effect']}: {job['state']}: {job['error']}")


@tracker.command()
@json_option
@click.pass_obj
def sync(home: Path, json_: bool) -> None:
    """Look at the issues of all filed defects now: due dates, fix versions, states, requests.

    Polling and the webhook do it by themselves; this is for when they could not, or to begin with polling
    after a change of the settings. Exit code 1 when an issue could not be looked at.

    \b
    Example:
      garant tracker sync
    """
    with opened(home) as app:
        with app.unit(actor()) as unit:
            job = service.look_at_all(unit).effect_id
            if app.settings.tracker.kind == "jira":
                service.follow(unit)
        outcome = wait_for_job(app, job, "looking at the tracker", show=not json_).outcome or {}
    if json_:
        as_json(outcome)
    else:
        click.echo(f"{outcome['issues']} issues looked at")
    _end_on(outcome["failed"])


@tracker.command()
@json_option
@click.pass_obj
def reconcile(home: Path, json_: bool) -> None:
    """Search for doubles (issues that carry one defect's label), link them to the first and close them.

    Only issues that Garant's own account created are closed, and each only once. It is done every hour too.

    \b
    Example:
      garant tracker reconcile
    """
    with opened(home) as app:
        with app.unit(actor()) as unit:
            job = service.reconcile(unit).effect_id
        outcome = wait_for_job(app, job, "searching for doubles", show=not json_).outcome or {}
    if json_:
        as_json(outcome)
    else:
        click.echo(f"doubles closed: {', '.join(outcome['doubles']) or 'none'}")
    _end_on(outcome["failed"])


@tracker.command()
@json_option
@click.pass_obj
def check(home: Path, json_: bool) -> None:
    """Try the settings on the tracker: account, rights, project, issue type, fields, transitions.

    It changes nothing there. Exit code 1 when something does not fit; each thing is named with what to do.

    \b
    Example:
      garant tracker check
    """
    with opened(home, schema=False) as app, closing(open_tracker(app)) as opened_tracker:
        findings = opened_tracker.check()
    if json_:
        as_json([{"what": found.what, "ok": found.ok, "text": found.text} for found in findings])
    else:
        for found in findings:
            click.echo(f"{'ok ' if found.ok else 'NO '} {found.what}: {found.text}")
    wrong = [found.what for found in findings if not found.ok]
    if wrong:
        click.echo(f"garant: does not fit: {', '.join(wrong)}. See garant.yaml, section tracker", err=True)
        sys.exit(1)


@tracker.command()
@click.argument("key")
@click.option("--status", type=click.Choice(["open", "done"]), help="The issue's new state.")
@click.option("--due", type=click.DateTime(["%Y-%m-%d"]), help="When it will be fixed; clients are told.")
@click.option("--fix-version", metavar="VERSION", help="The version that will have the fix.")
@click.option("--comment", metavar="TEXT", help="A comment; `/reproduce VERSION` has it played there.")
@json_option
@click.pass_obj
def edit(
    home: Path,
    key: str,
    status: str | None,
    due: datetime | None,
    fix_version: str | None,
    comment: str | None,
    json_: bool,
) -> None:
    """Change issue KEY of the local tracker, as development would in Jira.

    \b
    Example:
      garant tracker edit SET-1 --due 2026-12-01 --fix-version 10.4.8.0
      garant tracker edit SET-1 --comment "/reproduce 10.4.8.0"
    """
    if not any((status, due, fix_version, comment)):
        raise click.UsageError("say what to change: --status, --due, --fix-version or --comment")
    with opened(home) as app:
        with closing(open_tracker(app)) as local:
            if not isinstance(local, LocalTracker):
                raise RefusedError(f"issue {key}: the tracker is Jira; change it there")
            local.edit(
                key,
                author=actor(),
                comment_id=app.new_id(),
                status=status,
                due=due.date() if due else None,
                fix_version=fix_version,
                comment=comment,
            )
        with app.unit(actor()) as unit:
            defect_id = service.defect_of(unit.session, "local", key)
            job = service.look(unit, defect_id, unit.new_id()).effect_id if defect_id else None
        if job is not None:
            wait_for_job(app, job, f"taking in {key}", show=not json_)
        with app.database.reading() as session:
            document = reading.status(session, app.settings.tracker)
    changed = next((row for row in document["issues"] if row["key"] == key), {"key": key, "defect": None})
    if json_:
        as_json(changed)
    else:
        click.echo(f"{key}: changed; defect {changed['defect'] or 'none'}")


def _end_on(failed: dict[str, Any]) -> None:
    if failed:
        raise GarantError("; ".join(f"{key}: {reason}" for key, reason in failed.items()))
