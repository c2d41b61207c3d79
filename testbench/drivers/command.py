"""The driver for any program: exit 0 good, 125 cannot be tested, 1 to 127 bad, 128 and above abort.

A scenario is a folder with scenario.yaml (issue B, "Files and answers")::

    run: ["{python}", "{scenario}/reproduce.py", "{input}"]
    timeout: 60                # seconds; a run that takes longer is bad with signature "timeout"
    env: {TZ: Europe/Moscow}
    minimise: {file: events.json, format: json-list}      # json-list | lines | json-object

Each run works on a fresh copy of the folder, which is its working folder, in a clean environment; home and
temporary files are in the run's workspace. ``{build}`` and ``{python}`` are those of the build,
``{scenario}`` is the copy, ``{input}`` the candidate's file in it.

The signature is the exit code, and what stays the same between runs of the last line on stderr (numbers,
quoted texts and paths are taken out). A program that knows better prints a line ``signature: TEXT``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
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

    def play(self, build: Build, scenario: CommandScenario, workspace: Path, limits: Limits) -> Outcome:
        """Run the program once."""
        copy = workspace / "scenario"
        try:
            input_ = scenario.write(copy)
            for folder in ("home", "tmp"):
                (workspace / folder).mkdir()
        except OSError as problem:
            return Outcome.infra("load", f"the workspace {workspace} cannot be filled: {problem}")
        words = {"{build}": build.path, "{scenario}": copy, "{python}": build.python, "{input}": input_}
        argv = [_fill(word, words) for word in scenario.description.run]
        environment = _environment(build, scenario, workspace)
        # Found here, not by the shell: its exit code 127 would look like a failure of the product.
        program = str(copy / argv[0]) if "/" in argv[0] else argv[0]
        if shutil.which(program, path=environment["PATH"]) is None:
            return Outcome.untestable("start", f"{argv[0]} is not a program in this build or on the path")
        seconds = min(scenario.description.timeout or limits.seconds, limits.seconds)
        out, err = workspace / "stdout.txt", workspace / "stderr.txt"
        try:
            ended = run_program(
                argv,
                folder=copy,
                environment=environment,
                stdout=out,
                stderr=err,
                seconds=seconds,
                memory_bytes=limits.memory_bytes,
                file_bytes=limits.file_bytes,
            )
        except OSError as problem:
            return Outcome.infra("start", f"{argv[0]} cannot be started: {problem}")
        places = [str(place) for place in (workspace, build.path, build.python)]
        return judge(ended, _tail(out), _tail(err), places, seconds, scenario.size)

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


def _environment(build: Build, scenario: CommandScenario, workspace: Path) -> dict[str, str]:
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
        **scenario.description.env,
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
