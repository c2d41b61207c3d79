"""The terms of the tariff (TARIFF.md, "What is promised"). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

#: A store with more than half of its registers down gets this class (strictly more: 5 of 10 is not).
CRITICAL = "registers_down_gt50"
_AGREE = "agree_term_within_"


@dataclass(frozen=True, kw_only=True)
class ClassTerms:
    """What a class of case is promised; each None or False when it is not."""

    restore: timedelta | None = None
    #: Within what the term itself is agreed with the client.
    agree_within: timedelta | None = None
    consultation: bool = False


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """One version of a tariff: all terms are elapsed time, 24 hours a day, 7 days a week."""

    name: str = "garant"
    registration: timedelta = timedelta(minutes=15)
    consultation: timedelta = timedelta(hours=4)
    #: For a case that has no class yet.
    restore_default: timedelta = timedelta(hours=4)
    eta_notice: timedelta = timedelta(hours=72)
    classes: Mapping[str, ClassTerms] = field(default_factory=lambda: GARANT_CLASSES)


#: The rows of the tariff's table by the words of sla-cases.json; ``consultation`` is the row
#: "consultation on SET", ``third_party`` the section "Not guaranteed in these terms".
GARANT_CLASSES: Mapping[str, ClassTerms] = {
    CRITICAL: ClassTerms(restore=timedelta(hours=2)),
    "goods_prices_transport_stopped": ClassTerms(restore=timedelta(hours=2)),
    "set_server_dead": ClassTerms(restore=timedelta(hours=3)),
    "set_server_new_setup": ClassTerms(restore=timedelta(hours=3)),
    "store_launch_blocked": ClassTerms(restore=timedelta(hours=3)),
    "register_typical_ops": ClassTerms(restore=timedelta(hours=4)),
    "loyalty": ClassTerms(restore=timedelta(hours=4)),
    "goods_prices_import_export": ClassTerms(restore=timedelta(hours=4)),
    "register_data_discrepancy": ClassTerms(agree_within=timedelta(hours=4)),
    "set_erp_discrepancy": ClassTerms(restore=timedelta(hours=36)),
    "third_party": ClassTerms(consultation=True),
    "consultation": ClassTerms(consultation=True),
}
GARANT = Tariff()


@dataclass(frozen=True, kw_only=True)
class TariffVersion:
    """From when (aware) which terms are in force."""

    begins: datetime
    tariff: Tariff


def in_force(versions: Sequence[TariffVersion], at: datetime) -> Tariff:
    """The tariff in force at an instant; a version that begins at exactly that instant counts.

    Raises:
        ValueError: no version has begun by then.
    """
    begun = [version for version in versions if version.begins <= at]
    if not begun:
        raise ValueError(f"no tariff version is in force at {at.isoformat()}: the first one begins later")
    return max(begun, key=lambda version: version.begins).tariff


def tariff_from(targets: Mapping[str, Any], *, base: Tariff = GARANT) -> Tariff:
    """A tariff from the form of sla-cases.json (``targets``, or one entry of ``tariff_versions``).

    What the mapping does not say is as in ``base``.

    Raises:
        ValueError: a term is not in that form; it is named.
    """
    classes = dict(base.classes)
    given = targets.get("classes", {})
    if not isinstance(given, Mapping):
        raise ValueError("classes: a mapping of class to seconds is expected")
    for name, term in given.items():
        classes[str(name)] = _class_terms(str(name), term)
    return Tariff(
        name=str(targets.get("name", base.name)),
        registration=_seconds(targets, "registration_s", base.registration),
        consultation=_seconds(targets, "consultation_s", base.consultation),
        restore_default=_seconds(targets, "restore_default_s", base.restore_default),
        eta_notice=_seconds(targets, "eta_notice_s", base.eta_notice),
        classes=classes,
    )


def contract_due(event_at: datetime, zone: ZoneInfo) -> datetime:
    """24:00 of the third calendar day after the event, in the client's zone.

    Civil Code of the Russian Federation, articles 191 and 194, without the week-end shift of article
    193 (sla-cases.json, conventions). Reported; it also bounds the ETA notice where the clocks go forward.
    """
    day: date = event_at.astimezone(zone).date()
    midnight = datetime.combine(day + timedelta(days=4), time(), tzinfo=zone)
    return midnight.astimezone(event_at.tzinfo)


def _class_terms(name: str, term: object) -> ClassTerms:
    if isinstance(term, int) and not isinstance(term, bool) and term > 0:
        return ClassTerms(restore=timedelta(seconds=term))
    if term == "consultation_only":
        return ClassTerms(consultation=True)
    if isinstance(term, str) and term.startswith(_AGREE) and term[len(_AGREE) :].isdigit():
        return ClassTerms(agree_within=timedelta(seconds=int(term[len(_AGREE) :])))
    raise ValueError(
        f"class {name}: {term!r} is no term; seconds, `{_AGREE}SECONDS` or `consultation_only` are"
    )


def _seconds(targets: Mapping[str, Any], name: str, default: timedelta) -> timedelta:
    value = targets.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError(f"{name}: {value!r} is not a number of seconds above 0")
    return timedelta(seconds=value)
