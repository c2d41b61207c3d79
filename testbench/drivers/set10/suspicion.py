"""Which elements of a scenario a failure points at: the start of minimisation (pure).

A finding names a receipt, a Z report, an article or a register. What was done to it, on its register, with
the goods that were scanned there, is most often enough to see it again: one run of 30 events instead of ten
runs of halves of a day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from testbench.oracles.observations import Identity
from testbench.outcomes import Outcome
from testbench.scenarios.schema import Event

#: Done on a register for all receipts of a shift, so part of each of them.
_FRAME = frozenset(
    {"shift.open", "shift.close", "sync", "restart", "network.cut", "network.restore", "network.lose_reply"}
)
_UNIT = re.compile(r"^unit: (\S+)$", re.MULTILINE)
_RECEIPT = re.compile(r"\breceipt (\d+)/(\d+)/(\d+)")
_REGISTER = re.compile(r"\b(?:register|Z report) (\d+)")
_ARTICLE = re.compile(r"\barticle ([^\s:]+)")


def unit_line(where: str, units: Mapping[str, Identity]) -> str:
    """Gives "unit: receipt:5/248/30" when ``where`` names a receipt by its number on the bench, else "".

    Receipts are numbered anew there, so only the run itself knows which receipt of the store that was.
    """
    found = _RECEIPT.search(where)
    if found is None:
        return ""
    identity = (int(found[1]), int(found[2]), int(found[3]))
    return next((f"unit: {unit}" for unit, seen in units.items() if seen == identity), "")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a failure is about; None where it says nothing."""

    unit: str | None
    register: int | None
    article: str | None


def subject(outcome: Outcome) -> Subject:
    """What the first violated rule of an outcome names."""
    where = outcome.expected.partition(": ")[0]
    unit, article = _UNIT.search(outcome.detail), _ARTICLE.search(where)
    register = _RECEIPT.search(where) or _REGISTER.search(where)
    return Subject(
        unit=unit[1] if unit else None,
        register=int(register[1]) if register else None,
        article=article[1] if article else None,
    )


def guesses(about: Subject, events: Sequence[Event]) -> list[list[int]]:
    """Places of the events that may be enough, the fewest first."""
    found = []
    if about.unit is not None or about.article is not None:
        units = _with_original(about.unit, events)
        found.append([place for place, event in enumerate(events) if _is_near(about, event, units)])
    if about.register is not None:
        own = (None, about.register)
        found.append([place for place, event in enumerate(events) if event.register_ in own])
    found.append(list(range(len(events))))
    return found


def scanned(events: Iterable[Event]) -> frozenset[str]:
    """The barcodes that are scanned, and of scales' labels (21, PLU, grams) the beginning too."""
    codes = {str(event.payload["barcode"]) for event in events if "barcode" in event.payload}
    return frozenset(codes | {code[:7] for code in codes if len(code) == 13 and code.startswith("21")})


def _is_near(about: Subject, event: Event, units: frozenset[str]) -> bool:
    if event.register_ is None:
        return True
    if about.register is not None and event.register_ != about.register:
        return False
    return event.type in _FRAME or event.unit in units


def _with_original(unit: str | None, events: Sequence[Event]) -> frozenset[str]:
    """The unit, and of a return the sale that it gives back."""
    if unit is None:
        return frozenset()
    units = {unit}
    for event in events:
        original = event.payload.get("original")
        if event.unit == unit and isinstance(original, dict):
            units.add(f"receipt:{original['cash']}/{original['shift']}/{original['number']}")
    return frozenset(units)
