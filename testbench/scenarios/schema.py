"""The scenario document, schema version 1 (DESIGN section 7).

A scenario is immutable. Its documents' bytes travel with it in ``contents`` (never inside the JSON); the
JSON names each one with its SHA-256, and the two are checked against each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import groupby
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from testbench.scenarios.events import (
    FOR_BOTH,
    MAY_BE_TOGETHER,
    PAYLOADS,
    SERVER_ONLY,
    WITH_DOCUMENT,
    EventType,
)

SCHEMA_VERSION = 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
#: A file name inside documents/: no folders, nothing hidden, so that writing it cannot leave the folder.
DocumentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,199}$")]
#: 1 to 9 digits with exactly two decimals: money in people's hands is written in roubles.
Roubles = Annotated[str, Field(pattern=r"^-?\d{1,9}\.\d{2}$")]
OracleName = Literal[
    "receipt-arithmetic",
    "z-report",
    "price-agreement",
    "exported-once",
    "import-honest",
    "operating-day",
    "alive",
    "shifts",
    "returns",
    "promotions",
    "restrictions",
    "cards",
    "bonus",
    "marks",
]
ALL_INVARIANTS: tuple[OracleName, ...] = (
    "alive",
    "shifts",
    "receipt-arithmetic",
    "exported-once",
    "z-report",
    "import-honest",
    "operating-day",
    "price-agreement",
    "returns",
    "promotions",
    "restrictions",
    "cards",
    "bonus",
    "marks",
)


class Part(BaseModel):
    """Base of everything in the document: frozen, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Snapshot(Part):
    """What the bench is loaded with, by reference."""

    of: Literal["documents", "configuration"] = "documents"
    sha256: Sha256


class Clock(Part):
    """The product's clock: it starts at ``start`` and is set to each event's ``at`` before the event."""

    start: AwareDatetime
    follows: Literal["events"] = "events"


class Event(Part):
    """One thing that is done, on a register or (register null) on the server."""

    seq: Annotated[int, Field(ge=1)]
    at: AwareDatetime
    register_: Annotated[int, Field(ge=1)] | None = Field(default=None, alias="register")
    unit: Annotated[str, Field(min_length=1, max_length=100)]
    type: EventType
    payload: dict[str, Any] = Field(default_factory=dict)
    #: Neighbouring events with the same number are played at the same moment, each from a thread of its own.
    together: Annotated[int, Field(ge=1)] | None = None

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_serializer(mode="wrap")
    def _without_the_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Events that are played alone are written as they were before ``together`` was known."""
        record: dict[str, Any] = handler(self)
        if self.together is None:
            record.pop("together", None)
        return record

    @model_validator(mode="after")
    def _fits(self) -> Event:
        if self.together is not None and self.type not in MAY_BE_TOGETHER:
            raise ValueError(f"{self.type} cannot be played together with other events: leave out together")
        if self.type in SERVER_ONLY and self.register_ is not None:
            raise ValueError(f"{self.type} is an event of the server: register must be null")
        if self.type not in SERVER_ONLY | FOR_BOTH and self.register_ is None:
            raise ValueError(f"{self.type} is an event of a register: register must be its number")
        PAYLOADS[self.type].model_validate(self.payload)
        return self


class ObservationPoint(Part):
    """Where prices are looked at besides the end: after the event with this seq."""

    after: Annotated[int, Field(ge=1)]
    name: Annotated[str, Field(min_length=1, max_length=100)]


class Stated(Part):
    """What an engineer states to be right, about one receipt, one Z report or one price.

    ``receipt`` is a unit of the scenario ("receipt:1/248/69") or "CASH/SHIFT/NUMBER" as exported; ``z`` is
    "CASH/SHIFT"; ``price`` is a barcode, seen by ``register`` or (null) by the server.
    """

    receipt: str | None = None
    z: str | None = None
    price: str | None = None
    register_: Annotated[int, Field(ge=1)] | None = Field(default=None, alias="register")
    total: Roubles | None = None
    discount: Roubles | None = None
    vat: Roubles | None = None
    net: Roubles | None = None
    value: Roubles | None = None

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="after")
    def _one_subject(self) -> Stated:
        allowed = {"receipt": {"total", "discount", "vat"}, "z": {"net"}, "price": {"value"}}
        subjects = [name for name in allowed if getattr(self, name) is not None]
        if len(subjects) != 1:
            raise ValueError("exactly one of receipt, z and price says what is stated")
        given = {n for n in ("total", "discount", "vat", "net", "value") if getattr(self, n) is not None}
        if not given or not given <= allowed[subjects[0]]:
            raise ValueError(f"{subjects[0]} takes one or more of {', '.join(sorted(allowed[subjects[0]]))}")
        return self


class Differential(Part):
    """Compare with this version: it is taken to be right."""

    version: Annotated[str, Field(min_length=1, max_length=200)]


class OracleSpec(Part):
    """What is right for this scenario."""

    invariants: tuple[OracleName, ...] = ALL_INVARIANTS
    stated: tuple[Stated, ...] = ()
    differential: Differential | None = None
    #: The signature that is looked for: named first when several rules are broken in one run.
    looks_for: Annotated[str, Field(max_length=200)] | None = None


class Scenario(Part):
    """One scenario; equal content gives an equal ``digest``."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    title: Annotated[str, Field(min_length=1, max_length=200)] = "scenario"
    product: Literal["set10"] = "set10"
    snapshot: Snapshot
    masking: dict[str, Any] | None = None
    clock: Clock
    zone: str
    shop: Annotated[int, Field(ge=1)]
    registers: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=200)]
    documents: dict[DocumentName, Sha256] = Field(default_factory=dict)
    events: tuple[Event, ...]
    observe: tuple[ObservationPoint, ...] = ()
    oracle: OracleSpec = OracleSpec()
    notes: tuple[str, ...] = ()
    contents: dict[str, bytes] = Field(default_factory=dict, exclude=True, repr=False)

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{zone!r} is not an IANA time zone, for example Europe/Moscow") from None
        return zone

    @model_validator(mode="after")
    def _holds_together(self) -> Scenario:
        if len(set(self.registers)) != len(self.registers):
            raise ValueError("registers: a number is listed twice")
        previous = 0
        for event in self.events:
            if event.seq <= previous:
                raise ValueError(f"events: seq {event.seq} follows {previous}; seq must grow")
            previous = event.seq
            document = event.payload.get("document")
            if event.type in WITH_DOCUMENT and document not in self.documents:
                raise ValueError(f"events: seq {event.seq} needs document {document!r}, not in documents")
        groups = [number for number, _ in groupby(event.together for event in self.events) if number]
        if len(set(groups)) != len(groups):
            raise ValueError("events: those with one number of together must follow each other without a gap")
        if set(self.contents) != set(self.documents):
            odd = sorted(set(self.contents) ^ set(self.documents))
            raise ValueError(f"documents: listed and given differ: {', '.join(odd)}")
        for name, data in self.contents.items():
            if hashlib.sha256(data).hexdigest() != self.documents[name]:
                raise ValueError(f"documents: {name} does not have the sha256 that is written for it")
        if self.snapshot.of == "documents" and self.snapshot.sha256 != digest_of_documents(self.documents):
            raise ValueError("snapshot: sha256 is not that of the documents; they were changed by hand")
        return self

    @property
    def name(self) -> str:
        """The title that it gives itself."""
        return self.title

    @property
    def size(self) -> int:
        """How many events one run plays."""
        return len(self.events)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what decides how it plays; title, notes, masking manifest and seq are left out."""
        record = self.as_json()
        for told_only in ("title", "notes", "masking"):
            record.pop(told_only)
        if not self.observe:
            for event in record["events"]:
                event.pop("seq")
        return hashlib.sha256(canonical(record)).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """The JSON document, with the field names of the file."""
        return self.model_dump(mode="json", by_alias=True)

    def replaced(
        self,
        *,
        events: Iterable[Event] | None = None,
        contents: Mapping[str, bytes] | None = None,
        registers: Iterable[int] | None = None,
        **fields: Any,
    ) -> Scenario:
        """A changed copy, checked again; digests of documents and snapshot follow the new contents."""
        data = {name: getattr(self, name) for name in type(self).model_fields}
        data.update(fields)
        if events is not None:
            data["events"] = tuple(events)
        if registers is not None:
            data["registers"] = tuple(registers)
        if contents is not None:
            data["contents"] = dict(contents)
            data["documents"] = digests(contents)
            if self.snapshot.of == "documents":
                data["snapshot"] = Snapshot(sha256=digest_of_documents(data["documents"]))
        return Scenario(**data)


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    """Name to SHA-256 of every document."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}


def digest_of_documents(documents: Mapping[str, str]) -> str:
    """One SHA-256 for a folder of documents: over the canonical list of names and digests."""
    return hashlib.sha256(canonical(dict(documents))).hexdigest()


def numbered(events: Iterable[Event]) -> list[Event]:
    """The events with new seq numbers in their order: 1, 2, 3, ..."""
    return [event.model_copy(update={"seq": number}) for number, event in enumerate(events, 1)]
