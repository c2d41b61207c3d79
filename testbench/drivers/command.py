"""The driver for any program: exit 0 good, 125 cannot be tested, 1 to 127 bad, 128 and above abort.

A scenario is a folder with scenario.yaml (issue B, "Files and answers")::

    run: ["{python}", "{scenario}/reproduce.py", "{input}"]
    timeout: 60                # seconds; a run that takes longer is bad with signature "timeout"
    env: {TZ: Europe/Moscow}
    minimise: {file: events.json, format: json-list}      # json-list | lines | json-object
    against: 1.4.0             # a version taken to be right: what it prints is what is expected

Each run works on a fresh copy of the folder, which is its working folder, in a clean environment; home and
temporary files are in the run's workspace. ``{build}`` and ``{python}`` are those of the build,
``{scenario}`` is the copy, ``{input}`` the candidate's file in it; ``env`` may use them too.

The signature is the exit code, and what stays the same between runs of the last line on stderr (numbers,
quoted texts and paths are taken out). A program that knows better prints a line ``signature: TEXT``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from testbench.drivers.port import Build, Element, Limits, Reducible
from testbench.errors import UsageError
from testbench.outcomes import Outcome
from testbench.products.description import complaint, read_yaml
from testbench.programs import Ended, run_program

UNTESTABLE = 125
#: From here on a program (or the signal that ended it) says that the whole thing must stop.
ABORT = 128
#: A scenario with more than this is not a test case.
MOST_BYTES = 512 * 1024**2
_TAIL = 2000  # characters of output kept in the outcome
#: Where a run's output is, in its workspace.
OUT, ERR = "stdout.txt", "stderr.txt"
#: More output than this is compared by its first part, in bytes.
_COMPARED = 16 * 1024**2
#: What differs between two runs that print the same: moments, durations, addresses.
_NOISE = (
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\b\d+(?:\.\d+)? ?(?:ms|us|ns|s|sec|seconds)\b"), "DURATION"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "ADDRESS"),
)
#: What a program says when a limit of the bench stopped it.
_OF_LIMITS = re.compile(r"MemoryError|[Cc]annot allocate memory|out of memory|bad_alloc|File too large|EFBIG")


class _Minimise(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    format: Literal["json-list", "lines", "json-object"]

    @field_validator("file")
    @classmethod
    def _inside(cls, name: str) -> str:
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError("must be a path inside the scenario's folder")
        return name


class _Description(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Annotated[tuple[str, ...], Field(min_length=1)]
    timeout: Annotated[float, Field(gt=0)] | None = None
    env: dict[str, str] = Field(default_factory=dict)
    minimise: _Minimise | None = None
    title: str | None = None
    #: The differential oracle: exit code and stdout (normalised) of this version are right.
    against: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("env", mode="before")
    @classmethod
    def _texts(cls, env: object) -> object:
        # YAML reads `DEBUG: 1` as a number; in an environment everything is text.
        return {str(k): str(v) for k, v in env.items()} if isinstance(env, dict) else env

    @model_validator(mode="after")
    def _input_known(self) -> _Description:
        if self.minimise is None and any("{input}" in word for word in self.run):
            raise ValueError("run uses {input}, so minimise.file must say which file that is")
        return self


@dataclass(frozen=True)
class CommandScenario:
    """A folder with a program to run; with a part of its data where it has been reduced."""

    folder: Path
    description: _Description
    #: What may shrink, as texts that can be joined again; empty when nothing may.
    parts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its title, else the folder's name."""
        return self.description.title or self.folder.name

    @property
    def size(self) -> int:
        """Elements that may be left out; 1 when nothing may."""
        return len(self.parts) if self.description.minimise else 1

    @cached_property
    def digest(self) -> str:
        """Digest of all files, with the reducible one as it is now."""
        minimise = self.description.minimise
        digest = hashlib.sha256(self._files_digest.encode())
        if minimise:
            digest.update(_join(minimise.format, self.parts).encode())
        return digest.hexdigest()

    @cached_property
    def _files_digest(self) -> str:
        """Digest of the files that never change; shared by all candidates."""
        minimise = self.description.minimise
        digest = hashlib.sha256()
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and not (minimise and name == Path(minimise.file).as_posix()):
                digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return digest.hexdigest()

    def keep(self, indices: Sequence[int]) -> CommandScenario:
        """The same with a part of its elements."""
        smaller = replace(self, parts=tuple(self.parts[index] for index in indices))
        # A frozen dataclass with cached properties keeps them in __dict__; the expensive one is the same.
        smaller.__dict__["_files_digest"] = self._files_digest
        return smaller

    def write(self, target: Path) -> Path | None:
        """Copy it to ``target`` (may exist, empty); gives the reducible file's place there."""
        shutil.copytree(self.folder, target, symlinks=False, dirs_exist_ok=True)
        minimise = self.description.minimise
        if not minimise:
            return None
        place = target / minimise.file
        place.write_text(_join(minimise.format, self.parts), encoding="utf-8")
        return place


@dataclass(frozen=True)
class Printed:
    """The observation of the differential oracle: how a program ended and what it printed, normalised."""

    code: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Parts:
    """The reducible view of a command scenario."""

    scenario: CommandScenario

    @cached_property
    def elements(self) -> Sequence[Element]:
        return [Element(part.strip()[:60], "") for part in self.scenario.parts]

    def keep(self, indices: Sequence[int]) -> CommandScenario:
        return self.scenario.keep(indices)


class CommandDriver:
    """Plays a scenario by running its program."""

    def load(self, path: Path) -> CommandScenario:
        """Read a folder with scenario.yaml, or the file itself."""
        file = path / "scenario.yaml" if path.is_dir() else path
        record = read_yaml(file)
        if not isinstance(record, dict):
            raise UsageError(f"{file}: must be a mapping with at least `run: [program, argument, ...]`")
        try:
            description = _Description.model_validate(record)
        except ValidationError as problem:
            raise UsageError(complaint(file, problem)) from problem
        folder = file.parent.resolve()
        if file.name != "scenario.yaml":
            raise UsageError(f"{file}: must be called scenario.yaml, in a folder with its data")
        if sum(p.lstat().st_size for p in folder.rglob("*") if not p.is_dir()) > MOST_BYTES:
            raise UsageError(f"{folder} is larger than {MOST_BYTES // 1024**2} MiB; leave what is needed")
        minimise = description.minimise
        if not minimise:
            return CommandScenario(folder, description)
        return CommandScenario(folder, description, _split(folder / minimise.file, minimise.format))

    def play(
        self,
        build: Build,
        scenario: CommandScenario,
        workspace: Path,
        limits: Limits,
        right: Printed | None = None,
    ) -> Outcome:
        """Run the program once; with ``right``, what it prints is compared too."""
        result = self._ended(build, scenario, workspace, limits)
        if isinstance(result, Outcome):
            return result
        ended, seconds = result
        places = [str(place) for place in (workspace, build.path, build.python)]
        out, err = _tail(workspace / OUT), _tail(workspace / ERR)
        outcome = judge(ended, out, err, places, seconds, scenario.size)
        if outcome.is_bad and _OF_LIMITS.search(err):
            outcome = replace(outcome, detail=f"{outcome.detail}\n{_limits_in_words(limits)}")
        if right is None or not outcome.tells or ended.timed_out:
            return outcome
        return compare(_printed(ended, workspace, places), right, outcome)

    def observe(
        self, build: Build, scenario: CommandScenario, workspace: Path, limits: Limits
    ) -> Printed | None:
        """What the program prints and how it ends."""
        result = self._ended(build, scenario, workspace, limits)
        if isinstance(result, Outcome) or result[0].timed_out or not 0 <= result[0].code < UNTESTABLE:
            return None
        places = [str(place) for place in (workspace, build.path, build.python)]
        return _printed(result[0], workspace, places)

    def against(self, scenario: CommandScenario) -> str | None:
        """``against`` of scenario.yaml."""
        return scenario.description.against

    def _ended(
        self, build: Build, scenario: CommandScenario, workspace: Path, limits: Limits
    ) -> tuple[Ended, float] | Outcome:
        """How it ended, with its time limit in seconds; or why it could not be started."""
        copy = workspace / "scenario"
        try:
            input_ = scenario.write(copy)
            for folder in ("home", "tmp"):
                (workspace / folder).mkdir()
        except OSError as problem:
            return Outcome.infra("load", f"the workspace {workspace} cannot be filled: {problem}")
        words = {"{build}": build.path, "{scenario}": copy, "{python}": build.python, "{input}": input_}
        argv = [_fill(word, words) for word in scenario.description.run]
        environment = _environment(build, scenario, workspace, words)
        # Found here, not by the shell: its exit code 127 would look like a failure of the product.
        program = str(copy / argv[0]) if "/" in argv[0] else argv[0]
        if shutil.which(program, path=environment["PATH"]) is None:
            return Outcome.untestable("start", f"{argv[0]} is not a program in this build or on the path")
        seconds = min(scenario.description.timeout or limits.seconds, limits.seconds)
        try:
            ended = run_program(
                argv,
                folder=copy,
                environment=environment,
                stdout=workspace / OUT,
                stderr=workspace / ERR,
                seconds=seconds,
                memory_bytes=limits.memory_bytes,
                file_bytes=limits.file_bytes,
            )
        except OSError as problem:
            return Outcome.infra("start", f"{argv[0]} cannot be started: {problem}")
        return ended, seconds

    def reducible(self, scenario: CommandScenario) -> Reducible[CommandScenario] | None:
        """The elements of the file that ``minimise`` names."""
        return _Parts(scenario) if scenario.description.minimise else None

    def write(self, scenario: CommandScenario, target: Path) -> None:
        """Copy its folder, with the reduced file."""
        scenario.write(target)


def driver() -> CommandDriver:
    """The driver (see ``testbench.drivers.registry``)."""
    return CommandDriver()


def judge(ended: Ended, out: str, err: str, places: Sequence[str], limit: float, size: int) -> Outcome:
    """The outcome of a program that ended; ``limit`` is its time limit in seconds."""
    said = "\n".join(text for text in (out.strip(), err.strip()) if text)[-_TAIL:]
    if ended.timed_out:
        return Outcome.bad(
            "timeout",
            said,
            expected=f"the program ends within {limit:g} s",
            seen="it was still running and was ended",
            seconds=ended.seconds,
            events=size,
        )
    if ended.code == 0:
        return Outcome.good(said, seconds=ended.seconds, events=size)
    if ended.code == UNTESTABLE:
        return Outcome.untestable("play", said or "the program says so (exit 125)", seconds=ended.seconds)
    if ended.code == -signal.SIGXFSZ:
        return Outcome.bad(
            "disk limit",
            said,
            expected="no file of the run is larger than its disk limit",
            seen="the program was ended while it wrote a larger one",
            seconds=ended.seconds,
            events=size,
        )
    if ended.code < 0 or ended.code >= ABORT:
        return Outcome.infra("play", f"aborted with exit {ended.code}: {said}", seconds=ended.seconds)
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
    return Outcome.bad(
        signature(ended.code, out, err, places),
        said,
        expected="the program ends with exit code 0",
        seen=f"exit code {ended.code}" + (f": {last}" if last else ""),
        seconds=ended.seconds,
        events=size,
    )


def compare(seen: Printed, right: Printed, outcome: Outcome) -> Outcome:
    """The outcome when ``right`` is what should have been printed; the first difference is told.

    A program that fails in the same way on both versions is good here: there is no difference.
    """
    if seen == right:
        return Outcome.good(outcome.detail, seconds=outcome.seconds, events=outcome.events)
    if seen.code != right.code:
        signature_ = f"differs: exit {seen.code} for exit {right.code}"
        expected, shown = f"exit code {right.code}", f"exit code {seen.code}"
    else:
        signature_ = "differs: output"
        place = next(
            (n for n, (one, other) in enumerate(zip(seen.lines, right.lines, strict=False)) if one != other),
            min(len(seen.lines), len(right.lines)),
        )
        expected, shown = (
            f"line {place + 1}: {lines[place][:300]}" if place < len(lines) else f"no line {place + 1}"
            for lines in (right.lines, seen.lines)
        )
    return Outcome.bad(
        signature_,
        outcome.detail,
        expected=expected,
        seen=shown,
        seconds=outcome.seconds,
        events=outcome.events,
    )


def _printed(ended: Ended, workspace: Path, places: Sequence[str]) -> Printed:
    with (workspace / OUT).open("rb") as raw:
        text = raw.read(_COMPARED).decode("utf-8", "replace")
    for place in places:
        text = text.replace(place, "PATH")
    for pattern, word in _NOISE:
        text = pattern.sub(word, text)
    return Printed(ended.code, tuple(line.rstrip() for line in text.splitlines()))


def _limits_in_words(limits: Limits) -> str:
    return (
        f"(limits of the run: {limits.memory_bytes >> 20} MiB of memory, "
        f"{limits.disk_bytes >> 20} MiB of disk, {limits.file_bytes >> 20} MiB a file)"
    )


def signature(code: int, out: str, err: str, places: Sequence[str]) -> str:
    """What stays the same between two runs that fail in the same way."""
    for line in reversed([*out.splitlines(), *err.splitlines()]):
        if line.lower().startswith("signature:"):
            return f"exit {code}: {line.partition(':')[2].strip()}"
    line = next((text.strip() for text in reversed(err.splitlines()) if text.strip()), "")
    for place in places:
        line = line.replace(place, "PATH")
    # Data differs between versions and shrinks while minimising: quoted texts, numbers, addresses, paths.
    line = re.sub(r"'[^']*'|\"[^\"]*\"", "TEXT", line)
    line = re.sub(r"(?:/[\w.@+-]+)+", "PATH", line)
    line = re.sub(r"0x[0-9a-fA-F]+|\d+(?:[.,]\d+)*", "N", line)
    return f"exit {code}" + (f": {line[:160]}" if line else "")


def _fill(word: str, words: dict[str, Path | None]) -> str:
    for name, value in words.items():
        if value is not None:
            word = word.replace(name, str(value))
    return word


def _environment(
    build: Build, scenario: CommandScenario, workspace: Path, words: dict[str, Path | None]
) -> dict[str, str]:
    path = [str(build.python.parent), "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        "PATH": os.pathsep.join(path),
        "HOME": str(workspace / "home"),
        "TMPDIR": str(workspace / "tmp"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        # A build is shared by all runs: nothing may be written into it.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        **{name: _fill(value, words) for name, value in scenario.description.env.items()},
    }


def _tail(file: Path) -> str:
    with file.open("rb") as raw:
        raw.seek(max(0, file.stat().st_size - 4 * _TAIL))
        return raw.read().decode("utf-8", "replace")


def _split(file: Path, kind: str) -> tuple[str, ...]:
    """The elements of a file, each as text."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"{file} (minimise.file) cannot be read: {problem}") from problem
    if kind == "lines":
        return tuple(text.splitlines(keepends=True))
    try:
        content = json.loads(text)
    except ValueError as problem:
        raise UsageError(f"{file} (minimise.file) is not JSON: {problem}") from problem
    if kind == "json-list" and isinstance(content, list):
        return tuple(json.dumps(item, ensure_ascii=False) for item in content)
    if kind == "json-object" and isinstance(content, dict):
        return tuple(
            f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
            for key, value in content.items()
        )
    raise UsageError(f"{file} is not a {kind} as minimise.format says; use json-list, json-object or lines")


def _join(kind: str, parts: Sequence[str]) -> str:
    if kind == "lines":
        return "".join(parts)
    inside = ",\n".join(parts)
    return f"[\n{inside}\n]\n" if kind == "json-list" else f"{{\n{inside}\n}}\n"
