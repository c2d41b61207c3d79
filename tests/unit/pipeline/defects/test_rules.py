"""The life of a defect as decisions."""

from __future__ import annotations

import pytest

from pipeline.defects.rules import Sighting, affected, at_least, client_is_clean, seen_again


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("10.4.3", "10.4.2"),
        # numbers by value, not as text
        ("10.10.0", "10.9.9"),
        # a candidate comes before its release
        ("10.4.0", "10.4.0-rc1"),
        ("10.4.0-rc2", "10.4.0-rc1"),
        ("v10.4.1", "10.4.0"),
        ("10.4.0.1", "10.4"),
    ],
)
def test_order_of_versions(newer: str, older: str) -> None:
    """Newer is at least older, and never the other way round."""
    assert at_least(newer, older)
    assert not at_least(older, newer)


@pytest.mark.parametrize(("one", "other"), [("10.4", "10.4.0"), ("v1.2", "1.2"), ("10.4.2", "10.4.2")])
def test_equal_versions(one: str, other: str) -> None:
    """Trailing zeros and a leading v change nothing."""
    assert at_least(one, other)
    assert at_least(other, one)


@pytest.mark.parametrize(
    ("state", "fixed_in", "version", "expected"),
    [
        # development still works on it: one more sighting changes nothing
        ("recorded", None, "10.4.2", Sighting(state="recorded", came_back=False)),
        ("filed", None, "10.4.2", Sighting(state="filed", came_back=False)),
        ("reopened", None, "10.4.2", Sighting(state="reopened", came_back=False)),
        # a store without the fix shows the old fault
        ("fixed", "10.4.3", "10.4.2", Sighting(state="fixed", came_back=False)),
        ("closed", "10.4.3", "10.4.2", Sighting(state="fixed", came_back=False)),
        # the fix did not hold
        ("fixed", "10.4.3", "10.4.3", Sighting(state="reopened", came_back=True)),
        ("closed", "10.4.3", "10.5.0", Sighting(state="reopened", came_back=True)),
    ],
)
def test_seen_again(state: str, fixed_in: str | None, version: str, expected: Sighting) -> None:
    """Only a sighting at the fixed version or above means that the defect came back."""
    assert expected == seen_again(state, fixed_in, version)


@pytest.mark.parametrize(
    ("version", "expected"),
    [("10.4.1", True), ("10.4.2", True), ("10.4.3", False), ("10.4.0", False), (None, True)],
)
def test_affected(version: str | None, expected: bool) -> None:
    """From the first bad release up to the fix; a version that is not known may be affected."""
    assert expected == affected(version, first_bad="10.4.1", fixed_in="10.4.3")


def test_client_is_clean_only_without_any_affected_host() -> None:
    """One register that missed the update keeps the client's defect open."""
    assert client_is_clean(["10.4.3", "10.5.0"], first_bad=None, fixed_in="10.4.3")
    assert not client_is_clean(["10.4.3", None], first_bad=None, fixed_in="10.4.3")
    assert not client_is_clean(["10.4.3", "10.4.2"], first_bad=None, fixed_in="10.4.3")
