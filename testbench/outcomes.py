"""What one run of a scenario on one build showed (DESIGN section 7).

An ``Outcome`` is the only thing that a driver hands back, and the only thing that verdicts, minimisation and
bisection look at. Infra and untestable are never counted as good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The five things that a run can show."""

    GOOD = "good"  # the run finished and every oracle was content
    BAD = "bad"  # an oracle was violated; the signature says which, and how
    DIFFERENT_FAILURE = "different-failure"  # it failed, but not with the signature that is looked for
    UNTESTABLE = "untestable"  # this build cannot show it either way (no build, no start, exit 125)
    INFRA = "infra"  # the bench itself failed (disk full, no index, killed from outside): try again


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run's result; built by the constructors named after the kinds."""

    kind: Kind
    #: Stable name of the failure, equal for two runs that failed in the same way (bad, different-failure).
    signature: str | None = None
    #: Where it stopped: build, smoke, load, start, play, observe, ... (untestable, infra).
    stage: str | None = None
    #: For people: what happened, possibly several lines; never personal data.
    detail: str = ""
    #: What the violated oracle asks for, and what was seen instead (bad); shown by the bundle's report.
    expected: str = ""
    seen: str = ""
    #: Wall time of the run in seconds.
    seconds: float = 0.0
    #: How many events (elements) were replayed; the price of the run.
    events: int = 0

    @classmethod
    def good(cls, detail: str = "", *, seconds: float = 0.0, events: int = 0) -> Outcome:
        """The run finished and nothing was wrong."""
        return cls(kind=Kind.GOOD, detail=detail, seconds=seconds, events=events)

    @classmethod
    def bad(
        cls,
        signature: str,
        detail: str = "",
        *,
        expected: str = "",
        seen: str = "",
        seconds: float = 0.0,
        events: int = 0,
    ) -> Outcome:
        """An oracle was violated; ``signature`` must be the same for every run that fails in this way."""
        return cls(
            kind=Kind.BAD,
            signature=signature,
            detail=detail,
            expected=expected,
            seen=seen,
            seconds=seconds,
            events=events,
        )

    @classmethod
    def different_failure(
        cls, signature: str, detail: str = "", *, seconds: float = 0.0, events: int = 0
    ) -> Outcome:
        """It failed, but not in the way that is looked for."""
        return cls(
            kind=Kind.DIFFERENT_FAILURE, signature=signature, detail=detail, seconds=seconds, events=events
        )

    @classmethod
    def untestable(cls, stage: str, detail: str = "", *, seconds: float = 0.0) -> Outcome:
        """This build cannot show the defect either way; the same on every attempt."""
        return cls(kind=Kind.UNTESTABLE, stage=stage, detail=detail, seconds=seconds)

    @classmethod
    def infra(cls, stage: str, detail: str = "", *, seconds: float = 0.0) -> Outcome:
        """The bench failed, not the product; another attempt may work."""
        return cls(kind=Kind.INFRA, stage=stage, detail=detail, seconds=seconds)

    @property
    def is_good(self) -> bool:
        """Whether the run finished with nothing wrong."""
        return self.kind is Kind.GOOD

    @property
    def is_bad(self) -> bool:
        """Whether the run showed the failure that is looked for."""
        return self.kind is Kind.BAD

    @property
    def tells(self) -> bool:
        """Whether the run says something about the product (infra and untestable say nothing)."""
        return self.kind in (Kind.GOOD, Kind.BAD, Kind.DIFFERENT_FAILURE)

    def looking_for(self, signature: str | None) -> Outcome:
        """The same run, judged by someone who looks for ``signature``: another failure is different-failure.

        With ``None`` any failure is the one that is looked for, so the outcome is returned as it is.
        """
        if signature is None or self.signature is None:
            return self
        wanted = Kind.BAD if self.signature == signature else Kind.DIFFERENT_FAILURE
        return self if self.kind is wanted else replace(self, kind=wanted)

    def as_json(self) -> dict[str, Any]:
        """A JSON object; empty fields are left out. ``from_json`` reads it back."""
        record: dict[str, Any] = {"kind": self.kind.value}
        for name in ("signature", "stage", "detail", "expected", "seen"):
            value = getattr(self, name)
            if value:
                record[name] = value
        record["seconds"] = round(self.seconds, 3)
        record["events"] = self.events
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Outcome:
        """Read what ``as_json`` wrote.

        Raises:
            ValueError: the kind is not one of the five.
        """
        fields = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        return cls(**{**fields, "kind": Kind(record["kind"])})
