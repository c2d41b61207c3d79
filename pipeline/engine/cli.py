"""``garant worker``."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from pipeline.cli import opened
from pipeline.engine.worker import DEFAULT_QUEUES
from pipeline.errors import GarantError


@click.command()
@click.option(
    "--queues",
    help="Only these queues, separated by commas, each with how many at once if not the default: "
    "`mail,bench=2`. Several workers on several machines may share a PostgreSQL database.",
)
@click.pass_obj
def worker(home: Path, queues: str | None) -> None:
    """Do the work until stopped by Ctrl-C or SIGTERM.

    \b
    Example:
      garant worker
      garant worker --queues rollout,ticks      near the stores
    """
    chosen = parse_queues(queues)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with opened(home) as app, app.worker(chosen):
        click.echo(
            f"working on {', '.join(f'{name} ({n})' for name, n in chosen.items())}; Ctrl-C stops", err=True
        )
        stop.wait()
        click.echo("stopping: finishing what is being done", err=True)


def parse_queues(text: str | None) -> dict[str, int]:
    """``mail,bench=2`` as queue names with how many ticks at once.

    Raises:
        GarantError: a queue that does not exist, or a number that is none.
    """
    if not text:
        return dict(DEFAULT_QUEUES)
    chosen: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name not in DEFAULT_QUEUES:
            raise GarantError(f"no queue {name!r}: there are {', '.join(DEFAULT_QUEUES)}")
        if number and (not number.isdigit() or int(number) < 1):
            raise GarantError(f"queue {name}: {number!r} is not a number from 1")
        chosen[name] = int(number) if number else DEFAULT_QUEUES[name]
    return chosen
