"""Prints figures; asserts nothing (a machine's speed is no truth of ours).

make bench                             the demo's time per step, over three runs
python -m tests.benchmarks --runs 1    quicker
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

GARANT = Path(sys.executable).with_name("garant")


def play_demo(folder: Path, stores: int, registers: int) -> dict[str, float]:
    """Play the demo once; seconds by step."""
    sizes = ["--stores", str(stores), "--registers", str(registers)]
    command = [str(GARANT), "demo", "--json", "--folder", str(folder), *sizes]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the demo ended with exit code {done.returncode}; see above")
    return {step["name"]: step["seconds"] for step in json.loads(done.stdout)["steps"]}


def main() -> None:
    """Play, then print minimum, median and maximum of each step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--stores", type=int, default=3)
    parser.add_argument("--registers", type=int, default=4)
    options = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory(prefix="garant-bench-") as folder:
        for _ in range(options.runs):
            runs.append(play_demo(Path(folder) / "demo", options.stores, options.registers))
        subprocess.run([str(GARANT), "demo", "--clean", "--folder", f"{folder}/demo"], check=True)
    table = Table("step", "min", "median", "max", title_justify="left")
    table.title = (
        f"garant demo, {options.stores} stores x {options.registers} registers, {len(runs)} runs, seconds "
        f"({os.cpu_count()} cores, Python {platform.python_version()})"
    )
    for name in [*runs[0], "all"]:
        seconds = [sum(run.values()) if name == "all" else run[name] for run in runs]
        figures = (min(seconds), statistics.median(seconds), max(seconds))
        table.add_row(name, *(f"{figure:.1f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
