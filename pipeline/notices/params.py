"""What each kind of notice must be told, checked when it is queued: a wrong caller fails in its own
transaction, not in the mail worker at night.

Everything here may hold text that a stranger wrote (a case's subject, a reason): it is data, never markup.
"""

from __future__ import annotations

import unicodedata
from datetime import date
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from pipeline.errors import GarantError


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"no time zone {name!r}") from error
    return name


def one_line(text: str) -> str:
    """A stranger's text as one line: no control characters, no invisible marks that turn text around."""
    visible = "".join(" " if unicodedata.category(c) in _UNSEEN else c for c in text)
    return " ".join(visible.split())


#: Control, format (bidi overrides), surrogate, private use, line and paragraph separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})

Zone = Annotated[str, AfterValidator(_zone)]
Line = Annotated[str, AfterValidator(one_line), Field(max_length=2000)]


class Params(BaseModel):
    """The base of all kinds: nothing unknown, nothing naive."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CaseRegistered(Params):
    """A request has got its number."""

    case: Line
    subject: Line
    received_at: AwareDatetime
    registered_at: AwareDatetime


class CaseClassified(Params):
    """A request has got its class, and so its term."""

    case: Line
    subject: Line
    #: Codes of sla-cases.json: ``loyalty``, ``register_typical_ops``, ...
    classes: list[Line]
    #: Until when the tariff promises restoration (or advice); None when no term runs.
    due: AwareDatetime | None = None
    software_defect: bool = False


class DefectRecorded(Params):
    """The fault was played again on our bench and handed to development."""

    defect: Line
    cases: list[Line] = Field(min_length=1)
    subject: Line
    #: Until when we say when it will be fixed.
    due: AwareDatetime


class Eta(Params):
    """When the defect will be fixed."""

    defect: Line
    cases: list[Line] = Field(min_length=1)
    eta: date


class EtaChanged(Eta):
    """The date told before is no longer right."""

    previous: date
    reason: Line


class Holding(Params):
    """The term of the promise has passed and there is no date yet."""

    defect: Line
    cases: list[Line] = Field(min_length=1)
    due: AwareDatetime


class FixReleased(Params):
    """A version with the fix exists; it will be installed by us."""

    defect: Line
    cases: list[Line] = Field(min_length=1)
    version: Line


class UpdatedStore(Params):
    """One store of an update; its times are shown in its own zone."""

    name: Line
    zone: Zone
    #: The window of the work (scheduled, postponed to), or when it happened (started, done, failed: ``at``).
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _whole_window(self) -> UpdatedStore:
        if (self.start is None) != (self.end is None):
            raise ValueError("a window has a start and an end, or neither")
        return self


class Update(Params):
    """An update of SET in the client's stores."""

    version: Line
    stores: list[UpdatedStore] = Field(min_length=1)


class UpdateScheduled(Update):
    """When we come; a store without ``start`` and ``end`` is told its time later."""

    #: What changes for the client, one line each, in the client's language.
    changes: list[Line] = []


class UpdatePostponed(Update):
    """It will not be then; a store has the new ``start`` and ``end``, or none when no new time is known."""

    reason: Line


class UpdateFailed(Update):
    """It was tried and taken back."""

    reason: Line
    #: The version that the stores run now.
    restored_version: Line


class FixedInYourStores(Params):
    """The last store of the client that had the defect was verified on the fixed version."""

    defect: Line
    cases: list[Line] = Field(min_length=1)
    version: Line
    stores: int = Field(ge=1)


class CaseClosed(Params):
    """A request is closed."""

    case: Line
    subject: Line
    reason: Line


class ClockWarning(Params):
    """Internal: part of a term has passed."""

    case: Line
    client_name: Line
    #: ``registration``, ``consultation``, ``restore``, ``term_agreement``, ``agreed_term``, ``eta_notice``.
    clock: Line
    percent: int = Field(ge=1, le=100)
    due: AwareDatetime


class ClockBreach(Params):
    """Internal: a term has passed."""

    case: Line
    client_name: Line
    clock: Line
    breached_at: AwareDatetime


class PromiseWarning(Params):
    """Internal: part of the 3 days has passed and the client knows no date."""

    defect: Line
    title: Line
    client_name: Line
    percent: int = Field(ge=1, le=100)
    due: AwareDatetime


class PromiseBreach(Params):
    """Internal: the 3 days have passed and the client knows no date."""

    defect: Line
    title: Line
    client_name: Line
    breached_at: AwareDatetime


class ProductTrouble(Params):
    """Internal: the product's repository does not answer (``unreachable``), or a tag was ``moved``."""

    product: Line
    trouble: Line
    detail: Line


class NoticeFailed(Params):
    """Internal: a client could not be told something."""

    notice: Line
    kind: Line
    client_name: Line
    address: Line | None = None
    reason: Line


#: What clients are told.
KINDS: dict[str, type[Params]] = {
    "case_registered": CaseRegistered,
    "case_classified": CaseClassified,
    "defect_recorded": DefectRecorded,
    "eta": Eta,
    "eta_changed": EtaChanged,
    "holding": Holding,
    "fix_released": FixReleased,
    "update_scheduled": UpdateScheduled,
    "update_started": Update,
    "update_done": Update,
    "update_postponed": UpdatePostponed,
    "update_failed": UpdateFailed,
    "fixed_in_your_stores": FixedInYourStores,
    "case_closed": CaseClosed,
}
#: What our own people are told.
INTERNAL_KINDS: dict[str, type[Params]] = {
    "clock_warning": ClockWarning,
    "clock_breach": ClockBreach,
    "promise_warning": PromiseWarning,
    "promise_breach": PromiseBreach,
    "product_trouble": ProductTrouble,
    "notice_failed": NoticeFailed,
}


def checked(kind: str, params: dict[str, Any]) -> Params:
    """The parameters of the kind, typed.

    Raises:
        GarantError: there is no such kind, or a parameter is missing, unknown or wrong (each is named).
    """
    model = KINDS.get(kind) or INTERNAL_KINDS.get(kind)
    if model is None:
        raise GarantError(f"no notice kind {kind!r}: there are {', '.join([*KINDS, *INTERNAL_KINDS])}")
    try:
        return model.model_validate(params)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or kind}: {e['msg']}" for e in error.errors())
        raise GarantError(f"notice {kind} cannot be queued: {wrong}") from error
