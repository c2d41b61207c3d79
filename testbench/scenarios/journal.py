"""Reads hosts' journals (one JSON object a line) and interleaves them by time. Hostile input is noted."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

MAX_LINE_BYTES = 1024**2
MAX_ENTRIES = 500_000
#: More broken lines than this are counted, not listed.
_SHOWN_PROBLEMS = 5


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One journal line of one host."""

    host: str
    seq: int
    at: datetime
    #: None on the server.
    register: int | None
    shift: int | None
    unit: str
    type: str
    payload: dict[str, Any]
    result: dict[str, Any]
    #: When it came in; ``at`` is when it was done. None in journals of versions that do not tell.
    began: datetime | None = None


def read(file: Path, host: str, register: int | None) -> tuple[list[Entry], list[str]]:
    """The readable entries of one journal in file order, and notes on what was skipped."""
    entries: list[Entry] = []
    problems: list[str] = []
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(_lines(stream), 1):
                if len(entries) >= MAX_ENTRIES:
                    problems.append(f"{host}: journal: only the first {MAX_ENTRIES} entries are used")
                    break
                try:
                    entry = None if line is None else _entry(line, host, register)
                except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as problem:
                    problems.append(f"{host}: journal line {number} skipped: {_brief(problem)}")
                    continue
                if line is None:
                    problems.append(
                        f"{host}: journal line {number} skipped: longer than {MAX_LINE_BYTES} bytes"
                    )
                elif entry is not None:
                    entries.append(entry)
    except OSError as problem:
        problems.append(f"{host}: journal cannot be read: {problem.strerror}")
    if len(problems) > _SHOWN_PROBLEMS:
        rest = len(problems) - _SHOWN_PROBLEMS
        problems = [*problems[:_SHOWN_PROBLEMS], f"{host}: {rest} more journal lines skipped"]
    return entries, problems


def interleaved(journals: Iterable[list[Entry]]) -> Iterator[Entry]:
    """All hosts' entries by time; each host keeps its own order also where its clock went back."""

    def keyed(place: int, entries: list[Entry]) -> Iterator[tuple[datetime, int, int, Entry]]:
        latest: datetime | None = None
        for index, entry in enumerate(entries):
            latest = entry.at if latest is None else max(latest, entry.at)
            yield latest, place, index, entry

    merged = heapq.merge(
        *(keyed(place, entries) for place, entries in enumerate(journals)), key=lambda item: item[:3]
    )
    return (entry for *_, entry in merged)


def _lines(stream: Any) -> Iterator[bytes | None]:
    """Lines of limited length; None stands for one that is too long, which is never held in memory."""
    while line := stream.readline(MAX_LINE_BYTES):
        if line.endswith(b"\n") or len(line) < MAX_LINE_BYTES:
            yield line
            continue
        while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass
        yield None


class _UnusableError(ValueError):
    """An entry that is not what an entry must be; the text holds no data of the store."""


def _entry(line: bytes, host: str, register: int | None) -> Entry | None:
    if not line.strip():
        return None
    record = json.loads(line)
    if not isinstance(record, dict):
        raise _UnusableError("not an object")
    at = datetime.fromisoformat(record["at"])
    if at.tzinfo is None:
        raise _UnusableError("at has no offset")
    payload, result = record.get("payload") or {}, record.get("result")
    if not isinstance(payload, dict):
        raise _UnusableError("payload is not an object")
    shift = record.get("shift")
    return Entry(
        host=host,
        seq=int(record["seq"]),
        at=at,
        register=register,
        shift=int(shift) if isinstance(shift, int) else None,
        unit=str(record.get("unit") or "")[:80],
        type=str(record["type"])[:80],
        payload=payload,
        result=result if isinstance(result, dict) else {},
        began=_began(record.get("began"), at),
    )


def _began(text: Any, at: datetime) -> datetime | None:
    """A hint only: what is no moment before ``at`` is left out, not a reason to skip the entry."""
    try:
        began = datetime.fromisoformat(text)
        return began if began <= at else None
    except (ValueError, TypeError):
        return None


def _brief(problem: Exception) -> str:
    """The reason without data of the store."""
    if isinstance(problem, json.JSONDecodeError):
        return f"not JSON (column {problem.colno})"
    if isinstance(problem, KeyError):
        return f"{problem} is missing"
    return (
        str(problem)
        if isinstance(problem, _UnusableError)
        else f"a field is wrong ({type(problem).__name__})"
    )
