"""product.yaml: what the bench must know of a product (issue B, "Files and answers")."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from testbench.errors import UsageError

#: A package's name; a leading "-" would be read as an option by pip or npm.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9@][A-Za-z0-9@._/-]*$", max_length=200)]
Line = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where the versions are: exactly one of git, pypi and npm."""

    git: Annotated[str, StringConstraints(pattern=r"^[^-]")] | None = None
    #: Pattern of the tags that are releases; git only.
    versions: str = "v*"
    pypi: Name | None = None
    npm: Name | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if sum(place is not None for place in (self.git, self.pypi, self.npm)) != 1:
            raise ValueError("give exactly one of git, pypi, npm")
        if self.git is None and "versions" in self.model_fields_set:
            raise ValueError("versions (a pattern of tags) goes with git only")
        return self


class Product(_Strict):
    """A product as product.yaml describes it."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    source: Source
    #: "3.11": the interpreter asked for; None takes the one that runs the bench.
    python: Annotated[str, StringConstraints(pattern=r"^3\.\d{1,2}$")] | None = None
    build: tuple[Line, ...] = ()
    smoke: tuple[Line, ...] = ()
    driver: Literal["set", "command"]
    #: How long one line of build or smoke may take, in seconds.
    build_timeout: Annotated[float, Field(gt=0, le=7200)] = 900.0

    @property
    def recipe(self) -> str:
        """Digest of everything besides the version that decides what a build is."""
        parts = [self.source.model_dump(exclude={"versions"}), self.python, self.build, self.smoke]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def as_yaml(self) -> str:
        """The description as a file that ``load_product`` reads back."""
        record = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(record, sort_keys=False, allow_unicode=True)


def load_product(path: Path) -> Product:
    """Read product.yaml; a relative git path is taken from the file's own folder.

    Raises:
        UsageError: the file is missing, is not YAML, or a field is wrong; the message names file and field.
    """
    record = read_yaml(path)
    try:
        product = Product.model_validate(record)
    except ValidationError as problem:
        raise UsageError(complaint(path, problem)) from problem
    git = product.source.git
    if git and is_local(git):
        resolved = str((path.parent / Path(git).expanduser()).resolve())
        product = product.model_copy(update={"source": product.source.model_copy(update={"git": resolved})})
    return product


def is_local(git: str) -> bool:
    """Whether a git source is a path on this machine (not a URL, not host:path)."""
    return "://" not in git and ":" not in git.split("/")[0]


def read_yaml(path: Path) -> object:
    """The content of a YAML file that a person wrote.

    Raises:
        UsageError: it cannot be read or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"{path} cannot be read: {problem}; give the path of the file") from problem
    except yaml.YAMLError as problem:
        raise UsageError(f"{path} is not valid YAML: {problem}") from problem


def complaint(path: Path, problem: ValidationError) -> str:
    """What is wrong with a file, one line a field."""
    lines = []
    for error in problem.errors(include_url=False):
        field = ".".join(str(part) for part in error["loc"]) or "the file"
        said = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            said += "; leave it out or correct its name"
        elif error["type"] == "string_pattern_mismatch":
            said += f", not {error['input']!r}"
        lines.append(f"{path}: {field}: {said}")
    return "\n".join(lines)
