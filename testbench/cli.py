"""The command line ``testbench`` (DESIGN section 6)."""

from __future__ import annotations

import contextlib
import importlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from testbench import options, progress, terminal
from testbench.api import Bench
from testbench.bisection.service import Culprit
from testbench.bundles.replaying import replay as replay_bundle
from testbench.errors import TestbenchError, UsageError
from testbench.options import Running
from testbench.verdicts.rules import Verdict, Word

#: Groups that live in other folders; imported when they are called.
GROUPS = {
    "stores": "testbench.stores.cli",
    "reference": "testbench.reference.cli",
    "slots": "testbench.slots.cli",
    "builds": "testbench.products.cli",
}
#: Exit code of a shell's Ctrl-C.
INTERRUPTED = 130

_out = Console()
_err = Console(stderr=True)


class _Root(click.Group):
    """Mounts the groups of other folders without importing them for every command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *GROUPS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in GROUPS:
            return super().get_command(ctx, cmd_name)
        try:
            found: click.Command = getattr(importlib.import_module(GROUPS[cmd_name]), cmd_name)
        except (ImportError, AttributeError) as problem:
            return _missing(cmd_name, problem)
        return found


def _missing(name: str, problem: Exception) -> click.Command:
    """A stand-in, so that ``testbench --help`` works and the call itself says what is wrong."""

    @click.command(
        name,
        short_help="(not available in this installation)",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def stand_in() -> None:
        raise TestbenchError(f"`testbench {name}` cannot be loaded: {problem}; install the package again")

    return stand_in


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Play a defect again, make it small, find where it came from.

    A product is described by product.yaml, a run by a scenario. The usual way:

    \b
      testbench run scenario/ --product product.yaml --version v1.4.0
      testbench minimise scenario/ --product product.yaml --version v1.4.0 --out small/
      testbench bisect small/ --product product.yaml --good v1.2.0 --bad v1.4.0
      testbench replay bundle/
    """


_scenario = click.argument("scenario", type=click.Path(exists=True, path_type=Path))
_product = click.option(
    "--product",
    "product_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="product.yaml: where the versions are and how one is built.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")


@cli.command()
@_scenario
@_product
@click.option("--version", required=True, help="Tag, commit or package version.")
@click.option("--runs", type=click.IntRange(min=1), help="Run exactly so often (default: until it is clear).")
@click.option("--signature", help="The failure looked for (default: the most frequent one).")
@options.against
@options.running
@_json
def run(
    scenario: Path,
    product_file: Path,
    version: str,
    runs: int | None,
    signature: str | None,
    against: str | None,
    running: Running,
    as_json: bool,
) -> None:
    """Play SCENARIO on one version and give the verdict.

    Runs go on until it is clear: 2 failures in a row show a defect (then 20 runs give its rate), 22 good
    runs exclude one that fails every eighth time or oftener. A command that was broken off (kill -9, power)
    goes on with the runs that it had made when it is given again.

    \b
    Examples:
      testbench run scenario/ --product product.yaml --version v1.4.0 --json
      testbench run scenario/ --product product.yaml --version v1.4.0 --against v1.2.0 --benches 2
    """
    with _bench(product_file, running) as bench:
        verdict = bench.run(bench.load(scenario), version, runs=runs, signature=signature, against=against)
    if as_json:
        _print_json({"version": version, **verdict.as_json()})
    else:
        _print_verdict(version, verdict)
    if verdict.word is Word.CANNOT_RUN:
        raise TestbenchError(f"{version} cannot be run: {verdict.reason}")


@cli.command()
@_scenario
@_product
@click.option("--version", required=True, help="A version on which it fails.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the small scenario; must be empty or not there yet.",
)
@options.against
@options.running
@_json
def minimise(
    scenario: Path,
    product_file: Path,
    version: str,
    out: Path,
    against: str | None,
    running: Running,
    as_json: bool,
) -> None:
    """Make SCENARIO as small as it can be while it fails in the same way.

    Whole units are left out first, then single elements, until none can go; the result is checked once more.

    \b
    Example:
      testbench minimise scenario/ --product product.yaml --version v1.4.0 --out small/
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; give another folder for the small scenario")
    with _bench(product_file, running) as bench:
        reduced = bench.minimise(bench.load(scenario), version, against=against)
        out.mkdir(parents=True, exist_ok=True)
        bench.driver.write(reduced.scenario, out)
    if as_json:
        _print_json({"version": version, "out": str(out), **reduced.as_json()})
    else:
        _print_table(
            f"{reduced.before} -> {reduced.after} elements, in {out}",
            {
                "failure": reduced.signature,
                "asked": f"{reduced.oracle_calls} times, {reduced.runs} runs, "
                f"{reduced.events_replayed} elements replayed",
                "checked again": "yes" if reduced.verified else "NO: it did not fail again",
            },
        )
    if not reduced.verified:
        raise TestbenchError(f"the small scenario in {out} did not fail again; run it for a verdict")


@cli.command()
@_scenario
@_product
@click.option("--good", help="A version without the defect (default: looked for among older releases).")
@click.option("--bad", required=True, help="A version with it.")
@click.option(
    "--find",
    type=click.Choice(["bad", "fixed"]),
    default="bad",
    show_default=True,
    help="The first bad version, or (with the bad version older than the good one) the first fixed one.",
)
@options.against
@options.running
@_json
def bisect(
    scenario: Path,
    product_file: Path,
    good: str | None,
    bad: str,
    find: str,
    against: str | None,
    running: Running,
    as_json: bool,
) -> None:
    """Find the release and the commit that brought a defect, or its fix.

    Both ends are tested first. Versions that cannot be built are passed over; a defect that shows only
    sometimes is followed by its probability; the culprit is confirmed against its parent. Where that is not
    certain the answer is a range.

    \b
    Examples:
      testbench bisect scenario/ --product product.yaml --good v1.2.0 --bad v1.4.0
      testbench bisect scenario/ --product product.yaml --find fixed --bad v1.4.0 --good v1.6.0
    """
    with _bench(product_file, running) as bench:
        culprit = bench.bisect(
            bench.load(scenario),
            good=good,
            bad=bad,
            find="fixed" if find == "fixed" else "bad",
            against=against,
        )
    if as_json:
        _print_json(culprit.as_json())
    else:
        _print_culprit(culprit)


@cli.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--version", help="Version to play on (default: the one that has the defect).")
@click.option(
    "--product",
    "product_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="product.yaml to take instead of the bundle's own.",
)
@options.limits
@_json
def replay(
    bundle: Path, version: str | None, product_file: Path | None, running: Running, as_json: bool
) -> None:
    """Play BUNDLE again, as `pytest BUNDLE` does: exit 0 where its defect is absent, 1 where it shows.

    A bundle holds programs (its product's build lines, its scenario): replay only what you would run.

    \b
    Example:
      testbench replay bundle/ --version v1.5.0
    """
    with _progress() as draw:
        result = replay_bundle(
            bundle, version=version, product=product_file, limits=running.limits, progress=draw
        )
    if as_json:
        _print_json(result.as_json())
    if result.present is not False:
        raise TestbenchError(result.report())
    if not as_json:
        _out.print(result.report(), markup=False, highlight=False)


@contextlib.contextmanager
def _progress() -> Iterator[progress.Progress]:
    # With --json stderr still shows where it is; stdout holds the answer only.
    with terminal.shown(_err) as draw:
        yield draw


@contextlib.contextmanager
def _bench(product_file: Path, running: Running) -> Iterator[Bench]:
    with _progress() as draw:
        yield Bench.open(
            product_file,
            limits=running.limits,
            progress=draw,
            benches=running.benches,
            fresh=running.fresh,
            priority=running.priority,
        )


def _print_json(record: dict[str, Any]) -> None:
    click.echo(json.dumps(record, ensure_ascii=False))


def _print_verdict(version: str, verdict: Verdict) -> None:
    rows = {"version": version, "why": verdict.reason}
    if verdict.interval and verdict.rate is not None and verdict.bad:
        low, high = verdict.interval
        rows["failure rate"] = f"{verdict.rate:.0%} (95 %: {low:.0%} to {high:.0%})"
    if verdict.bad:
        shown = next(o for o in verdict.outcomes if o.is_bad and o.signature == verdict.signature)
        rows |= {"failure": verdict.signature or "", "expected": shown.expected, "seen": shown.seen}
    _print_table(verdict.word.value, rows)


def _print_culprit(culprit: Culprit) -> None:
    what = "first fixed" if culprit.find == "fixed" else "first bad"
    title = f"{what}: {culprit.id or f'one of {len(culprit.range)}'}"
    rows = {"release": culprit.release or "-", "parent": culprit.parent or "-"}
    if culprit.range:
        rows["range"] = "\n".join(culprit.range[:20]) + ("\n..." if len(culprit.range) > 20 else "")
        rows["why no name"] = culprit.reason
    rows |= {
        "confirmed": "yes" if culprit.confirmed else "no",
        "confidence": f"{culprit.confidence:.1%}",
        "runs": f"{culprit.runs} in {culprit.seconds:.0f} s, {len(culprit.skipped)} versions untestable",
    }
    _print_table(title, rows)


def _print_table(title: str, rows: dict[str, str]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            table.add_row(name, click.unstyle(value).replace("[", r"\["))
    _out.print(table)


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM ends the runs that were started, as Ctrl-C does; the default would leave them behind."""
    raise SystemExit(128 + signal.SIGTERM)


def main() -> NoReturn:
    """The program ``testbench``: exit 0 done, 1 refused or failed, 2 wrong use, 130 interrupted."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except UsageError as problem:
        click.echo(f"testbench: {problem}", err=True)
        sys.exit(2)
    except TestbenchError as problem:
        click.echo(f"testbench: {problem}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        click.echo("testbench: interrupted; what was running has been ended", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(0)
