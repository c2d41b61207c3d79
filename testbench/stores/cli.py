"""`testbench stores`: local stores for people; everything here calls ``testbench.stores.Stores``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table

from testbench.progress import Progress, Step
from testbench.stores import rootless
from testbench.stores.errors import StateError
from testbench.stores.rules import MODES, plain_plans
from testbench.stores.service import Stores, down
from testbench.stores.state import StateDir, default_state_dir


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")(
        command
    )
    return click.option(
        "--state-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=default_state_dir,
        show_default="/run/garant/stores for root, $XDG_STATE_HOME/garant/stores for others",
        help="Where the fleet is kept; several folders are several fleets.",
    )(command)


@click.group()
def stores() -> None:
    """Local stores: real hosts on this machine, each with its own root, address, sshd and services.

    \b
    Example:
      testbench stores up --stores 2 --registers 2
      testbench stores ssh store1-r1
      testbench stores cut store2
      testbench stores down
    """


def _enter(state_dir: Path) -> None:
    """An ordinary user's stores are inside a user namespace: continue there when it exists."""
    if rootless.needs_user_namespace():
        holder = rootless.holder_of(StateDir(state_dir))
        if holder is not None:
            rootless.enter(holder, rootless.same_command())


def _open(state_dir: Path) -> Stores:
    _enter(state_dir)
    return Stores.open(state_dir)


@contextmanager
def _bars() -> Iterator[Progress]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, console=console, transient=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def show(step: Step) -> None:
            if step.phase not in tasks:
                tasks[step.phase] = bars.add_task(step.text, total=step.total)
            bars.update(tasks[step.phase], completed=step.done or 0, total=step.total)

        yield show


def _up_inside(state_dir: Path) -> None:
    """Make the user namespace, run this same command in it, and take it away again if that fails."""
    state = StateDir(state_dir)
    if rootless.holder_of(state) is not None:
        raise StateError(
            f"{state.path} already has stores: run `testbench stores down --state-dir {state.path}` first"
        )
    holder = rootless.start_holder(state)
    code = subprocess.run(rootless.inside(holder, rootless.same_command()), check=False).returncode
    if code:
        rootless.end_holder(state)
        state.remove()
    sys.exit(code)


@stores.command()
@click.option("--stores", "count", type=click.IntRange(1, 250), default=2, show_default=True, help="Stores.")
@click.option(
    "--registers", type=click.IntRange(1, 99), default=2, show_default=True, help="Registers in each store."
)
@click.option("--zone", "zones", multiple=True, help="Time zone; several are given to the stores in turn.")
@click.option(
    "--mode",
    type=click.Choice(["auto", *MODES]),
    default="auto",
    show_default=True,
    help="How hosts are made.",
)
@click.option(
    "--product-build",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A product build (bin/ and VERSION) to run on every host.",
)
@_common
def up(
    count: int,
    registers: int,
    zones: tuple[str, ...],
    mode: str,
    product_build: Path | None,
    as_json: bool,
    state_dir: Path,
) -> None:
    """Bring stores up: store1, store2, ... with hosts store1-server, store1-r1, ...

    \b
    Example:
      testbench stores up --stores 3 --registers 4 --zone Europe/Moscow --zone Asia/Novosibirsk
    """
    if rootless.needs_user_namespace() and mode != "plain" and rootless.can_enter():
        _up_inside(state_dir)
    plans = plain_plans(count, registers, zones, product_build)
    with _bars() as progress:
        made = Stores.up(plans, state_dir, mode, progress=progress)  # type: ignore[arg-type]
    _show(made, as_json)


@stores.command(name="down")
@_common
def down_command(as_json: bool, state_dir: Path) -> None:
    """Take the stores down and remove everything of them, also what a killed run left.

    \b
    Example:
      testbench stores down --state-dir /run/garant/stores
    """
    found = ["user namespace"] if rootless.end_holder(StateDir(state_dir)) else []
    found += down(state_dir)
    if as_json:
        click.echo(json.dumps({"state_dir": str(state_dir), "removed": found}))
    else:
        click.echo(f"{state_dir}: removed {', '.join(found)}" if found else f"{state_dir}: nothing was up")


@stores.command(name="list")
@_common
def list_command(as_json: bool, state_dir: Path) -> None:
    """List the stores and their hosts, as they are now.

    \b
    Example:
      testbench stores list --json
    """
    _show(_open(state_dir), as_json)


def _show(fleet: Stores, as_json: bool) -> None:
    described = fleet.describe()
    if as_json:
        click.echo(json.dumps(described))
        return
    table = Table("store", "zone", "WAN", "host", "address", "state", title=f"mode {described['mode']}")
    for store in described["stores"]:
        for number, host in enumerate(store["hosts"]):
            first = [store["name"], store["zone"], store["wan"]] if number == 0 else ["", "", ""]
            table.add_row(*first, host["name"], f"{host['address']}:{host['port']}", host["state"])
    console = Console()
    console.print(table)
    for reduced in described.get("reduced", []):
        console.print(f"reduced: {reduced}")
    console.print(f"reach a host:  ssh -F {described['ssh']['config']} HOST", soft_wrap=True)


def _act(name: str, what: str, argument: str, text: str, act: Callable[[Stores, str], object]) -> None:
    """One command that does one thing to one store or host."""

    @stores.command(name=name, help=f"{text}\n\n\b\nExample:\n  testbench stores {name} {what}")
    @click.argument("target", metavar=argument)
    @_common
    def command(target: str, as_json: bool, state_dir: Path) -> None:
        result = act(_open(state_dir), target)
        if as_json:
            click.echo(json.dumps({"done": name, argument.lower(): target, "result": result}))
        else:
            click.echo(f"{target}: {name} done", err=True)


for _arguments in (
    (
        "cut",
        "store1",
        "STORE",
        "Take a store's WAN link down: it trades on, nobody outside reaches it.",
        Stores.cut,
    ),
    ("restore", "store1", "STORE", "Bring a store's WAN link back, at full speed.", Stores.restore),
    ("fill", "store1-r1", "HOST", "Fill a host's disk to the last block.", Stores.fill),
    ("unfill", "store1-r1", "HOST", "Give the space taken by fill back.", Stores.unfill),
    ("kill", "store1-r1", "HOST", "Cut a host's power: its PID 1 is killed, the disk stays.", Stores.kill),
    ("start", "store1-r1", "HOST", "Switch a killed host on again.", Stores.start),
    (
        "freeze",
        "store1-r1",
        "HOST",
        "Hang a host: nothing in it runs, its connections stay open.",
        Stores.freeze,
    ),
    ("thaw", "store1-r1", "HOST", "Let a frozen host go on.", Stores.thaw),
    ("unplug", "store1-r1", "HOST", "Pull a host's LAN cable.", Stores.unplug),
    ("plug", "store1-r1", "HOST", "Put a host's LAN cable back.", Stores.plug),
):
    _act(*_arguments)


@stores.command()
@click.argument("store")
@click.argument("rate")
@_common
def slow(store: str, rate: str, as_json: bool, state_dir: Path) -> None:
    """Limit a store's WAN link in both directions to RATE: 512kbit, 2mbit; off takes the limit away.

    \b
    Example:
      testbench stores slow store1 512kbit
    """
    _open(state_dir).slow(store, rate)
    if as_json:
        click.echo(json.dumps({"done": "slow", "store": store, "rate": rate}))
    else:
        click.echo(f"{store}: WAN limit {rate}", err=True)


@stores.command(context_settings={"allow_interspersed_args": False})
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@_common
def ssh(host: str, command: tuple[str, ...], as_json: bool, state_dir: Path) -> None:
    """Log in to a host, or run one command on it and end with its exit code. Options go before HOST.

    \b
    Example:
      testbench stores ssh store1-r1
      testbench stores ssh store1-r1 cash status
    """
    fleet = _open(state_dir)
    fleet.site.host(host)
    if not as_json:
        line = fleet.ssh.command(host, command)
        os.execvp(line[0], line)  # noqa: S606 - people get ssh itself, with its terminal
    done = fleet.run(host, " ".join(command) or "true")
    click.echo(
        json.dumps({"host": host, "exit_code": done.returncode, "stdout": done.stdout, "stderr": done.stderr})
    )
    sys.exit(1 if done.returncode else 0)


@stores.command(name="exec", context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@_common
def exec_command(command: tuple[str, ...], as_json: bool, state_dir: Path) -> None:
    """Run a program where the stores can be reached: for an ordinary user, inside their namespace.

    \b
    Example:
      testbench stores exec -- ansible-playbook -i hosts.ini site.yml
    """
    del as_json  # the output is the program's own
    _open(state_dir)
    os.execvp(command[0], command)  # noqa: S606 - runs the caller's own command
