"""``garant reproduce`` and ``garant defect verify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.defects.cli import defect
from pipeline.engine.watch import wait_for_job
from pipeline.reproduction import rules, service
from pipeline.reproduction.tables import FixCheckRow, ReproductionRow

__all__ = ["defect", "reproduce"]


@click.command()
@click.argument("case")
@click.option(
    "--runs", type=click.IntRange(1), help="So many runs, instead of as many as the statistics need."
)
@click.option("--version", help="Play on this version instead of the one that the store runs.")
@json_option
@click.pass_obj
def reproduce(home: Path, case: str, runs: int | None, version: str | None, json_: bool) -> None:
    """Play the newest evidence of CASE on the bench: verdict, minimal scenario, culprit, bundle.

    What is seen becomes a defect with a bundle, a folder that `pytest` runs. Exit code 1 when the fault was
    not seen; the answer then says which failure rate the runs exclude.

    \b
    Example:
      garant diagnose G-000001 && garant reproduce G-000001
    """
    with opened(home) as app:
        with app.unit(actor()) as unit:
            row = service.request(unit, case, version=version, runs=runs)
        wait_for_job(
            app,
            service.job_id(row.id),
            f"reproducing {case} on {row.version}",
            show=not json_,
            until=lambda: _reproduction(app, row.id).state != "running",
        )
        row = _reproduction(app, row.id)
    if json_:
        as_json(_reproduction_json(row))
    else:
        _show_reproduction(row)
    if row.verdict not in rules.SHOWN:
        click.echo(f"garant: {row.findings['verdict']['reason']}", err=True)
        sys.exit(1)


@defect.command("verify")
@click.argument("defect_id", metavar="DEFECT")
@click.option("--version", required=True, help="The version that should be free of it: a tag or a build.")
@json_option
@click.pass_obj
def verify(home: Path, defect_id: str, version: str, json_: bool) -> None:
    """Play the bundle of DEFECT on a new version, and on the bad one beside it.

    Fixed means: the new build is clean in enough runs AND the old build still shows the defect in the same
    session. Exit code 1 when it is not fixed, or cannot be told.

    \b
    Example:
      garant defect verify D-000001 --version v10.4.8.0
    """
    with opened(home) as app:
        with app.unit(actor()) as unit:
            job_id = service.fix_job_id(service.request_fix_check(unit, defect_id, version))
        wait_for_job(
            app,
            job_id,
            f"verifying {defect_id} on {version}",
            show=not json_,
            until=lambda: _check(app, defect_id, version).state != "running",
        )
        row = _check(app, defect_id, version)
    if json_:
        as_json({"defect": defect_id, "version": version, "state": row.state, **row.findings})
    else:
        click.echo(f"{defect_id} on {version}: {row.state}. {row.findings.get('reason', '')}")
    if row.state != "fixed":
        click.echo(f"garant: {defect_id} is not shown to be fixed in {version}", err=True)
        sys.exit(1)


def _reproduction(app: Any, reproduction_id: str) -> ReproductionRow:
    with app.database.reading() as session:
        return service.reproduction(session, reproduction_id)


def _check(app: Any, defect_id: str, version: str) -> FixCheckRow:
    with app.database.reading() as session:
        return service.fix_check(session, defect_id, version)


def _reproduction_json(row: ReproductionRow) -> dict[str, Any]:
    own = {"reproduction": row.id, "case": row.case_id, "evidence": row.evidence_id, "version": row.version}
    return {**own, "state": row.state, "defect": row.defect_id, "error": row.error, **row.findings}


def _show_reproduction(row: ReproductionRow) -> None:
    console = Console()
    verdict = row.findings["verdict"]
    console.print(
        f"[bold]{row.id}: {row.verdict}[/] on {row.version} ({verdict['bad']} of {verdict['runs']} runs)"
    )
    if verdict["interval"]:
        low, high = verdict["interval"]
        console.print(f"  rate      {verdict['rate']:.0%} (95 % interval {low:.0%} to {high:.0%})")
    if row.defect_id is None:
        return
    reduced, culprit = row.findings["reduced"], row.findings["culprit"]
    console.print(f"  signature {verdict['signature']}")
    console.print(f"  minimal   {reduced['after']} of {reduced['before']} elements")
    if culprit and culprit["first_bad"]:
        commit = row.findings["commit"] or {}
        console.print(
            f"  culprit   {culprit['first_bad'][:12]} {commit.get('subject', '')} ({culprit['release']})"
        )
    else:
        console.print(f"  culprit   not named: {row.findings['culprit_reason']}")
    for number, step in enumerate(row.findings["steps"]["en"], start=1):
        console.print(f"    {number}. {step}", highlight=False)
    console.print(f"  defect    {row.defect_id}\n  bundle    {row.findings['bundle']}", highlight=False)
    if row.error:
        console.print(f"  note      {row.error}", highlight=False)
