"""How many of a store's registers may be out of service at once (DESIGN section 5, rule 1). Pure."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

#: The share of a store's registers that may be out of service; a plan may set a smaller or larger one.
DEFAULT_CAP = 0.25


def limit(registers: int, cap: float = DEFAULT_CAP, *, closed_or_consent: bool = False) -> int:
    """``min(floor(N/2), max(1, floor(N*cap)))``.

    Args:
        registers: N, how many the store has.
        cap: share from 0 to 1. It is read as the decimal that was written: 0.29 of 100 is 29, although the
            binary 0.29 * 100 is 28.999...
        closed_or_consent: the store does not trade now, or the client has consented. Only this lets a
            store's single register be changed.

    Raises:
        ValueError: a negative number of registers, or a cap outside 0 to 1.
    """
    if registers < 0:
        raise ValueError(f"a store cannot have {registers} registers")
    if not 0 <= cap <= 1:
        raise ValueError(f"cap {cap} is not a share from 0 to 1")
    if registers == 1:
        return 1 if closed_or_consent else 0
    return min(registers // 2, max(1, int(registers * Fraction(str(cap)))))


def choose(
    candidates: Collection[str],
    *,
    registers: int,
    out: Collection[str],
    cap: float = DEFAULT_CAP,
    closed_or_consent: bool = False,
) -> tuple[str, ...]:
    """Those of the candidates that may be started now, in the order given.

    A register that counts as out already costs nothing more when it is started (a retry of a failed one);
    still, it is started only when the store is within its budget.

    Args:
        candidates: registers that every other rule lets start.
        out: registers that are down or in flight, over all rollouts.
    """
    bound = limit(registers, cap, closed_or_consent=closed_or_consent)
    taken = set(out)
    chosen = []
    for name in candidates:
        if len(taken | {name}) <= bound:
            taken.add(name)
            chosen.append(name)
    return tuple(chosen)
