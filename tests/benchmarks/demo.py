"""The demo's time per step."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.report import Options, Report, Tell

GARANT = Path(sys.executable).with_name("garant")


def run(options: Options, tell: Tell) -> Iterator[Report]:
    """Play it, then minimum, median and maximum of each step."""
    runs = []
    with tempfile.TemporaryDirectory(prefix="garant-bench-") as folder:
        for number in range(options.runs):
            tell(f"demo: run {number + 1} of {options.runs}")
            runs.append(_play(Path(folder) / "demo", options.stores, options.registers))
        subprocess.run(
            [str(GARANT), "demo", "--clean", "--folder", f"{folder}/demo"], check=True, stdout=sys.stderr
        )
    report = Report(
        title=f"garant demo, {options.stores} stores x {options.registers} registers, {len(runs)} run(s), "
        f"seconds ({os.cpu_count()} cores, Python {platform.python_version()})",
        columns=["step", "min", "median", "max"],
    )
    for name in [*runs[0], "all"]:
        seconds = [sum(run.values()) if name == "all" else run[name] for run in runs]
        report.add(name, round(min(seconds), 1), round(statistics.median(seconds), 1), round(max(seconds), 1))
    yield report


def _play(folder: Path, stores: int, registers: int) -> dict[str, float]:
    """Seconds by step."""
    sizes = ["--stores", str(stores), "--registers", str(registers)]
    command = [str(GARANT), "demo", "--json", "--folder", str(folder), *sizes]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the demo ended with exit code {done.returncode}; see above")
    return {step["name"]: step["seconds"] for step in json.loads(done.stdout)["steps"]}
