"""Selecting stores."""

from __future__ import annotations

import pytest

from pipeline.rollouts import selection
from pipeline.rollouts.selection import Candidate

STORE = Candidate(
    store="k-1", client="kupets", zone="Europe/Moscow", tags=["pilot", "big"], versions=["10.4.1"]
)


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("all", True),
        ("", True),
        ("client=kupets", True),
        ("client=nord", False),
        ("client=nord|kupets", True),
        ("client=kupets,tag=pilot", True),
        ("client=kupets,tag=small", False),
        ("tag=pilot,tag=big", False),  # one value cannot be two; write tag=pilot for either
        ("version=10.4.1", True),
        ("zone=Europe/Moscow,store=k-1", True),
    ],
)
def test_matching(text: str, selected: bool) -> None:
    """All conditions must hold; one value of a condition must."""
    assert selection.matches(selection.parse(text), STORE) is selected


@pytest.mark.parametrize("text", ["colour=red", "client", "client=", "=x"])
def test_what_is_not_understood_is_refused(text: str) -> None:
    """A misspelt condition never selects everything."""
    with pytest.raises(ValueError, match="not understood"):
        selection.parse(text)
