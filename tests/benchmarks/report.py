"""What a benchmark hands back, and how it is shown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

#: Told where a long benchmark is.
Tell = Callable[[str], None]
Cell = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says, for all benchmarks."""

    #: Synthetic problems for each figure.
    seeds: int = 30
    #: A look: fewer sizes, fewer defects, one short day.
    quick: bool = False
    #: Classes of planted defects ("R10"); empty means all.
    only: tuple[str, ...] = ()
    #: File that keeps finished planted defects, so that an interrupted call goes on.
    resume: Path | None = None
    #: Times that the demo is played.
    runs: int = 1
    stores: int = 3
    registers: int = 4
    #: Receipts of the day that is played through the reference SET.
    receipts: int = 200


@dataclass(kw_only=True)
class Report:
    """One table of figures."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    #: What has to be known to read it: goals, what a column counts, what was left out and why.
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """One row."""
        assert len(cells) == len(self.columns)
        self.rows.append(cells)

    def as_json(self) -> dict[str, Any]:
        """The table as an object; every row is an object too."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": self.notes}

    def show(self, console: Console) -> None:
        """Draw it."""
        table = Table(title=self.title, title_justify="left", title_style="bold")
        for place, name in enumerate(self.columns):
            numbers = any(isinstance(row[place], int | float) for row in self.rows)
            table.add_column(name, justify="right" if numbers else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*map(_text, row))
        console.print(table)
        for note in self.notes:
            console.print(f"  {note}", markup=False, highlight=False)
        console.print()


#: A benchmark: gives one table after the other, as they are ready.
Benchmark = Callable[[Options, Tell], Iterator[Report]]


def median(values: Sequence[float]) -> float | None:
    """The median, rounded to what a reader can use; None for nothing."""
    if not values:
        return None
    middle = statistics.median(values)
    return round(middle, 1) if middle < 100 else round(middle)


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "NO"
    if isinstance(cell, float):
        return f"{cell:,.3g}" if abs(cell) < 1 else f"{cell:,.1f}".removesuffix(".0")
    return f"{cell:,}" if isinstance(cell, int) else cell
