"""Every planted defect of the reference SET on the bench: verdict, minimal size, culprit, fix, time."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from testbench.api import Bench
from testbench.errors import TestbenchError
from tests.benchmarks import shop
from tests.benchmarks.report import Cell, Options, Report, Tell, median

COLUMNS = [
    "defect",
    "verdict",
    "right",
    "size",
    "calls",
    "culprit right",
    "runs",
    "fix seen",
    "seconds",
    "title",
]
QUICK_DEFECTS = 2


def run(options: Options, tell: Tell) -> Iterator[Report]:
    """One row a defect, as the record has them; as many at once as there are cores."""
    report = Report(
        title="defects: planted in the reference SET",
        columns=COLUMNS,
        notes=[
            "right: shown on the release that brought it, with the signature; size: elements left",
            "culprit: the commit, from the small scenario and the bad release alone; runs: of the bisection",
            "fix seen: clean on the release that has the fix while the old one still fails",
        ],
    )
    wanted = [d for d in shop.planted() if not options.only or d["class"] in options.only]
    if missing := set(options.only) - {defect["class"] for defect in wanted}:
        raise SystemExit(f"no planted defect is of class {', '.join(sorted(missing))}; see {shop.RECORD}")
    if options.quick and not options.only:
        wanted = wanted[:QUICK_DEFECTS]
    rows = _finished(options.resume)
    rows |= _played([d for d in wanted if _key(d) not in rows], options.resume, tell)
    for defect in wanted:
        report.add(*rows[_key(defect)])
    report.notes.append(_summary([rows[_key(defect)] for defect in wanted]))
    yield report


def _played(defects: list[dict[str, Any]], keep: Path | None, tell: Tell) -> dict[str, list[Cell]]:
    rows: dict[str, list[Cell]] = {}
    if not defects:
        return rows
    with tempfile.TemporaryDirectory(prefix="garant-bench-") as folder:
        make = shop.bench(Path(folder))
        lock = threading.Lock()

        def play(defect: dict[str, Any]) -> list[Cell]:
            with lock:
                tell(f"defects: {defect['class']} ({len(rows)} of {len(defects)} done)")
            return _row(defect, make)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            waiting = {pool.submit(play, defect): defect for defect in defects}
            for done in as_completed(waiting):
                key = _key(waiting[done])
                rows[key] = done.result()
                if keep is not None:
                    with keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"defect": key, "row": rows[key]}, ensure_ascii=False) + "\n")
    return rows


def _row(defect: dict[str, Any], make: Callable[[], Bench]) -> list[Cell]:
    """Plays one; a step that the bench refuses is told in the row, not the end of the others."""
    begun = time.monotonic()
    found: dict[str, Cell] = {"defect": defect["class"], "title": defect["title"]}
    known = shop.played(defect)
    if known is None:
        found["verdict"] = "no scenario"
        return [found.get(column) for column in COLUMNS]
    try:
        _bench(defect, *known, make(), found)
    except TestbenchError as problem:
        found["title"] = f"{defect['title']}: {problem}"
    found["seconds"] = round(time.monotonic() - begun, 1)
    return [found.get(column) for column in COLUMNS]


def _bench(
    defect: dict[str, Any], scenario: shop.Scenario, signature: str, bench: Bench, found: dict[str, Cell]
) -> None:
    bad = defect["first_bad"]["release"]
    verdict = bench.run(scenario, bad)
    found["verdict"] = verdict.word.value
    if verdict.rate not in (None, 1.0):
        found["verdict"] = f"{verdict.word.value} {verdict.rate:.0%}"
    found["right"] = verdict.shown and verdict.signature == signature
    reduced = bench.minimise(scenario, bad, verdict=verdict)
    found |= {"size": reduced.after, "calls": reduced.oracle_calls}
    culprit = bench.bisect(reduced.scenario, good=None, bad=bad, verdict=verdict)
    found |= {"culprit right": culprit.id == defect["first_bad"]["commit"], "runs": culprit.runs}
    if fixed := defect.get("fixed"):
        answer = bench.verify_fix(
            reduced.scenario, bad=bad, new=fixed["release"], rate=verdict.rate or 1.0, signature=signature
        )
        found["fix seen"] = answer.word.value == "fixed"


def _key(defect: dict[str, Any]) -> str:
    return f"{defect['class']} {defect['first_bad']['commit']}"


def _finished(file: Path | None) -> dict[str, list[Cell]]:
    """Rows of an earlier call; a line that an interruption cut short is played again."""
    rows: dict[str, list[Cell]] = {}
    if file is None or not file.exists():
        return rows
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if len(record["row"]) == len(COLUMNS):
            rows[record["defect"]] = record["row"]
    return rows


def _summary(rows: list[list[Cell]]) -> str:
    def right(column: str) -> str:
        cells = [row[COLUMNS.index(column)] for row in rows]
        return f"{cells.count(True)} of {len(cells)}"

    sizes = [float(size) for row in rows if isinstance(size := row[COLUMNS.index("size")], int)]
    return (
        f"verdict right {right('right')}, culprit right {right('culprit right')}, "
        f"fix seen {right('fix seen')}, median size {median(sizes)}"
    )
