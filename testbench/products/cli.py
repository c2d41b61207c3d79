"""``testbench builds``: what is in the cache of builds, and making room."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from testbench.options import SIZE
from testbench.products.cache import default_home, list_builds, prune_builds

_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")


@click.group()
def builds() -> None:
    """Show the builds that are kept for further runs, and remove some.

    \b
    Example:
      testbench builds list
    """


@builds.command("list")
@_json
def list_(as_json: bool) -> None:
    """Show every build: version, size, when it was used last, whether it is in use now.

    \b
    Example:
      testbench builds list --json
    """
    found = list_builds(default_home().absolute())
    if as_json:
        rows = [{**build.as_json(), "used_at": _moment(build.used_at)} for build in found]
        click.echo(json.dumps({"builds": rows, "bytes": sum(build.bytes for build in found)}))
        return
    table = Table("build", "version", "MiB", "last used (UTC)", "", box=None)
    for build in found:
        state = "in use" if build.users else (f"fails in {build.failed}" if build.failed else "")
        table.add_row(build.name, build.asked, f"{build.bytes / 2**20:.1f}", _moment(build.used_at), state)
    Console().print(table)
    click.echo(f"{len(found)} builds, {sum(build.bytes for build in found) / 2**20:.0f} MiB")


@builds.command()
@click.option(
    "--size",
    type=SIZE,
    metavar="SIZE",
    help="Remove the least recently used ones until all together are no larger (default: all of them).",
)
@_json
def prune(size: int | None, as_json: bool) -> None:
    """Remove builds, the least recently used first; one that is in use stays.

    \b
    Example:
      testbench builds prune --size 1G
    """
    gone = prune_builds(default_home().absolute(), size or 0)
    if as_json:
        rows = [{"name": build.name, "bytes": build.bytes} for build in gone]
        click.echo(json.dumps({"removed": rows, "bytes": sum(build.bytes for build in gone)}))
    else:
        click.echo(f"removed {len(gone)} builds, {sum(build.bytes for build in gone) / 2**20:.0f} MiB")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "seconds")
