"""Recipes as people write them: YAML, checked before any host is asked."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.diagnosis.errors import DEFAULT_RECIPE, RecipeError
from pipeline.diagnosis.recipe import MAX_HOST_MEMBERS, MIB, Item, Recipe, refusal

#: A recipe is read whole before it is checked.
_MAX_BYTES = 256 * 1024
_KINDS = ("file", "journal", "log", "folder", "url", "sqlite", "postgresql")
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost)(:\d{1,5})?(/[!-~]*)?")
_READING = re.compile(r"\s*(select|with)\s", re.IGNORECASE)

_Text = Annotated[str, Field(min_length=1, max_length=2000)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    what: Annotated[str, Field(min_length=1, max_length=100)]
    target: Annotated[str, Field(alias="as", min_length=1, max_length=200)]
    file: _Text | None = None
    journal: _Text | None = None
    log: _Text | None = None
    folder: _Text | None = None
    url: _Text | None = None
    sqlite: _Text | None = None
    postgresql: _Text | None = None
    query: _Text | None = None
    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "postgres"
    max_bytes: int = Field(32 * MIB, ge=1, le=64 * MIB)
    max_files: int = Field(2000, ge=1, le=MAX_HOST_MEMBERS)
    required: bool = True

    @model_validator(mode="after")
    def _one_source(self) -> _Entry:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"{self.what}: give one of {', '.join(_KINDS)}; given: {given or 'none'}")
        for problem in self._problems(given[0]):
            raise ValueError(f"{self.what}: {problem}")
        return self

    def _problems(self, kind: str) -> list[str]:
        source, is_database = getattr(self, kind), kind in ("sqlite", "postgresql")
        found = []
        if kind == "url" and not _LOOPBACK.fullmatch(source):
            found.append(f"{source!r} is not on the host's loopback: http://127.0.0.1:PORT/PATH")
        if kind == "postgresql" and not re.fullmatch(r"[A-Za-z0-9_]{1,63}", source):
            found.append(f"{source!r} is not the name of a database")
        if kind not in ("url", "postgresql") and (not source.startswith("/") or ".." in source.split("/")):
            found.append(f"{source!r} is not an absolute path")
        if (kind == "folder") != self.target.endswith("/"):
            found.append("`as` ends with a slash for a folder, and for nothing else")
        if is_database != (self.query is not None):
            found.append("`query` goes with sqlite and postgresql, and with nothing else")
        if is_database and not self.target.endswith(".jsonl"):
            found.append("`as` of a query ends with .jsonl")
        if self.query is not None and (not _READING.match(self.query) or ";" in self.query):
            found.append("`query` is one SELECT (or WITH), without a semicolon")
        return found

    def item(self) -> Item:
        """As it is collected."""
        kind = next(kind for kind in _KINDS if getattr(self, kind) is not None)
        cuts: dict[str, Literal["lines", "log", "files"]] = {
            "journal": "lines", "log": "log", "folder": "files"
        }  # fmt: skip
        return Item(
            what=self.what,
            source=getattr(self, kind),
            target=self.target,
            max_bytes=self.max_bytes,
            max_files=self.max_files,
            tail=kind in ("journal", "log"),
            cut=cuts.get(kind, ""),
            required=self.required,
            database="sqlite" if kind == "sqlite" else "postgresql" if kind == "postgresql" else "",
            query=self.query or "",
            user=self.user if kind == "postgresql" else "",
        )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    schema_: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    both: tuple[_Entry, ...] = ()
    server: tuple[_Entry, ...] = ()
    registers: tuple[_Entry, ...] = Field((), alias="register")


@cache
def default_recipe() -> Recipe:
    """The recipe that comes with Garant."""
    return read_recipe(DEFAULT_RECIPE)


def read_recipe(file: Path) -> Recipe:
    """The recipe in a file.

    Raises:
        RecipeError: it cannot be read, or something in it is wrong; each wrong place is named.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise RecipeError(file, [f"it is larger than {_MAX_BYTES} bytes"])
        value = yaml.safe_load(text)
        parsed = _File.model_validate(value)
    except OSError as error:
        raise RecipeError(file, [f"it cannot be read: {error.strerror}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(file, [f"it is no YAML: {error}"]) from error
    except ValidationError as error:
        raise RecipeError(file, [_fault(fault) for fault in error.errors()]) from error
    recipe = Recipe(
        name=parsed.name,
        server=tuple(entry.item() for entry in (*parsed.both, *parsed.server)),
        register=tuple(entry.item() for entry in (*parsed.both, *parsed.registers)),
    )
    faults = [*_clashes("server", recipe.server), *_clashes("register", recipe.register)]
    if faults:
        raise RecipeError(file, faults)
    return recipe


def _fault(fault: object) -> str:
    assert isinstance(fault, dict)
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])


def _clashes(role: str, items: tuple[Item, ...]) -> list[str]:
    """Names that cannot be stored, or are given twice: then the second would be dropped without a word."""
    if not items:
        return [f"{role}: there is nothing to collect; give `both` or `{role}`"]
    found, seen = [], set()
    for item in items:
        name = item.target + (PurePosixPath(item.source).name if item.target.endswith("/") else "")
        plain = name.replace("*", "x").replace("?", "x").replace("[", "x").replace("]", "x")
        if refusal(plain, 0, [Item(what="", source="", target=plain)]) is not None:
            found.append(f"{role}: {item.what}: `as` {item.target!r} is not a plain relative name")
        if item.target in seen and not item.target.endswith("/"):
            found.append(f"{role}: {item.what}: `as` {item.target!r} is given twice")
        seen.add(item.target)
    return found
