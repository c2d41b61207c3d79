"""A scenario on disk: a folder with scenario.json and documents/ beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from testbench.scenarios.errors import ScenarioError
from testbench.scenarios.schema import SCHEMA_VERSION, Scenario

FILE_NAME = "scenario.json"
DOCUMENTS = "documents"
#: A scenario comes from other people: what is larger than this is not read into memory.
MAX_SCENARIO_BYTES = 64 * 1024**2
MAX_DOCUMENT_BYTES = 32 * 1024**2


def read(path: Path) -> Scenario:
    """Read a scenario: its folder, or its scenario.json.

    Raises:
        ScenarioError: it cannot be read or is not valid; the message names the file and the field.
    """
    file = path / FILE_NAME if path.is_dir() else path
    record = _json(file)
    version = record.get("schema")
    if version != SCHEMA_VERSION:
        raise ScenarioError(
            f"{file}: schema: {version!r} is not known here; this bench reads schema {SCHEMA_VERSION}"
        )
    contents = _contents(file, record.get("documents"))
    try:
        return Scenario.model_validate({**record, "contents": contents})
    except ValidationError as problem:
        raise ScenarioError(f"{file}: {_first(problem)}") from None


def write(scenario: Scenario, target: Path) -> None:
    """Write scenario.json and documents/ into ``target`` (made when missing); ``read`` gives an equal one."""
    target.mkdir(parents=True, exist_ok=True)
    text = json.dumps(scenario.as_json(), indent=2, ensure_ascii=False, sort_keys=True)
    (target / FILE_NAME).write_text(text + "\n", encoding="utf-8")
    folder = target / DOCUMENTS
    if scenario.contents:
        folder.mkdir(exist_ok=True)
    for name, data in scenario.contents.items():
        (folder / name).write_bytes(data)


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_SCENARIO_BYTES:
            raise ScenarioError(f"{file}: larger than {MAX_SCENARIO_BYTES} bytes; this is not a scenario")
        record = json.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ScenarioError(f"{file}: cannot be read ({problem.strerror}); name a scenario folder") from None
    except (ValueError, RecursionError) as problem:
        raise ScenarioError(f"{file}: is not JSON ({problem}); give a scenario's folder") from None
    if not isinstance(record, dict):
        raise ScenarioError(f"{file}: must hold one JSON object, not {type(record).__name__}")
    return record


def _contents(file: Path, names: Any) -> dict[str, bytes]:
    """The documents beside the file; the schema checks names and digests, this only what is touched here."""
    if not isinstance(names, dict):
        return {}
    contents: dict[str, bytes] = {}
    folder = file.parent / DOCUMENTS
    for name in names:
        document = folder / str(name)
        if document.parent != folder or document.is_symlink():
            raise ScenarioError(f"{file}: documents: {name!r} must be a plain file name inside {DOCUMENTS}/")
        try:
            if document.stat().st_size > MAX_DOCUMENT_BYTES:
                raise ScenarioError(f"{document}: larger than {MAX_DOCUMENT_BYTES} bytes")
            contents[str(name)] = document.read_bytes()
        except (OSError, ValueError):
            raise ScenarioError(
                f"{file}: documents: {name!r} is not in {folder}; copy the whole folder"
            ) from None
    return contents


def _first(problem: ValidationError) -> str:
    error = problem.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in error["loc"] if part not in ("__root__",)) or "scenario"
    more = problem.error_count() - 1
    return f"{where}: {error['msg'].removeprefix('Value error, ')}" + (f" (and {more} more)" if more else "")
