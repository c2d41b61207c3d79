"""Doubles, polling windows, waits, and what comments ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.trackers import rules
from pipeline.trackers.jira_errors import retry_after
from pipeline.trackers.port import Issue

NOW = datetime(2026, 3, 12, 6, 0, tzinfo=UTC)


def issue(key: str, *, ours: bool = True) -> Issue:
    return Issue(key=key, url="", ours=ours)


def test_only_our_own_unsettled_issues_are_doubles() -> None:
    """The known one stays whatever its age; a person's copy and a settled one are left alone."""
    there = [issue("SET-1"), issue("SET-2"), issue("SET-3", ours=False), issue("SET-4")]

    assert rules.doubles(there, known="SET-2", settled={"SET-4"}) == ["SET-1"]
    assert rules.doubles(there[:1], known="SET-1", settled=()) == []
    # moved to another project, or not in the index yet: still the one that stays
    assert rules.doubles(there[:1], known="OPS-9", settled=()) == ["SET-1"]


def test_a_look_reaches_back_past_the_last_one() -> None:
    """By the overlap and the index lag; after a long silence, or at first, by no more than a month."""
    lag = timedelta(minutes=5)

    assert rules.window(NOW - timedelta(minutes=5), NOW, index_lag=lag) == timedelta(minutes=20)
    assert rules.window(NOW + timedelta(hours=1), NOW, index_lag=lag) == timedelta(minutes=15)
    assert rules.window(None, NOW, index_lag=lag) == timedelta(days=30)
    assert rules.window(NOW - timedelta(days=90), NOW, index_lag=lag) == timedelta(days=30)


def test_a_tracker_that_asks_for_rest_gets_it() -> None:
    """As long as it asks for, never less than we wait by ourselves, never more than an hour."""
    assert rules.wait(1, timedelta(seconds=90)) == timedelta(seconds=90)
    assert rules.wait(4, timedelta(seconds=1)) == timedelta(seconds=60)
    assert rules.wait(1, timedelta(days=2)) == timedelta(hours=1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17),
        # The answer's own clock counts: ours may be wrong.
        ({"Retry-After": "Thu, 12 Mar 2026 06:01:30 GMT", "Date": "Thu, 12 Mar 2026 06:00:00 GMT"}, 90),
        ({"Retry-After": "Thu, 12 Mar 2026 05:00:00 GMT", "Date": "Thu, 12 Mar 2026 06:00:00 GMT"}, 0),
        ({"Retry-After": "Thu, 12 Mar 2026 06:01:30 GMT"}, None),
        ({"Retry-After": "soon", "Date": "Thu, 12 Mar 2026 06:00:00 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_both_forms(headers: dict[str, str], seconds: int | None) -> None:
    """RFC 9110: a number of seconds, or a date; anything else is not heeded."""
    assert retry_after(headers) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("/reproduce 10.4.2", "10.4.2"),
        ("Please:\n  /Reproduce v10.4.8.0-rc.1  \nthanks", "v10.4.8.0-rc.1"),
        ("/reproduce", None),
        ("/reproduce 10.4.2 and 10.4.3", None),
        ("/reproduce --upload-pack=x", None),
        ("/reproduce ../../etc", None),
        ("/reproduce HEAD~3", None),
        (f"/reproduce {'1' * 65}", None),
    ],
)
def test_what_a_comment_asks_for(text: str, version: str | None) -> None:
    """A line that begins with the word and names one version; a name that could be more is not one."""
    assert rules.asked(text) == rules.Asked(version=version)


@pytest.mark.parametrize(
    "text", ["see /reproduce 10.4.2", "> /reproduce 10.4.2", "/reproduced 10.4", "", "hello"]
)
def test_talk_is_no_request(text: str) -> None:
    """In the middle of a line, quoted, or another word."""
    assert rules.asked(text) is None


def test_who_may_ask() -> None:
    """By any of an author's names, in any case; nobody unless named; a star is everybody."""
    assert rules.allowed({"557058:dana", "Dana"}, ["557058:DANA"])
    assert not rules.allowed({"mallory"}, ["dana"])
    assert not rules.allowed({"dana"}, [])
    assert rules.allowed({"mallory"}, ["*"])
