"""Runs the steps of the story in order, shows where it is, keeps what each took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from pipeline.errors import GarantError


class NotAsToldError(GarantError):
    """A step was done, but the world does not show it."""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """One step that was played."""

    name: str
    ok: bool
    seconds: float

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {"name": self.name, "ok": self.ok, "seconds": round(self.seconds, 1)}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step: its name for programs, its title for people, about how long it takes here (seconds)."""

    name: str
    title: str
    expected_seconds: float
    play: Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A line of the timeline."""

    seconds: float
    text: str


class Narrator:
    """Shows the story on a terminal; on a pipe it prints plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = time.monotonic()
        self._status: Status | None = None
        self._title = ""
        self.timeline: list[Moment] = []

    def say(self, text: str) -> None:
        """A fact of the story: stays on the screen and in the timeline."""
        moment = Moment(seconds=time.monotonic() - self._begun, text=text)
        self.timeline.append(moment)
        self._console.print(_line(moment), highlight=False, soft_wrap=True)

    def retell(self) -> None:
        """The whole timeline once more, for whoever was not looking."""
        for moment in self.timeline:
            self._console.print(_line(moment), highlight=False, soft_wrap=True)

    def doing(self, text: str) -> None:
        """What is being done right now: replaces itself."""
        if self._status is not None:
            self._status.update(f"{self._title}: {escape(text)}")

    def play(self, steps: list[Step]) -> list[StepResult]:
        """Play the steps in order; the first that fails ends the story.

        Returns:
            What each step took, the failed one last. Its exception is raised by ``failure``.
        """
        results: list[StepResult] = []
        left = sum(step.expected_seconds for step in steps)
        for number, step in enumerate(steps, start=1):
            self._title = (
                f"[bold]{number}/{len(steps)} {escape(step.title)}[/] [dim](about {left:.0f} s to go)[/]"
            )
            self._console.print(f"[bold]{number}/{len(steps)} {escape(step.title)}[/]", highlight=False)
            begun = time.monotonic()
            with self._console.status(self._title) as self._status:
                try:
                    step.play()
                except BaseException as error:
                    results.append(StepResult(name=step.name, ok=False, seconds=time.monotonic() - begun))
                    raise StoryEndedError(results) from error
            self._status = None
            results.append(StepResult(name=step.name, ok=True, seconds=time.monotonic() - begun))
            left -= step.expected_seconds
        return results


class StoryEndedError(Exception):
    """The story ended before its end; ``results`` holds what was played, the cause is chained."""

    def __init__(self, results: list[StepResult]) -> None:
        super().__init__(results[-1].name)
        self.results = results


def _line(moment: Moment) -> str:
    return f"    [dim]{_clock(moment.seconds)}[/]  {escape(moment.text)}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
