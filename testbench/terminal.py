"""Draws progress on stderr: a moving line on a terminal, one line a phase elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from testbench import progress as port


@contextlib.contextmanager
def shown(console: Console) -> Iterator[port.Progress]:
    """A progress callback that draws on ``console`` (stderr) until the block ends."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[phase]}", style="bold"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, phase="")
        current = ""

        def draw(step: port.Step) -> None:
            nonlocal current
            if step.phase != current:
                # The remaining time of one phase says nothing about the next one.
                bar.reset(task)
                current = step.phase
            bar.update(
                task,
                description=step.text,
                phase=step.phase,
                completed=step.done or 0,
                total=step.total,
            )

        yield draw


def _lines(console: Console) -> port.Progress:
    """One line when a phase begins, and one for each fifth of it: a log should not be a film."""
    last = ("", -1)

    def write(step: port.Step) -> None:
        nonlocal last
        part = (step.done or 0) * 5 // step.total if step.total else (step.done or 0) // 20
        if (step.phase, part) != last:
            last = (step.phase, part)
            console.print(f"{step.phase}: {step.text}", markup=False, highlight=False)

    return write
