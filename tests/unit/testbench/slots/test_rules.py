"""Who gets which slot: priority, age, lease, fencing, quarantine."""

import pytest

from testbench.slots import rules
from testbench.slots.rules import Grant, Reservation, Slot

NOW = 1_000_000.0


def waits(name, *, priority=0, since=0.0, beat=0.0, owner="alive"):
    return Reservation(id=name, owner=owner, priority=priority, asked_at=NOW - since, beat_at=NOW - beat)


def holds(name, slot, token, *, beat=0.0, owner="alive"):
    return Reservation(
        id=name, owner=owner, priority=0, asked_at=NOW, beat_at=NOW - beat, slot=slot, token=token
    )


@pytest.mark.parametrize(
    ("slots", "reservations", "granted"),
    [
        # One free slot goes to the one who came first.
        ([Slot(number=1)], [waits("b", since=1), waits("a", since=9)], [Grant("a", 1, 1)]),
        # A higher priority goes first.
        ([Slot(number=1)], [waits("a", since=9), waits("b", priority=1)], [Grant("b", 1, 1)]),
        # Waiting for long outweighs priority: nobody waits for ever.
        ([Slot(number=1)], [waits("a", since=3 * rules.AGEING), waits("b", priority=2)], [Grant("a", 1, 1)]),
        # A held slot is not given; its successor's token is one higher.
        ([Slot(number=1, token=4), Slot(number=2)], [holds("a", 1, 4), waits("b")], [Grant("b", 2, 1)]),
        # A lease without a sign of life has ended: the slot is taken over.
        ([Slot(number=1, token=4)], [holds("a", 1, 4, beat=rules.LEASE + 1), waits("b")], [Grant("b", 1, 5)]),
        # A lease at its very end still holds.
        ([Slot(number=1, token=4)], [holds("a", 1, 4, beat=rules.LEASE), waits("b")], []),
        # A process known to be gone holds nothing, and gets nothing.
        ([Slot(number=1, token=4)], [holds("a", 1, 4, owner="gone"), waits("b")], [Grant("b", 1, 5)]),
        ([Slot(number=1)], [waits("a", owner="gone", since=9), waits("b")], [Grant("b", 1, 1)]),
        # A slot in quarantine is given to nobody.
        ([Slot(number=1, quarantine="disk full"), Slot(number=2)], [waits("a")], [Grant("a", 2, 1)]),
        # Several at once.
        (
            [Slot(number=2), Slot(number=1)],
            [waits("a"), waits("b", since=5), waits("c", since=2)],
            [Grant("b", 1, 1), Grant("c", 2, 1)],
        ),
    ],
)
def test_grants(slots, reservations, granted):
    """Free, healthy slots go to living reservations by priority, age and order of coming."""
    assert rules.grants(slots, reservations, NOW, {"gone"}) == granted


@pytest.mark.parametrize(
    ("reservation", "slot", "accepted"),
    [
        (holds("a", 1, 4), Slot(number=1, token=4), True),
        (holds("a", 1, 4), Slot(number=1, token=5), False),  # taken over
        (holds("a", 1, 4, beat=rules.LEASE + 1), Slot(number=1, token=4), False),  # too late
        (waits("a"), Slot(number=1, token=4), False),
        (None, Slot(number=1, token=4), False),
        (holds("a", 1, 4), None, False),
    ],
)
def test_fencing(reservation, slot, accepted):
    """A result counts only with the newest token and a living lease."""
    assert rules.counts(reservation, slot, NOW) is accepted


def test_first_cause_of_a_quarantine_stays():
    """What failed first explains what failed after it; release forgets both."""
    slot = rules.quarantined(Slot(number=1, token=3), "disk full", NOW)

    assert rules.quarantined(slot, "cannot be written", NOW + 5) == slot
    assert (slot.quarantine, slot.since) == ("disk full", NOW)
    assert rules.released(slot) == Slot(number=1, token=3)
