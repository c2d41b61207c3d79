"""``garant``: the command line. It calls services and shows what they answer; it holds no rules."""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from pipeline.errors import GarantError
from pipeline.settings import default_home, load_settings

#: Command -> where its click command is. Imported only when called: ``garant --help`` stays quick.
_COMMANDS = {
    "demo": "pipeline.demo.cli:demo",
    "doctor": "pipeline.doctor.cli:doctor",
    "serve": "pipeline.web.cli:serve",
    "worker": "pipeline.engine.cli:worker",
    "db": "pipeline.database.cli:db",
    "fleet": "pipeline.fleet.cli:fleet",
    "case": "pipeline.intake.cli:case",
    "clocks": "pipeline.clocks.cli:clocks",
    "diagnose": "pipeline.diagnosis.cli:diagnose",
    "evidence": "pipeline.diagnosis.cli:evidence",
    "reproduce": "pipeline.reproduction.cli:reproduce",
    "defect": "pipeline.reproduction.cli:defect",
    "tracker": "pipeline.trackers.cli:tracker",
    "eta": "pipeline.promises.cli:eta",
    "product": "pipeline.products.cli:product",
    "release": "pipeline.releases.cli:release",
    "rollout": "pipeline.rollouts.cli:rollout",
    "notices": "pipeline.notices.cli:notices",
    "report": "pipeline.reports.cli:report",
}
_SUMMARIES = {
    "demo": "Play the whole story on this machine, on real parts.",
    "doctor": "What this machine has and lacks, and what to do about it.",
    "serve": "Serve the web pages and the HTTP API.",
    "worker": "Do the work: ticks, mail, tracker calls, bench runs, rollouts.",
    "db": "The database's schema.",
    "fleet": "Clients, stores and hosts.",
    "case": "Clients' requests.",
    "clocks": "The tariff's clocks.",
    "diagnose": "Collect evidence from a case's store over SSH.",
    "evidence": "What was collected: list, show, verify, delete.",
    "reproduce": "Play a case's evidence on the bench: verdict, minimal bundle, culprit.",
    "defect": "Confirmed faults of the product.",
    "tracker": "Development's tracker: what it says, whether it fits.",
    "eta": "When the client is told that it will be fixed.",
    "product": "The product's repository: new versions, and what they mend.",
    "release": "Build, sign, approve and recall updates.",
    "rollout": "Bring approved updates to the stores.",
    "notices": "What clients were told.",
    "report": "What happened, in figures: defects and promises.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _SUMMARIES[name]) for name in _COMMANDS])


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Garant's folder: settings (garant.yaml), database, evidence, bundles.  [default: $GARANT_HOME or "
    "~/.local/state/garant]",
)
@click.option("-v", "--verbose", is_flag=True, help="Show what the parts log.")
@click.version_option(package_name="garant")
@click.pass_context
def garant(ctx: click.Context, home: Path | None, verbose: bool) -> None:
    """Run the Garant support tariff: case, diagnosis, reproduction, fix, rollout, notice.

    \b
    Begin with:
      garant demo              the whole story on this machine
      garant doctor            what this machine has and lacks
      garant db upgrade        make the database, then
      garant fleet import F    tell it your clients, stores and hosts
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    ctx.obj = home or default_home()


def actor() -> str:
    """Who calls, for the event log: the login name."""
    return f"person:{os.environ.get('SUDO_USER') or os.environ.get('USER') or 'unknown'}"


@contextmanager
def opened(home: Path, *, schema: bool = True) -> Iterator[Any]:
    """The application for one command, closed at its end; refuses an empty database with the next action."""
    from pipeline.application import Garant  # heavy (SQLAlchemy, DBOS): only when a command needs it

    app = Garant(load_settings(home))
    try:
        if schema:
            app.require_schema()
        yield app
    finally:
        app.close()


def as_json(value: object) -> None:
    """One JSON document on stdout, for programs."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


json_option: Callable[[Any], Any] = click.option(
    "--json", "json_", is_flag=True, help="One JSON document on stdout."
)


def main() -> None:
    """Entry point: 0 done; 1 refused or failed, with the reason on stderr; 2 wrong use."""
    from testbench.errors import TestbenchError

    try:
        garant.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (GarantError, TestbenchError) as error:
        click.echo(f"garant: {error}", err=True)
        sys.exit(1)
    sys.exit(0)
