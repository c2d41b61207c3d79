"""Who gets which slot, for how long, and whose result counts. Pure: times are parameters, nothing is stored.

A *slot* is a place for one run at a time. A *reservation* waits for one or holds one; its holder renews the
lease by a heartbeat. Every grant of a slot has a higher *fencing token* than the one before, so the result of
a holder that was taken for dead (suspended, a stalled disk) can be told from its successor's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

#: A lease that is not renewed for so long has ended, in seconds.
LEASE = 60.0
#: Holders and those who wait give a sign of life this often, in seconds.
HEARTBEAT = 10.0
#: Waiting so long (seconds) is worth one step of priority, so that nobody waits for ever.
AGEING = 60.0


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A place for one run at a time."""

    number: int
    #: Of the last grant; rises with each.
    token: int = 0
    #: Why it is not given out; the first cause, whatever failed after it. None: it is in use or free.
    quarantine: str | None = None
    #: When it was put there, seconds since the epoch.
    since: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """Somebody who waits for a slot or holds one."""

    id: str
    #: The process that owns it (its id and when it began).
    owner: str
    #: Higher ones first.
    priority: int
    #: Seconds since the epoch.
    asked_at: float
    beat_at: float
    #: What it holds; None while it waits.
    slot: int | None = None
    token: int | None = None


@dataclass(frozen=True)
class Grant:
    """A decision: this reservation gets this slot with this token."""

    reservation: str
    slot: int
    token: int


def expired(reservation: Reservation, now: float, dead: Collection[str] = ()) -> bool:
    """Whether it counts no more: no sign of life for a lease's time, or its process is known to be gone."""
    return reservation.owner in dead or now - reservation.beat_at > LEASE


def rank(reservation: Reservation, now: float) -> tuple[float, float, str]:
    """Sort key of those who wait: priority with age, then who came first."""
    age = max(0.0, now - reservation.asked_at)
    return -(reservation.priority + age / AGEING), reservation.asked_at, reservation.id


def grants(
    slots: Iterable[Slot], reservations: Sequence[Reservation], now: float, dead: Collection[str] = ()
) -> list[Grant]:
    """What to give to whom now: free slots (lowest number first) to those who wait, by rank."""
    living = [one for one in reservations if not expired(one, now, dead)]
    held = {one.slot for one in living if one.slot is not None}
    free = sorted(
        (slot for slot in slots if slot.quarantine is None and slot.number not in held),
        key=lambda slot: slot.number,
    )
    waiting = sorted((one for one in living if one.slot is None), key=lambda one: rank(one, now))
    return [Grant(one.id, slot.number, slot.token + 1) for one, slot in zip(waiting, free, strict=False)]


def counts(reservation: Reservation | None, slot: Slot | None, now: float) -> bool:
    """Whether the holder's result is accepted: it still holds the slot, in time, with the newest token."""
    return (
        reservation is not None
        and slot is not None
        and reservation.slot == slot.number
        and reservation.token == slot.token
        and not expired(reservation, now)
    )


def quarantined(slot: Slot, cause: str, now: float) -> Slot:
    """The slot, not given out any more; the first cause stays."""
    return slot if slot.quarantine is not None else replace(slot, quarantine=cause, since=now)


def released(slot: Slot) -> Slot:
    """The slot, given out again."""
    return replace(slot, quarantine=None, since=None)
