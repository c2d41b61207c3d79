"""``testbench slots``: which slots there are, who holds them, and the way out of quarantine."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from testbench.errors import UsageError
from testbench.products.cache import default_home
from testbench.slots.rules import Slot
from testbench.slots.service import Slots

_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")


@click.group()
def slots() -> None:
    """Show the bench slots of this machine, and give them back after a quarantine.

    A slot holds one run at a time; all programs with the same TESTBENCH_HOME share them. A slot whose disk,
    memory or workspace fails before a run is not given out any more until somebody has mended the cause.

    \b
    Example:
      testbench slots list
    """


@slots.command("list")
@_json
def list_(as_json: bool) -> None:
    """Show each slot: free, held (by which process) or in quarantine (why, since when).

    \b
    Example:
      testbench slots list --json
    """
    found, reservations = Slots(default_home().absolute()).listed()
    holders = {one.slot: one.owner.partition("@")[0] for one in reservations if one.slot is not None}
    waiting = sum(one.slot is None for one in reservations)
    if as_json:
        rows = [
            {
                "slot": slot.number,
                "state": _state(slot, holders),
                "holder": int(holders[slot.number]) if slot.number in holders else None,
                "cause": slot.quarantine,
                "since": _moment(slot),
            }
            for slot in found
        ]
        click.echo(json.dumps({"slots": rows, "waiting": waiting}, ensure_ascii=False))
        return
    table = Table("slot", "state", "process", "cause", "since (UTC)", box=None, title_justify="left")
    for slot in found:
        row = (str(slot.number), _state(slot, holders), holders.get(slot.number, ""))
        table.add_row(*row, (slot.quarantine or "").replace("[", r"\["), _moment(slot) or "")
    Console().print(table)
    if waiting:
        click.echo(f"{waiting} run(s) wait for a slot")


@slots.command()
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1))
@click.option("--all", "everything", is_flag=True, help="All slots that are in quarantine.")
@_json
def release(numbers: tuple[int, ...], everything: bool, as_json: bool) -> None:
    """Give slots out again whose cause has been mended.

    \b
    Example:
      testbench slots release 1
    """
    if bool(numbers) == everything:
        raise UsageError("name the slots to give back, or --all")
    service = Slots(default_home().absolute())
    if everything:
        numbers = tuple(slot.number for slot in service.listed()[0] if slot.quarantine)
    for number in numbers:
        service.release(number)
    if as_json:
        click.echo(json.dumps({"released": list(numbers)}))
    else:
        click.echo("given out again: " + (", ".join(map(str, numbers)) or "none was in quarantine"))


def _state(slot: Slot, holders: dict[int, str]) -> str:
    if slot.quarantine is not None:
        return "quarantine"
    return "held" if slot.number in holders else "free"


def _moment(slot: Slot) -> str | None:
    return None if slot.since is None else datetime.fromtimestamp(slot.since, UTC).isoformat(" ", "seconds")
