"""What a look at the repository means."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.products.rules import Seen, Suspect, compare, concerns, due, next_look


def suspect(
    state: str = "filed",
    *,
    bad: str = "10.4.7",
    first_bad: str | None = "10.4.6",
    fixed_in: str | None = None,
) -> Suspect:
    return Suspect(defect="D-1", state=state, bad=bad, first_bad=first_bad, fixed_in=fixed_in)


def seen(version: str, **more: object) -> Seen:
    return Seen(version=version, commit=f"c{version}", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "of", "expected"),
    [
        ("v10.4.8", suspect(), True),
        # the very version that showed it
        ("v10.4.7", suspect(), False),
        ("v10.4.7.0", suspect(), False),
        # a maintenance build of an older bad line, and one from before the defect
        ("v10.4.6.5", suspect(), True),
        ("v10.4.5.9", suspect(), False),
        # the first bad release is not known: from the version on that showed it
        ("v10.4.6.5", suspect(first_bad=None), False),
        # fixed: later versions may bring it back, the same one says nothing new
        ("v10.4.9", suspect("fixed", fixed_in="10.4.8"), True),
        ("v10.4.8", suspect("fixed", fixed_in="10.4.8"), False),
        # closed: the regression gate's
        ("v10.4.9", suspect("closed", fixed_in="10.4.8"), False),
        ("v10.4.9", suspect("reopened"), True),
    ],
)
def test_whom_a_version_concerns(version: str, of: Suspect, expected: bool) -> None:
    """One row per situation."""
    assert concerns(version, of) is expected


def test_each_pair_is_due_once_and_history_is_not_played() -> None:
    """New versions and the newest of the first look; not what was checked, not what was moved."""
    versions = [
        seen("v10.4.8", baseline=True),
        seen("v10.4.9", baseline=True),
        seen("v10.4.10"),
        seen("v10.4.11", moved_to="x"),
    ]

    assert [(d, v.version) for d, v in due([suspect()], versions[:2], set())] == [("D-1", "v10.4.9")]
    assert [v.version for _, v in due([suspect()], versions, set())] == ["v10.4.10"]
    assert due([suspect()], versions, {("D-1", "v10.4.10")}) == []
    assert due([suspect()], [], set()) == []


def test_a_tag_that_moved_is_seen_once_per_place() -> None:
    """New, moved, moved on, moved back; one that is gone stays known."""
    known = [seen("v1"), seen("v2", moved_to="x"), seen("v3")]

    change = compare(known, {"v1": "y", "v2": "x", "v4": "c4"})
    assert (change.new, change.moved) == ({"v4": "c4"}, {"v1": "y"})
    assert compare(known, {"v2": "cv2"}).moved == {"v2": "cv2"}
    assert compare(known, {"v2": "z"}).moved == {"v2": "z"}


def test_a_repository_that_is_away_is_asked_less_often() -> None:
    """Doubled each time, an hour at most; an interval above an hour stays."""
    every = timedelta(minutes=5)

    assert [next_look(every, n) for n in (0, 1, 2, 9)] == [every, 2 * every, 4 * every, timedelta(hours=1)]
    assert next_look(timedelta(hours=3), 5) == timedelta(hours=3)
