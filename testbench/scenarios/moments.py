"""Which journal entries were under way at the same moment: races show again only when they are played so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from testbench.scenarios.journal import Entry
from testbench.scenarios.schema import Event


def met(entries: Iterable[Entry]) -> Iterator[tuple[Entry, int | None]]:
    """The entries in their order, each with the number of the group that it met in, or None.

    Only neighbours that could disturb each other are a group: two logins on one register, or two registers
    that ask the server for the same kind of thing. Registers that merely work at the same time are played in
    turn, which is what makes a run repeatable.
    """
    group: list[Entry] = []
    number = 0
    for entry in entries:
        if group and not _meets(group, entry):
            number, told = _numbered(group, number)
            yield from told
            group = []
        group.append(entry)
    yield from _numbered(group, number)[1]


def _numbered(group: list[Entry], number: int) -> tuple[int, list[tuple[Entry, int | None]]]:
    if len(group) < 2:
        return number, [(entry, None) for entry in group]
    return number + 1, [(entry, number + 1) for entry in group]


def _meets(group: list[Entry], entry: Entry) -> bool:
    """Whether an entry came in before all of the group were done, and asks for what they ask for."""
    wanted = _asks_for(entry)
    if wanted is None or entry.began is None:
        return False
    return all(_asks_for(other) == wanted and entry.began <= other.at for other in group)


def _asks_for(entry: Entry) -> tuple[str, int | None] | None:
    """What an entry may have to share; entries that share nothing are None."""
    if entry.type == "shift.open":
        return entry.type, entry.register
    if entry.type == "receipt.pay" and entry.payload.get("type") == "bonus":
        return "bonus", None
    if entry.type == "receipt.add" and entry.payload.get("mark"):
        return "mark", None
    return None


def unbroken(events: list[Event]) -> list[Event]:
    """The events, without ``together`` where something came in between: those are played in turn."""
    ended: set[int] = set()
    kept: list[Event] = []
    for event in events:
        previous = kept[-1].together if kept else None
        if previous is not None and previous != event.together:
            ended.add(previous)
        kept.append(event.model_copy(update={"together": None}) if event.together in ended else event)
    return kept
