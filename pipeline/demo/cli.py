"""``garant demo``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pipeline.cli import as_json, json_option
from pipeline.demo import cleaning
from pipeline.demo.steps import NotAsToldError, StepResult, StoryEndedError
from pipeline.errors import GarantError
from testbench.errors import TestbenchError

_DEFAULT = "~/.local/state/garant-demo"


@click.command()
@click.option("--stores", type=click.IntRange(1, 12), default=3, show_default=True, help="Stores in all.")
@click.option("--registers", type=click.IntRange(2, 20), default=4, show_default=True, help="In each store.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed tells the same story.")
@click.option(
    "--tracker",
    type=click.Choice(["local", "jira"]),
    default="local",
    show_default=True,
    help="Where the defect is filed; jira: a server on loopback that speaks Jira's REST.",
)
@click.option(
    "--mode",
    type=click.Choice(["auto", "systemd", "runit"]),
    default="auto",
    show_default=True,
    help="How the stores' hosts are kept apart and supervised; auto: the fullest that works here.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Where everything of the demo goes.  [default: {_DEFAULT}]",
)
@click.option("--keep", is_flag=True, help="Leave the stores up at the end; --clean removes them.")
@click.option("--clean", "clean_only", is_flag=True, help="Only remove what earlier demos left.")
@json_option
def demo(
    stores: int,
    registers: int,
    seed: int,
    tracker: str,
    mode: str,
    folder: Path | None,
    keep: bool,
    clean_only: bool,
    json_: bool,
) -> None:
    """Play the whole story on this machine, on real parts: hosts, SSH, SET, git, Ansible, signatures, mail.

    A defect shows in one store; it is diagnosed, reproduced, minimised, bisected, filed and promised; its fix
    is released, approved and rolled out; the client's case closes when its last store runs it. Each step is
    verified by looking at the world. Takes about 4 minutes; what it made stays until the next run.

    \b
    Examples:
      garant demo
      garant demo --stores 2 --registers 6 --tracker jira
      garant demo --clean
    """
    where = (folder or Path(os.environ.get("GARANT_DEMO", _DEFAULT))).expanduser().absolute()
    other = cleaning.running(where)
    if other is not None and other != os.getpid():
        raise GarantError(
            f"a demo is playing in {where} (process {other}): wait for its end, or give another --folder"
        )
    if clean_only:
        removed = cleaning.clean(where)
        if json_:
            as_json({"removed": removed})
        else:
            click.echo("\n".join(removed) if removed else f"nothing to remove in {where}")
        return
    _inside_user_namespace()
    # Ctrl-C and TERM unwind the story, so that the stores are taken down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _play(where, stores, registers, seed, tracker, mode, keep, json_)


def _inside_user_namespace() -> None:
    """An ordinary user plays inside a user namespace of his own; root goes on as he is."""
    from testbench.stores.rootless import needs_user_namespace, reexec_inside_user_namespace

    if needs_user_namespace():
        click.echo(
            "not root: the stores live in a user namespace, supervised by runit instead of systemd", err=True
        )
        reexec_inside_user_namespace()


def _play(
    where: Path, stores: int, registers: int, seed: int, tracker: str, mode: str, keep: bool, json_: bool
) -> None:
    from pipeline.demo.plan import make_plan
    from pipeline.demo.stage import Stage
    from pipeline.demo.steps import Narrator
    from pipeline.demo.story import story
    from pipeline.demo.trackers import demo_tracker

    console = Console(stderr=True)
    cleaning.clean(where)
    cleaning.claim(where)
    os.environ["TESTBENCH_HOME"] = str(where / "bench")
    narrator = Narrator(console)
    plan = make_plan(stores, registers, seed)
    stage = Stage(where, plan, narrator, mode=mode, tracker=demo_tracker(tracker))
    failed: StoryEndedError | None = None
    try:
        results = narrator.play(story(stage))
    except StoryEndedError as ended:
        failed, results = ended, ended.results
    finally:
        _close(stage, keep)
        (where / cleaning.PID_FILE).unlink(missing_ok=True)
    if json_:
        as_json(_answer(failed is None, results, stage))
    elif failed is None:
        _show_end(console, stage, results)
    if failed is not None:
        _explain(failed, where)


def _close(stage: Any, keep: bool) -> None:
    try:
        stage.close(keep=keep)
    except TestbenchError as error:
        # Not raised: how the story ended is what is to be told.
        click.echo(f"garant: stores did not go down: {error}. `garant demo --clean` tries again", err=True)


def _answer(ok: bool, results: list[StepResult], stage: Any) -> dict[str, Any]:
    told = stage.told
    return {
        "ok": ok,
        "steps": [result.as_json() for result in results],
        "defect": told.defect,
        "tracker": told.tracker,
        "promise": told.promise,
        "release": told.release,
        "rollout": told.rollout,
        "notices": told.notices,
        "folder": str(stage.folder),
    }


def _show_end(console: Console, stage: Any, results: list[StepResult]) -> None:
    told, home = stage.told, stage.home
    seconds = sum(result.seconds for result in results)
    console.print("\n[bold]What happened[/]")
    stage.narrator.retell()
    console.print(f"\n[bold green]Everything happened, and was seen to happen[/] ({seconds:.0f} s).\n")
    console.print("Where to look:", highlight=False)
    places = (
        ("bundle", f"pytest {told.defect['bundle']}"),
        ("tracker", f"garant --home {home} defect show {told.defect_id}"),
        ("case", f"garant --home {home} case show {told.case}"),
        ("notices", f"garant --home {home} notices list"),
        ("release", f"garant --home {home} release verify {told.release['version']}"),
        ("rollout", f"garant --home {home} rollout status {told.rollout['id']}"),
        ("product", f"git -C {stage.folder / 'set10.git'} log --oneline"),
        ("remove", f"garant demo --clean --folder {stage.folder}"),
    )
    for name, command in places:
        console.print(f"  {name:8} {command}", highlight=False, soft_wrap=True)


def _explain(failed: StoryEndedError, where: Path) -> None:
    cause = failed.__cause__
    step = failed.results[-1].name
    if isinstance(cause, KeyboardInterrupt):
        click.echo(
            f"garant: interrupted in step {step}; the stores are down, the rest is in {where}", err=True
        )
        sys.exit(130)
    if isinstance(cause, (GarantError, NotAsToldError)) or type(cause).__module__.startswith("testbench"):
        click.echo(f"garant: step {step}: {cause}", err=True)
        click.echo(f"garant: what there was is in {where}; the next demo there begins anew", err=True)
        sys.exit(1)
    raise failed
