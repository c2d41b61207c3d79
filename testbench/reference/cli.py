"""`testbench reference`: the reference SET's repository."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from testbench.reference.export import export_history
from testbench.reference.history import build_history
from testbench.reference.series import load_series


@click.group()
def reference() -> None:
    """The reference SET: a model of one store with a history of releases, defects and fixes.

    \b
    Example:
      testbench reference build set10.git
      testbench bisect SCENARIO --product set10.git.product.yaml --good v10.4.1.0 --bad v10.4.6.0
    """


@reference.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--upto", metavar="TAG", help="Build only the history up to this release; a later call appends the rest."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def build(directory: Path, upto: str | None, as_json: bool) -> None:
    """Build the repository (bare) in DIRECTORY, and DIRECTORY.product.yaml beside it.

    Commit ids are the same on every machine. A repository that is already there is brought up to date.

    \b
    Example:
      testbench reference build set10.git --upto v10.4.2.0
      testbench reference build set10.git            # the later releases appear
    """
    report = build_history(directory, upto)
    if as_json:
        click.echo(json.dumps(report.as_dict()))
        return
    brought = f"brought {', '.join(report.added)}" if report.added else "nothing to add"
    click.echo(f"{report.repository}: {report.commits} commits, {len(report.releases)} releases; {brought}")
    click.echo(f"for the bench: --product {report.product}")


@reference.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on standard output.")
def list_releases(as_json: bool) -> None:
    """List the releases of the reference SET, oldest first.

    \b
    Example:
      testbench reference list --json
    """
    series = load_series()
    rows = [
        {
            "tag": release.tag,
            "date": release.date.isoformat(),
            "commit": release.commit,
            "commits": len(release.patches),
        }
        for release in series.releases
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table("release", "date", "commit", "commits since the one before")
    for row in rows:
        table.add_row(str(row["tag"]), str(row["date"])[:10], str(row["commit"])[:12], str(row["commits"]))
    Console().print(table)


@reference.command()
@click.argument("repository", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), help="Another folder than this package's history/."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def export(repository: Path, folder: Path | None, as_json: bool) -> None:
    """Write REPOSITORY's branch main as the new series of patches (for growing the history).

    \b
    Example:
      git clone set10.git work && cd work      # commit, tag v10.4.9.0
      testbench reference export work
    """
    series = export_history(repository, folder)
    last = series.releases[-1]
    if as_json:
        click.echo(
            json.dumps(
                {"patches": len(series.patches), "releases": len(series.releases), "head": last.commit}
            )
        )
        return
    click.echo(
        f"{len(series.patches)} patches, {len(series.releases)} releases, last {last.tag} ({last.commit})"
    )
