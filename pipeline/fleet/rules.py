"""Pure rules of the fleet: who is under the tariff, weekly times, near names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

#: TARIFF.md, "Who gets it": clients with so many registers over all their stores.
TARIFF_REGISTERS = 100

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: ``mon-fri 23:00-05:00``, ``sat,sun 22:00-06:00``, ``daily 23:00-05:00``.
WEEKLY_PATTERN = (
    r"^(daily|(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?"
    r"(,(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?)*)"
    r" ([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
)
_WEEKLY = re.compile(WEEKLY_PATTERN)


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """Whether the tariff's terms apply to a client, and why, for people."""

    eligible: bool
    reason: str


def eligibility(tariff: str, registers: int) -> Eligibility:
    """Whether a client is under the tariff (TARIFF.md, "Who gets it": 100 registers or more).

    A smaller client may be under it by a written agreement (``tariff`` is ``contract``). A client
    that is not eligible is still helped; only the tariff's clocks do not run for its cases.

    Args:
        tariff: ``standard`` or ``contract``, as in the client's row.
        registers: how many registers it has over all its stores, retired ones not counted.
    """
    if tariff == "contract":
        return Eligibility(eligible=True, reason="by contract")
    if registers >= TARIFF_REGISTERS:
        return Eligibility(eligible=True, reason=f"{registers} registers")
    return Eligibility(eligible=False, reason=f"{registers} of {TARIFF_REGISTERS} registers and no contract")


def weekly_times(text: str) -> dict[str, object]:
    """``mon-fri 23:00-05:00`` as {"days": [...], "from": "23:00", "to": "05:00"}.

    ``to`` at or before ``from`` is on the next day; ``sat-mon`` goes round the week's end.

    Raises:
        ValueError: the text has another form; the message says which one is expected.
    """
    if not _WEEKLY.fullmatch(text):
        raise ValueError(f"{text!r} is not a weekly time: write `mon-fri 23:00-05:00` or `daily 23:00-05:00`")
    spans, _, hours = text.partition(" ")
    begin, _, end = hours.partition("-")
    chosen = set(DAYS) if spans == "daily" else {day for span in spans.split(",") for day in _span(span)}
    return {"days": [day for day in DAYS if day in chosen], "from": begin, "to": end}


def weekly_text(times: dict[str, object]) -> str:
    """The inverse of ``weekly_times``."""
    days = times["days"]
    assert isinstance(days, list)
    spans = "daily" if len(days) == len(DAYS) else ",".join(_spans([DAYS.index(day) for day in days]))
    return f"{spans} {times['from']}-{times['to']}"


def nearest(word: str, known: Iterable[str], *, count: int = 3) -> list[str]:
    """Names that look like the one given, best first, for "did you mean"."""
    return difflib.get_close_matches(word, sorted(known), n=count, cutoff=0.5)


def unknown(noun: str, word: str, known: Iterable[str], listing: str) -> str:
    """The message for a name that does not exist: near names, and the command that lists all."""
    near = nearest(word, known)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"no {noun} {word!r}.{hint} List what exists with `{listing}`"


def _span(span: str) -> list[str]:
    first, _, last = span.partition("-")
    start, end = DAYS.index(first), DAYS.index(last or first)
    length = (end - start) % len(DAYS) + 1
    return [DAYS[(start + step) % len(DAYS)] for step in range(length)]


def _spans(days: list[int]) -> list[str]:
    runs: list[list[int]] = []
    for day in days:
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return [DAYS[run[0]] if len(run) == 1 else f"{DAYS[run[0]]}-{DAYS[run[-1]]}" for run in runs]
