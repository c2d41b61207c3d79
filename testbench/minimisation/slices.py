"""Which slice of a list to leave out next: the search behind the minimiser. Pure: it asks, the caller tests.

An *open* element may or may not be needed. A *guilty* segment cannot be left out whole (a test has shown
it), so, for a failure that needs certain elements, it holds one of them. Slices of the open elements are
left out as long as these are a large part of what is replayed; else the largest guilty segment is cut in two,
and the half that the test did not accuse is open again. Slices grow when they could be left out and shrink
when not (the adaptive-slice idea of DESIGN section 7), so 3 needed of 1,000 and 30 needed of 1,000 both
cost little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: ``fails(kept)``: does the failure still show with only these atoms (ascending)?
Fails = Callable[[Sequence[int]], bool]

# Chosen by simulation (3, 10 and 30 needed of 1,000 and 3 of 10,000, hundreds of settings): fewest replayed
# events at nearly the fewest calls. They decide the price, never the result.
OPEN_SHARE = 0.27  # open elements are tried first while they are this part of what is replayed
FIRST_SLICE = 0.24  # of the open elements
GROW, SHRINK = 2.2, 0.96
WHOLE_REST = 0.22  # a slice that would leave less than this part of the open elements takes them all
STAYS = 0.53  # of a guilty segment, while its rest is left out


def reduce(atoms: Sequence[int], fails: Fails) -> list[int]:
    """Atoms (ascending) whose absence hides the failure, found by leaving out slices.

    ``fails(atoms)`` must be true. The result still fails. It is small, but only ``one_minimal`` proves that
    no single atom can go: a failure that needs one of two elements can mislead the search.
    """
    if not atoms or fails([]):
        return []
    live, free, guilty = list(atoms), list(atoms), list[list[int]]()
    part = FIRST_SLICE
    while free or guilty:
        if free and (not guilty or len(free) >= OPEN_SHARE * len(live)):
            length = max(1, min(len(free), round(len(free) * part)))
            if len(free) - length < WHOLE_REST * len(free):
                length = len(free)
            # From the end: what happened last is most often not needed, and what follows a failure never is.
            slice_, free = free[-length:], free[:-length]
            without = _without(live, slice_)
            if fails(without):
                live, part = without, min(1.0, part * GROW)
            else:
                part *= SHRINK
                guilty.append(slice_)
        else:
            segment = max(guilty, key=len)
            guilty.remove(segment)
            cut = max(1, min(len(segment) - 1, round(len(segment) * STAYS)))
            first, second = segment[:cut], segment[cut:]
            without = _without(live, second)
            if fails(without):
                live = without
                guilty.append(first)
            else:
                guilty.append(second)
                free = free + first
        # One guilty element alone is needed, as far as slices can tell.
        guilty = [segment for segment in guilty if len(segment) > 1]
    return live


def one_minimal(atoms: Sequence[int], fails: Fails) -> list[int]:
    """The same failure with no atom that could be left out by itself; ``fails(atoms)`` must be true."""
    live = list(atoms)
    position, unchanged = len(live) - 1, 0
    # Around and around from the end, until each has been tried since the last change.
    while unchanged < len(live):
        without = live[:position] + live[position + 1 :]
        if fails(without):
            live, unchanged = without, 0
        else:
            unchanged += 1
        position = (position - 1) if position > 0 else len(live) - 1
    return live


def _without(live: Sequence[int], slice_: Sequence[int]) -> list[int]:
    gone = set(slice_)
    return [atom for atom in live if atom not in gone]
