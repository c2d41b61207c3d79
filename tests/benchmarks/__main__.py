"""Prints figures; asserts nothing (a machine's speed is no truth of ours).

make bench                                     everything, in about a quarter of an hour
python -m tests.benchmarks minimise bisect     these only
python -m tests.benchmarks --quick             a look
python -m tests.benchmarks defects --only R10 --only R19 --json
python -m tests.benchmarks defects --resume defects.jsonl     an interrupted call goes on
python -m tests.benchmarks replay --receipts 5000             a large store's day
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path

from rich.console import Console

from tests.benchmarks.report import Options, Report

#: Names and what each shows; modules of this folder with ``run(options, tell)``.
BENCHMARKS = {
    "minimise": "oracle calls and events replayed, beside the published algorithms",
    "bisect": "runs and right answers over 512 commits, beside git bisect",
    "verdicts": "how often the sequential test is right, and its runs",
    "replay": "receipts per second through the reference SET; builds cold and warm",
    "defects": "every planted defect of the reference SET: verdict, minimal size, culprit",
    "demo": "the demo's time per step",
}

#: Columns of a table where the output is no terminal.
WIDTH = 150


def main() -> None:
    """Run what was asked for; tables on stdout as they are ready, progress on stderr."""
    names, options, as_json = _arguments()
    # In a file or a pipe there is no width to keep to, and folded tables are hard to read.
    out = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    err = Console(stderr=True)
    started = time.monotonic()
    reports: dict[str, list[Report]] = {}
    with err.status("starting") as status:

        def tell(text: str) -> None:
            line = f"{time.monotonic() - started:5.0f} s  {text}"
            if err.is_terminal:
                status.update(line)
            else:
                print(line, file=sys.stderr, flush=True)

        for name in names:
            reports[name] = []
            for report in importlib.import_module(f"tests.benchmarks.{name}").run(options, tell):
                reports[name].append(report)
                if not as_json:
                    report.show(out)
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    seconds = round(time.monotonic() - started, 1)
    if as_json:
        tables = {name: [report.as_json() for report in found] for name, found in reports.items()}
        print(json.dumps({"machine": machine, "seconds": seconds, "benchmarks": tables}, ensure_ascii=False))
    else:
        out.print(f"{machine}, {seconds:.0f} s in all", highlight=False)


def _arguments() -> tuple[list[str], Options, bool]:
    listed = "\n".join(f"  {name:9} {what}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=f"{__doc__}\nBenchmarks:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Options()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument(
        "--quick", action="store_true", help="a look: fewer sizes, defects and receipts; no demo"
    )
    parser.add_argument("--seeds", type=int, default=default.seeds, help="synthetic problems for each figure")
    parser.add_argument(
        "--only", action="append", default=[], metavar="CLASS", help="planted defects: only these"
    )
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keeps finished planted defects")
    parser.add_argument("--receipts", type=int, default=default.receipts, help="of the day that is played")
    parser.add_argument("--runs", type=int, default=default.runs, help="of the demo")
    parser.add_argument("--stores", type=int, default=default.stores, help="of the demo")
    parser.add_argument("--registers", type=int, default=default.registers, help="of the demo, in each store")
    given = parser.parse_args()
    for name in given.names:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    for name in ("seeds", "receipts", "runs", "stores", "registers"):
        if getattr(given, name) < 1:
            parser.error(f"--{name} must be 1 or more, not {getattr(given, name)}")
    names = given.names or [name for name in BENCHMARKS if not (given.quick and name == "demo")]
    options = Options(
        seeds=given.seeds,
        quick=given.quick,
        only=tuple(given.only),
        resume=given.resume,
        runs=given.runs,
        stores=given.stores,
        registers=given.registers,
        receipts=given.receipts,
    )
    return names, options, given.json


if __name__ == "__main__":
    main()
