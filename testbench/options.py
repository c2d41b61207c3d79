"""Options that several commands take: limits of a run, benches, going on or beginning anew."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from testbench.drivers.port import Limits


@dataclass(frozen=True, kw_only=True)
class Running:
    """How a command runs."""

    limits: Limits
    benches: int = 1
    fresh: bool = False
    priority: int = 0


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases of click
    """A number of bytes: 512M, 2G, 1.5g, 1048576."""

    name = "size"
    _UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}  # noqa: RUF012 - never changed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", str(value).strip(), re.IGNORECASE)
        size = int(float(found[1]) * self._UNITS[found[2].upper()]) if found else 0
        if size < 1024**2:
            self.fail(f"{value!r} is not a size of 1M or more; write 512M or 2G", param, ctx)
        return size


SIZE = Size()

against = click.option(
    "--against",
    metavar="VERSION",
    help="A version taken to be right: whatever is seen differently from it is a failure "
    "(default: the one that the scenario names, if any).",
)
_timeout = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=Limits.seconds,
    show_default=True,
    help="Seconds that one run may take at most.",
)
_memory = click.option(
    "--memory",
    type=SIZE,
    metavar="SIZE",
    default="2G",
    show_default=True,
    help="Memory that all processes of one run may have together.",
)
_disk = click.option(
    "--disk",
    type=SIZE,
    metavar="SIZE",
    default="2G",
    show_default=True,
    help="What one run may write in its workspace.",
)
_benches = click.option(
    "--benches",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many runs go on at once.",
)
_priority = click.option(
    "--priority",
    type=click.IntRange(-100, 100),
    default=0,
    show_default=True,
    help="Where several programs wait for slots, higher ones get them first.",
)
_fresh = click.option(
    "--fresh", is_flag=True, help="Begin anew: take no runs of a start that was broken off."
)


def limits(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the limits of a run; the command gets them as ``running``."""

    @functools.wraps(command)
    def called(timeout: float, memory: int, disk: int, **others: Any) -> None:
        allowed = Limits(
            seconds=timeout,
            memory_bytes=memory,
            disk_bytes=disk,
            file_bytes=disk,
        )
        command(**others, running=Running(limits=allowed))

    return _timeout(_memory(_disk(called)))


def running(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the limits, and how the runs are made; the command gets them as ``running``."""

    @functools.wraps(command)
    def called(running: Running, benches: int, fresh: bool, priority: int, **others: Any) -> None:
        how = Running(limits=running.limits, benches=benches, fresh=fresh, priority=priority)
        command(**others, running=how)

    return _benches(_priority(_fresh(limits(called))))
