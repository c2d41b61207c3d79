"""Cases and clocks as documents: the form of sla-cases.json in, the same words out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.clocks.errors import ClocksFileError
from pipeline.clocks.events import BadEventError, Event
from pipeline.clocks.pages import after_outage
from pipeline.clocks.rules import Clock, Replay, replay
from pipeline.clocks.tariff import Tariff, TariffVersion, tariff_from

#: Bytes; a file of a million events is below it.
MAX_FILE = 256 * 1024 * 1024
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class CaseDocument:
    """One case of such a file, read and checked."""

    id: str
    title: str
    zone: ZoneInfo
    events: tuple[Event, ...]
    evaluate_at: datetime
    versions: tuple[TariffVersion, ...]
    outages: tuple[tuple[datetime, datetime], ...]
    #: The clocks expected, or None when the file does not say.
    expect: tuple[Mapping[str, Any], ...] | None
    #: What is expected of the case as a whole: tickets, rejected_events, first_notices, pages_after_return.
    expect_case: Mapping[str, Any]


def read_cases(path: Path) -> list[CaseDocument]:
    """The cases of a file in the form of sla-cases.json; ``expect`` may be missing.

    Raises:
        ClocksFileError: it cannot be read, or something in it is malformed: all faults are listed.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise ClocksFileError(f"{path} is larger than {MAX_FILE} bytes: split it")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClocksFileError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ClocksFileError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("cases"), list):
        raise ClocksFileError(f'{path}: an object with a list "cases" is expected')
    faults: list[str] = []
    try:
        tariff = tariff_from(document.get("targets") or {})
    except ValueError as error:
        raise ClocksFileError(f"{path}: targets: {error}") from error
    cases = []
    for number, raw in enumerate(document["cases"]):
        name = str(raw.get("id", f"number {number + 1}")) if isinstance(raw, dict) else f"number {number + 1}"
        try:
            cases.append(_case(name, raw, tariff))
        except BadEventError as error:
            faults.append(f"case {name}, event {error.position}: {error}")
        except ValueError as error:
            faults.append(f"case {name}: {error}")
    if faults:
        raise ClocksFileError(f"{path} is malformed:\n  " + "\n  ".join(faults))
    return cases


def replay_case(case: CaseDocument) -> dict[str, Any]:
    """The case's clocks as a document: ``{"id", "clocks": [...], "tickets", "rejected_events", ...}``.

    Raises:
        ClocksFileError: an event names a class that the tariff does not know, or no tariff is in force.
    """
    try:
        found = replay(case.events, at=case.evaluate_at, zone=case.zone, versions=case.versions)
    except BadEventError as error:
        raise ClocksFileError(f"case {case.id}, event {error.position}: {error}") from error
    except ValueError as error:
        raise ClocksFileError(f"case {case.id}: {error}") from error
    clocks, pages = list(found.clocks), 0
    for down, up in case.outages:
        seen = [after_outage(clock, down, up) for clock in clocks]
        clocks, pages = [clock for clock, _ in seen], pages + sum(count for _, count in seen)
    answer = {"id": case.id, **case_document(found, case.zone, clocks)}
    return {**answer, "pages_after_return": pages} if case.outages else answer


def case_document(found: Replay, zone: ZoneInfo, clocks: Sequence[Clock] | None = None) -> dict[str, Any]:
    """A replay in the words of sla-cases.json."""
    return {
        "clocks": [clock_document(clock, zone) for clock in (found.clocks if clocks is None else clocks)],
        "tickets": found.tickets,
        "rejected_events": list(found.rejected),
        "first_notices": found.first_notices,
    }


def clock_document(clock: Clock, zone: ZoneInfo) -> dict[str, Any]:
    """One clock in the words of sla-cases.json; seconds are elapsed time, instants UTC but ``due_local``."""
    if clock.state == "absent":
        return {"clock": clock.kind, "state": "absent"}
    document: dict[str, Any] = {
        "clock": clock.kind,
        "state": clock.state,
        "start": _instant(clock.start),
        "due": _instant(clock.due),
        "due_local": clock.due.astimezone(zone).isoformat() if clock.due else None,
        "elapsed_s": _seconds(clock.elapsed),
        "remaining_s": _seconds(clock.remaining),
        "paused_s": _seconds(clock.paused),
        "stopped_at": _instant(clock.stopped_at),
        "breached_at": _instant(clock.breached_at),
        "cause": clock.cause,
        "superseded_breach_at": _instant(clock.superseded_breach_at),
        "warnings": [_instant(at) for _, at in clock.warnings],
        "history": [{name: _plain(value) for name, value in entry.items()} for entry in clock.history],
    }
    if clock.contract_due is not None:
        document["contract_due"] = _instant(clock.contract_due)
    if clock.revisions is not None:
        document["revisions"] = clock.revisions
    return document


def differences(case: CaseDocument, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where the answer differs from what the case expects: ``{"clock", "field", "expected", "found"}``."""
    found: list[dict[str, Any]] = []
    by_kind = {clock["clock"]: clock for clock in answer["clocks"]}
    for expected in case.expect or ():
        clock = by_kind.get(expected.get("clock"), {})
        for name, value in expected.items():
            if _comparable(clock.get(name)) != _comparable(value):
                found.append(
                    {
                        "clock": expected.get("clock"),
                        "field": name,
                        "expected": value,
                        "found": clock.get(name),
                    }
                )
    for name, value in case.expect_case.items():
        if answer.get(name) != value:
            found.append({"clock": None, "field": name, "expected": value, "found": answer.get(name)})
    return found


def instant(text: object, name: str) -> datetime:
    """An ISO 8601 instant with a zone, in UTC.

    Raises:
        ValueError: it is none, or has no zone.
    """
    try:
        value = datetime.fromisoformat(str(text))
    except ValueError:
        raise ValueError(f"`{name}`: {text!r} is no ISO 8601 instant such as 2026-03-12T06:00:00Z") from None
    if value.tzinfo is None:
        raise ValueError(f"`{name}`: {text!r} has no zone: add `Z` or an offset such as +03:00")
    return value.astimezone(UTC)


def zone_named(name: object) -> ZoneInfo:
    """The time zone by its IANA name.

    Raises:
        ValueError: there is none.
    """
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"no time zone {name!r}: an IANA name such as Europe/Moscow is expected") from None


def _case(name: str, raw: object, tariff: Tariff) -> CaseDocument:
    if not isinstance(raw, dict):
        raise ValueError("an object is expected")
    if not isinstance(raw.get("events"), list) or not raw["events"]:
        raise ValueError("`events`: a list with at least one event is expected")
    zone = zone_named(raw.get("tz", "UTC"))
    events = tuple(_event(position, event) for position, event in enumerate(raw["events"]))
    at = instant(raw["evaluate_at"], "evaluate_at") if raw.get("evaluate_at") else max(e.at for e in events)
    versions = _versions(raw.get("tariff_versions"), tariff, zone)
    replay(events, at=at, zone=zone, versions=versions)  # so that every fault of the file is listed at once
    names = ("tickets", "rejected_events", "first_notices", "pages_after_return")
    expect = raw.get("expect")
    if expect is not None and not (isinstance(expect, list) and all(isinstance(e, dict) for e in expect)):
        raise ValueError("`expect`: a list of clocks is expected")
    return CaseDocument(
        id=name,
        title=str(raw.get("title", "")),
        zone=zone,
        events=events,
        evaluate_at=at,
        versions=versions,
        outages=_outages(raw.get("engine_down")),
        expect=None if expect is None else tuple(expect),
        expect_case={key: raw[key] for key in names if key in raw},
    )


def _event(position: int, raw: object) -> Event:
    if not isinstance(raw, dict) or "at" not in raw or "type" not in raw:
        raise BadEventError(position, 'an object with "at" and "type" is expected')
    return event_from(position, raw["at"], str(raw["type"]), raw)


def event_from(position: int, at: object, kind: str, data: Mapping[str, Any]) -> Event:
    """An event from its document; instants in it become aware datetimes.

    Raises:
        BadEventError: ``at`` or ``until`` is no instant with a zone.
    """
    try:
        when = at.astimezone(UTC) if isinstance(at, datetime) and at.tzinfo else instant(at, "at")
        fields = {key: value for key, value in data.items() if key not in ("at", "type")}
        if kind == "term_agreed" and fields.get("until") is not None:
            fields["until"] = instant(fields["until"], "until")
    except ValueError as error:
        raise BadEventError(position, f"{kind}: {error}") from None
    return Event(at=when, type=kind, position=position, data=fields)


def _versions(raw: object, tariff: Tariff, zone: ZoneInfo) -> tuple[TariffVersion, ...]:
    if raw is None:
        return (TariffVersion(begins=_BEGINNING, tariff=tariff),)
    if not isinstance(raw, list) or not raw or not all(isinstance(v, dict) and "from" in v for v in raw):
        raise ValueError('`tariff_versions`: a list of objects with "from" is expected')
    return tuple(
        TariffVersion(begins=_begins(v["from"], zone), tariff=tariff_from(v, base=tariff)) for v in raw
    )


def _begins(text: object, zone: ZoneInfo) -> datetime:
    try:  # a bare date: versions change at 00:00 in the contract's zone
        return datetime.combine(date.fromisoformat(str(text)), time(), tzinfo=zone).astimezone(UTC)
    except ValueError:
        return instant(text, "from")


def _outages(raw: object) -> tuple[tuple[datetime, datetime], ...]:
    if not raw:
        return ()
    pairs = raw if isinstance(raw, list) and all(isinstance(p, list) for p in raw) else [raw]
    found = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError("`engine_down`: two instants are expected")
        found.append((instant(pair[0], "engine_down"), instant(pair[1], "engine_down")))
    return tuple(found)


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _seconds(span: timedelta | None) -> int | float | None:
    if span is None:
        return None
    seconds = span.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return _instant(value)
    return _seconds(value) if isinstance(value, timedelta) else value


def _comparable(value: object) -> object:
    # Equal instants may be written differently (Z, +00:00); a local time must keep its offset.
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, str) and value.endswith(("Z", "+00:00")):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    return value
