"""``garant doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli import as_json, json_option
from pipeline.doctor.machine import examine
from pipeline.doctor.rules import State, overall

_SIGNS = {State.OK: "[green]ok[/]", State.REDUCED: "[yellow]reduced[/]", State.MISSING: "[red]missing[/]"}


@click.command()
@json_option
@click.pass_obj
def doctor(home: Path, json_: bool) -> None:
    """Say what this machine has and lacks, and the command that brings what is missing.

    Exit code 1 when something is missing that the main work needs. Changes nothing.

    \b
    Example:
      garant doctor
      garant doctor --json
    """
    findings = examine(home)
    worst = overall(findings)
    if json_:
        as_json({"state": worst, "findings": [finding.as_json() for finding in findings]})
    else:
        table = Table("what", "state", "found", "what to do", title="This machine", title_justify="left")
        for finding in findings:
            texts = (Text(finding.detail), Text(finding.action))  # paths may look like markup
            table.add_row(finding.name, _SIGNS[finding.state], *texts)
        Console().print(table)
    if worst is State.MISSING:
        click.echo("garant: something is missing that the main work needs; see above", err=True)
        sys.exit(1)
