"""``garant product``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.engine.watch import wait_for_job
from pipeline.errors import GarantError
from pipeline.products import service
from pipeline.products.tables import ProductWatchRow


@click.group()
def product() -> None:
    """Watch the product's repository: on a new version every open defect's bundle is played.

    \b
    Example:
      garant product refresh
      garant product list
    """


@product.command()
@click.option("--no-wait", is_flag=True, help="Only ask for it; a worker looks. Right for a hook.")
@json_option
@click.pass_obj
def refresh(home: Path, no_wait: bool, json_: bool) -> None:
    """Look at the repository now, instead of at the next poll.

    In the repository's hooks/post-receive it makes a pushed tag known at once.

    \b
    Example:
      garant product refresh
      garant --home /var/lib/garant product refresh --no-wait     in hooks/post-receive
    """
    with opened(home) as app:
        name = service.product_name(app.settings)
        with app.database.reading() as session:
            before = {row.version for row in service.versions(session, name)}
        with app.unit(actor()) as unit:
            effect = service.look_effect(service.refresh(unit, name, app.settings.product))
        if not no_wait:
            wait_for_job(app, effect, f"looking at {name}", show=not json_, until=lambda: _settled(app, name))
        with app.database.reading() as session:
            answer = service.document(session, name)
    if answer["error"] is not None and not no_wait:
        raise GarantError(f"{name}: {answer['error']}")
    answer["new"] = [seen["version"] for seen in answer["versions"] if seen["version"] not in before]
    if json_:
        as_json(answer)
    elif no_wait:
        click.echo(f"{name}: a worker will look")
    else:
        click.echo(f"{name}: {len(answer['versions'])} versions; new: {', '.join(answer['new']) or 'none'}")


@product.command("list")
@json_option
@click.pass_obj
def list_(home: Path, json_: bool) -> None:
    """List the versions seen, and what each open defect's bundle said on them.

    \b
    Example:
      garant product list
    """
    with opened(home) as app, app.database.reading() as session:
        answer = service.document(session, service.product_name(app.settings))
    if json_:
        as_json(answer)
        return
    table = Table("version", "commit", "seen (UTC)", "bundles played on it")
    for seen in answer["versions"]:
        checks = ", ".join(f"{defect} {state}" for defect, state in seen["checks"].items())
        commit = seen["commit"][:12]
        if seen["moved_to"]:
            commit += f" MOVED to {seen['moved_to'][:12]}"
        table.add_row(seen["version"], commit, seen["seen_at"][:16], checks or "none")
    Console().print(table)
    if answer["error"]:
        click.echo(f"{answer['product']}: {answer['failures']} looks in vain: {answer['error']}", err=True)


@product.command()
@click.argument("version")
@click.option("--reason", required=True, help="Why the moved tag is right, for the record.")
@json_option
@click.pass_obj
def accept(home: Path, version: str, reason: str, json_: bool) -> None:
    """Take over a tag that was moved: VERSION means the new commit from now on, and is checked anew.

    \b
    Example:
      garant product accept v10.4.8.0 --reason "tagged too early by mistake, nothing was built from it"
    """
    with opened(home) as app:
        name = service.product_name(app.settings)
        with app.unit(actor()) as unit:
            commit = service.accept_moved(unit, name, version, reason).commit
    if json_:
        as_json({"product": name, "version": version, "commit": commit})
    else:
        click.echo(f"{name}: {version} is {commit[:12]} from now on")


def _settled(app: Any, name: str) -> bool:
    with app.database.reading() as session:
        return bool(session.get_one(ProductWatchRow, name).settled)
