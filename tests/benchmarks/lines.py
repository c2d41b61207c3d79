"""Synthetic lines of versions, and ways to find the change on them: ours, and git's on a real repository."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from testbench import statistics
from testbench.bisection.search import Line, search
from testbench.outcomes import Outcome

#: Script of `git bisect run`: looks up what this commit shows, writes down that it was asked.
_SCRIPT = """#!/bin/sh
read number < number
echo "$number" >> "$1/asked"
exit $(sed -n "$((number + 1))p" "$1/codes")
"""


@dataclass(kw_only=True)
class History:
    """A change somewhere on a line of commits; commit 0 is good and the last one bad, both can be tested."""

    size: int
    change: int
    rate: float
    alarms: float = 0.0
    broken: frozenset[int] = frozenset()
    seed: int = 0
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(f"runs {self.seed}")

    @classmethod
    def of(
        cls, seed: int, *, rate: float, alarms: float = 0.0, broken: float = 0.0, size: int = 513
    ) -> History:
        """The change anywhere; a share of the others cannot be built."""
        chance = random.Random(seed)
        change = chance.randrange(1, size)
        unbuildable = frozenset(n for n in range(1, size - 1) if chance.random() < broken)
        return cls(size=size, change=change, rate=rate, alarms=alarms, broken=unbuildable, seed=seed)

    def fails(self, commit: int) -> bool:
        """One run."""
        return self._dice.random() < (self.rate if commit >= self.change else self.alarms)

    def play(self, commit: int) -> Outcome:
        """One run, as the bench tells it."""
        if commit in self.broken:
            return Outcome.untestable("build")
        return Outcome.bad("x") if self.fails(commit) else Outcome.good()

    @property
    def inseparable(self) -> range:
        """The commits that nothing can tell from the change: itself where it and its parent can be built."""
        low, high = self.change - 1, self.change
        while low in self.broken:
            low -= 1
        while high in self.broken:
            high += 1
        return range(low + 1, high + 1)


@dataclass(frozen=True)
class Found:
    """The answer (several commits where it is a range), and what it took."""

    answer: frozenset[int]
    runs: int
    builds: int
    rounds: int

    def is_right(self, history: History) -> bool:
        """It holds the change and nothing that could have been told apart."""
        return history.change in self.answer and self.answer <= set(history.inseparable)

    def is_wrong(self, history: History) -> bool:
        """It names innocent commits only."""
        return history.change not in self.answer


def ours(history: History, benches: int = 1) -> Found:
    """Ours with the rate known; a range that is not confirmed is an answer, but not a right one."""
    builds: set[int] = set()

    def play(commit: int) -> Outcome:
        builds.add(commit)
        return history.play(commit)

    def play_all(commits: Sequence[int]) -> list[Outcome]:
        return [play(commit) for commit in commits]

    ask_all = play_all if benches > 1 else None
    line = Line(history.size, play, "x", benches=benches, ask_all=ask_all)
    found = search(line, history.rate)
    return Found(frozenset(range(found.low + 1, found.high + 1)), line.runs, len(builds), line.rounds)


class Repository:
    """A linear git repository; commit n holds n in the file `number`."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        folder.mkdir(parents=True)
        self._script = folder / "ask.sh"
        self._script.write_text(_SCRIPT, encoding="utf-8")
        self._tree = folder / "tree"
        self._tree.mkdir()
        self._git("init", "-q", "--template=", "-b", "main")
        self._git("fast-import", "--quiet", given="".join(map(self._commit, range(size))))
        self._git("reset", "-q", "--hard", "main")
        ids = self._git("rev-list", "--reverse", "main").split()
        self._numbers = {commit: number for number, commit in enumerate(ids)}
        self._ids = ids

    @staticmethod
    def _commit(number: int) -> str:
        text, message = f"{number}\n", f"commit {number}"
        parent = f"from :{number}\n" if number else ""
        return (
            f"commit refs/heads/main\nmark :{number + 1}\n"
            f"committer B <b@example> {1700000000 + number} +0000\n"
            f"data {len(message)}\n{message}\n{parent}M 100644 inline number\ndata {len(text)}\n{text}\n"
        )

    def bisect(self, history: History, tries: int) -> Found:
        """`git bisect run`; each commit is tried up to ``tries`` times, until it fails."""
        runs, codes = [], []
        for commit in range(self.size):
            made, failed = 0, False
            while commit not in history.broken and made < tries and not failed:
                made, failed = made + 1, history.fails(commit)
            runs.append(made)
            codes.append(125 if commit in history.broken else int(failed))
        (self.folder / "codes").write_text("".join(f"{code}\n" for code in codes), encoding="utf-8")
        asked = self.folder / "asked"
        asked.write_text("", encoding="utf-8")
        self._git("bisect", "start", self._ids[-1], self._ids[0])
        said = self._git("bisect", "run", "sh", str(self._script), str(self.folder), check=False)
        self._git("bisect", "reset", "-q", check=False)
        questions = [int(line) for line in asked.read_text(encoding="utf-8").split()]
        return Found(self._answer(said), sum(runs[q] for q in questions), len(set(questions)), len(questions))

    def _answer(self, said: str) -> frozenset[int]:
        lines = said.splitlines()
        for line in lines:
            if line.endswith("is the first bad commit"):
                return frozenset({self._numbers[line.split()[0]]})
        # "There are only 'skip'ped commits left to test. The first bad commit could be any of:", one a line.
        return frozenset(self._numbers[line] for line in lines if line in self._numbers)

    def _git(self, *arguments: str, given: str | None = None, check: bool = True) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "LC_ALL": "C"}
        done = subprocess.run(
            ["git", "-C", str(self._tree), *arguments],
            input=given,
            check=check,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        return done.stdout


def tries_for(rate: float) -> int:
    """So often a careful person lets git's script try a commit."""
    return statistics.runs_to_see(rate, 0.99)
