"""DESIGN section 5, rule 1, as a table and as properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rollouts import budgets


@pytest.mark.parametrize(
    ("registers", "cap", "expected"),
    [
        (0, 0.25, 0),
        (1, 0.25, 0),  # only a closed store or consent
        (2, 0.25, 1),  # half, although the cap gives none
        (3, 0.25, 1),  # floor of a half
        (4, 0.25, 1),
        (7, 0.25, 1),
        (8, 0.25, 2),
        (10, 0.25, 2),
        (10, 0.5, 5),
        (10, 1.0, 5),  # never more than half, whatever the cap
        (10, 0.0, 1),  # the least, else nothing would ever be updated
        (100, 0.29, 29),  # 0.29 * 100 is 28.999... in binary
    ],
)
def test_limit(registers: int, cap: float, expected: int) -> None:
    """min(floor(N/2), max(1, floor(N*cap)))."""
    assert budgets.limit(registers, cap) == expected


def test_a_single_register_needs_a_closed_store_or_consent() -> None:
    """N = 1 is the only case in which the rule gives nothing."""
    assert budgets.limit(1, closed_or_consent=True) == 1


@pytest.mark.parametrize(("registers", "cap"), [(-1, 0.25), (4, -0.1), (4, 1.1)])
def test_nonsense_is_refused(registers: int, cap: float) -> None:
    """A negative store and a share outside 0 to 1 are errors, not budgets."""
    with pytest.raises(ValueError, match=r"store|share"):
        budgets.limit(registers, cap)


@given(
    registers=st.integers(2, 40),
    cap=st.integers(0, 100).map(lambda percent: percent / 100),
    out=st.sets(st.integers(0, 39)),
)
def test_what_is_chosen_never_exceeds_the_limit(registers: int, cap: float, out: set[int]) -> None:
    """down + in flight + k stays within the bound whenever anything is chosen at all."""
    names = [f"r{number}" for number in range(registers)]
    down = {f"r{number}" for number in out if number < registers}
    chosen = budgets.choose(names, registers=registers, out=down, cap=cap)

    bound = min(registers // 2, max(1, math.floor(round(registers * cap, 9))))
    assert not chosen or len(down | set(chosen)) <= bound
    if len(down) < bound:
        assert len(down | set(chosen)) == bound
