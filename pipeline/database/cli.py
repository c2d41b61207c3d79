"""``garant db``."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli import as_json, json_option, opened
from pipeline.database import schema


@click.group()
def db() -> None:
    """The database's schema.

    \b
    Example:
      garant db upgrade
    """


@db.command()
@json_option
@click.pass_obj
def upgrade(home: Path, json_: bool) -> None:
    """Make the database, or bring it to what this version needs. Running it again changes nothing.

    \b
    Example:
      garant db upgrade
    """
    with opened(home, schema=False) as app:
        before = schema.revision(app.database)
        after = schema.upgrade(app.database)
        app.engine.migrate()
        where = app.database.url.render_as_string(hide_password=True)
    if json_:
        as_json({"database": where, "before": before, "after": after})
    elif before == after:
        click.echo(f"{where} is at revision {after} already")
    else:
        click.echo(f"{where}: revision {before or 'none'} -> {after}")


@db.command()
@click.argument("message")
@click.argument("number")
@click.pass_obj
def revise(home: Path, message: str, number: str) -> None:
    """For Garant's developers: write migration NUMBER from what the tables have and the database lacks.

    \b
    Example (on a database at the newest revision):
      garant db revise "add the reason of a pause" 0002
    """
    with opened(home, schema=False) as app:
        schema.write_revision(app.database, message, number)
