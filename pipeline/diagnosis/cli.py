"""``garant diagnose`` and ``garant evidence``."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.orm import Session

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.diagnosis import folder, retention, rules, service
from pipeline.diagnosis.errors import EvidenceChangedError
from pipeline.diagnosis.recipe import Recipe
from pipeline.diagnosis.recipe_file import default_recipe, read_recipe
from pipeline.diagnosis.tables import EvidenceRow, TombstoneRow
from pipeline.engine.watch import wait_for_job
from pipeline.errors import RefusedError
from pipeline.fleet import service as fleet
from pipeline.intake import service as intake


@click.command()
@click.argument("case")
@click.option(
    "--hours",
    type=click.IntRange(1, 24 * 92),
    default=24,
    show_default=True,
    help="How far before the request the time in question begins, in hours.",
)
@click.option(
    "--since", help="When it begins instead: 2026-03-12T09:00, in the store's time or with an offset."
)
@click.option("--until", help="When it ends, in the same form.  [default: now]")
@click.option(
    "--recipe",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What is collected (YAML).  [default: diagnosis.recipe in garant.yaml, else Garant's own]",
)
@click.option(
    "--bandwidth",
    type=click.IntRange(1024),
    help="Bytes a second over the store's link, all its hosts together.  [default: as garant.yaml says]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be collected; no host is asked.")
@json_option
@click.pass_obj
def diagnose(
    home: Path,
    case: str,
    hours: int,
    since: str | None,
    until: str | None,
    recipe: Path | None,
    bandwidth: int | None,
    dry_run: bool,
    json_: bool,
) -> None:
    """Collect evidence from the store of CASE over SSH: versions, configuration, journals, logs, documents.

    Personal data is masked before anything is stored. What a host does not give is listed with the reason:
    partial evidence is evidence. A link that breaks is waited for, and the collection goes on where it
    stopped. Exit code 1 when nothing could be had at all.

    \b
    Example:
      garant diagnose G-000001
      garant diagnose G-000001 --since 2026-03-12T09:00 --until 2026-03-12T12:30
      garant diagnose G-000001 --recipe loyalty.yaml --dry-run
    """
    with opened(home) as app:
        chosen = read_recipe(recipe) if recipe is not None else None
        with app.database.reading() as session:
            asked = service.Asked(
                look_back=timedelta(hours=hours),
                since=_moment(session, case, "--since", since),
                until=_moment(session, case, "--until", until),
                recipe=chosen,
                bandwidth=bandwidth,
            )
            if dry_run:
                plan = service.plan(session, case, asked, app.clock())
                of_settings = app.settings.diagnosis.recipe
                used = chosen or (read_recipe(of_settings) if of_settings else default_recipe())
                _show_plan(plan, used, json_=json_)
                return
        with app.unit(actor()) as unit:
            evidence_id = service.request(unit, case, asked).id
        wait_for_job(
            app,
            service.job_id(evidence_id),
            f"collecting evidence {evidence_id}",
            show=not json_,
            until=lambda: _state(app, evidence_id) != "collecting",
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


def _moment(session: Session, case_id: str, option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    case = intake.case(session, case_id)
    zone = fleet.store(session, case.store_id).zone if case.store_id is not None else "UTC"
    try:
        return rules.moment(text, zone)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _state(app: Any, evidence_id: str) -> str:
    with app.database.reading() as session:
        return service.evidence(session, evidence_id).state


def _show_plan(plan: service.Plan, recipe: Recipe, *, json_: bool) -> None:
    if json_:
        as_json(
            {
                "case": plan.case_id,
                "store": plan.store_id,
                "zone": plan.zone,
                "recipe": recipe.name,
                "window": {"from": plan.window_from.isoformat(), "to": plan.window_to.isoformat()},
                "hosts": [
                    {
                        "host": host.id,
                        "role": host.role,
                        "address": host.address,
                        "port": host.port,
                        "jump": host.jump,
                        "items": [item.as_json() for item in recipe.items(host.role)],
                    }
                    for host in plan.hosts
                ],
            }
        )
        return
    console = Console()
    console.print(
        f"Recipe [bold]{recipe.name}[/], store {plan.store_id}, {plan.window_from.isoformat()} to "
        f"{plan.window_to.isoformat()}. Nothing was asked of any host."
    )
    for host in plan.hosts:
        through = f" through {host.jump}" if host.jump else ""
        console.print(f"  {host.id} ({host.role}): {host.address} port {host.port}{through}", highlight=False)
    for role in ("server", "register"):
        table = Table("what", "from", "as", "at most", title=f"On a {role}", title_justify="left")
        for item in recipe.items(role):
            source = f"{item.database} {item.source}: {item.query}" if item.database else item.source
            table.add_row(*map(Text, (item.what, source, item.target, f"{item.max_bytes:,} bytes")))
        console.print(table)


def _as_json(row: EvidenceRow, stone: TombstoneRow | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "evidence": row.id,
        "case": row.case_id,
        "store": row.store_id,
        "state": row.state,
        "version": row.version,
        "folder": row.folder,
        "digest": row.digest,
        "requested_by": row.requested_by,
        "collected_at": row.collected_at and row.collected_at.isoformat(),
        "retain_until": row.retain_until and row.retain_until.isoformat(),
        "window": {"from": row.window_from.isoformat(), "to": row.window_to.isoformat()},
        "figures": row.figures,
        "missing": row.missing,
    }
    if stone is not None:
        shown["tombstone"] = {
            "deleted_at": stone.deleted_at.isoformat(),
            "deleted_by": stone.deleted_by,
            "reason": stone.reason,
            "digest": stone.digest,
            "figures": stone.figures,
        }
    return shown


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


@click.group()
def evidence() -> None:
    """What was collected from the stores: masked, read-only, known by its content, kept for a time.

    \b
    Example:
      garant evidence list --case G-000001
      garant evidence verify
    """


@evidence.command("list")
@click.option("--case", "case_id", help="Only of this case.")
@click.option("--store", "store_id", help="Only of this store.")
@click.option(
    "--state",
    type=click.Choice(["collecting", "collected", "partial", "failed", "deleting", "deleted"]),
    help="Only in this state.",
)
@json_option
@click.pass_obj
def list_(home: Path, case_id: str | None, store_id: str | None, state: str | None, json_: bool) -> None:
    """List evidence, the newest first.

    \b
    Example:
      garant evidence list
      garant evidence list --store zarya-1 --state partial
    """
    with opened(home) as app, app.database.reading() as session:
        rows = service.all_evidence(session, case_id=case_id, store_id=store_id, state=state)
    if json_:
        as_json([_as_json(row) for row in rows])
        return
    table = Table(box=box.SIMPLE)
    for heading in ("evidence", "case", "store", "state", "files", "collected (UTC)", "kept until"):
        table.add_column(heading, no_wrap=heading in ("evidence", "case"))
    for row in rows:
        files = row.figures.get("files") if row.state != "deleted" else None
        collected = f"{row.collected_at:%Y-%m-%d %H:%M}" if row.collected_at else "—"
        kept = f"{row.retain_until:%Y-%m-%d}" if row.retain_until and row.state in rules.USABLE else "—"
        table.add_row(row.id, row.case_id, row.store_id, row.state, f"{files or '—'}", collected, kept)
    Console().print(table)


@evidence.command()
@click.argument("evidence_id", metavar="EVIDENCE")
@json_option
@click.pass_obj
def show(home: Path, evidence_id: str, json_: bool) -> None:
    """Show EVIDENCE: who collected it, when, from where, its files with their digests, and what is missing.

    \b
    Example:
      garant evidence show E-000001
    """
    with opened(home) as app, app.database.reading() as session:
        row = service.evidence(session, evidence_id)
        stone = retention.tombstone(session, evidence_id)
        needed = retention.needed_by(session, row) if row.state in rules.USABLE else []
    document = folder.contents(Path(row.folder)) if row.folder is not None else None
    if json_:
        as_json({**_as_json(row, stone), "needed_by": needed, "contents": document})
        return
    _show(row)
    console = Console()
    console.print(f"asked for by {row.requested_by}, digest {row.digest or 'none'}", highlight=False)
    if stone is not None:
        console.print(
            f"deleted at {stone.deleted_at.isoformat()} by {stone.deleted_by}: {stone.reason} "
            f"({stone.figures.get('files')} files, {stone.figures.get('bytes')} bytes)",
            highlight=False,
            markup=False,
        )
    for reason in needed:
        console.print(f"kept: {reason}", highlight=False)
    if document is not None:
        table = Table("host", "from", "file", "bytes", "SHA-256")
        for host in document["hosts"]:
            for file in host["files"]:
                cells = (host["name"], host.get("address", ""), file["path"], f"{file['bytes']:,}")
                table.add_row(*map(Text, cells), file["sha256"][:16])
        console.print(table)


@evidence.command()
@click.argument("evidence_ids", metavar="[EVIDENCE]...", nargs=-1)
@json_option
@click.pass_obj
def verify(home: Path, evidence_ids: tuple[str, ...], json_: bool) -> None:
    """Check that EVIDENCE (or all of it) is as it was collected: every byte, no file more, no file less.

    Exit code 1 when something was changed; it is named.

    \b
    Example:
      garant evidence verify
      garant evidence verify E-000001 E-000002
    """
    with opened(home) as app, app.database.reading() as session:
        rows = (
            [service.evidence(session, one) for one in evidence_ids]
            or [row for row in service.all_evidence(session) if row.state in rules.USABLE]
        )  # fmt: skip
    found = []
    for row in rows:
        if row.folder is None or row.digest is None:
            raise RefusedError(f"evidence {row.id} is {row.state}: there is nothing to verify")
        try:
            written = folder.read(Path(row.folder), row.digest)
            found.append({"evidence": row.id, "whole": True, "files": written.files, "fault": None})
        except EvidenceChangedError as error:
            found.append({"evidence": row.id, "whole": False, "files": None, "fault": str(error)})
    faults = [entry for entry in found if not entry["whole"]]
    if json_:
        as_json(found)
    else:
        for entry in found:
            click.echo(f"{entry['evidence']}: {'changed' if entry['fault'] else 'as it was collected'}")
    for entry in faults:
        click.echo(f"garant: {entry['fault']}", err=True)
    if faults:
        sys.exit(1)


@evidence.command()
@click.argument("evidence_id", metavar="EVIDENCE")
@click.option("--reason", required=True, help="Why; kept for good beside what was deleted.")
@click.option("--force", is_flag=True, help="Also while an open case or defect rests on it.")
@json_option
@click.pass_obj
def delete(home: Path, evidence_id: str, reason: str, force: bool, json_: bool) -> None:
    """Delete the files of EVIDENCE before its time; a tombstone says what it was, who deleted it, and why.

    Evidence whose retention is over is deleted without being asked. Evidence of an open case, or of a defect
    that is not closed, is refused without --force.

    \b
    Example:
      garant evidence delete E-000001 --reason "the client asked for it"
    """
    with opened(home) as app:
        with app.unit(actor()) as unit:
            retention.request(unit, evidence_id, reason=reason, force=force)
        with app.database.reading() as session:
            effect = retention.deletion_job(session, evidence_id)
        wait_for_job(
            app,
            effect,
            f"deleting evidence {evidence_id}",
            show=not json_,
            until=lambda: _state(app, evidence_id) != "deleting",
        )
        with app.database.reading() as session:
            row, stone = service.evidence(session, evidence_id), retention.tombstone(session, evidence_id)
    if json_:
        as_json(_as_json(row, stone))
    else:
        click.echo(f"{row.id} {row.state}")
