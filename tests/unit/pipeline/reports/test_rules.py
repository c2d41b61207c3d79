"""The figures of the reports, from events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.reports.rules import Happening, Promised, defect_times, harmless, middle, promised

START = datetime(2026, 3, 12, 7, 0, tzinfo=UTC)


def happened(*types: str, thing: str = "D-000001/kupets/1") -> list[Happening]:
    """One event an hour."""
    return [
        Happening(at=START + timedelta(hours=n), type=type_, thing=thing, version="10.4.3")
        for n, type_ in enumerate(types)
    ]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["opened"], Promised(pending=1)),
        (["opened", "warned", "told", "met"], Promised(kept=1)),
        (["opened", "breached", "holding"], Promised(breached=1)),
        # told late, then closed: a breach stays
        (["opened", "breached", "told", "closed"], Promised(breached=1)),
        # closed before anything was due
        (["opened", "closed"], Promised(void=1)),
        (["opened", "met", "closed"], Promised(kept=1)),
        # accepted in time, known late
        (["opened", "breached", "breach_withdrawn", "met"], Promised(kept=1)),
        # the notice bounced: it runs again
        (["opened", "met", "told_withdrawn"], Promised(pending=1)),
        (["opened", "breached", "told", "told_withdrawn"], Promised(breached=1)),
    ],
)
def test_promised(types: list[str], expected: Promised) -> None:
    """One row per life of a promise."""
    assert expected == promised(happened(*types))


def test_promises_are_judged_apart() -> None:
    """Two clients of one defect are two promises."""
    events = [*happened("opened", "met"), *happened("opened", "breached", thing="D-000001/norden/1")]

    assert Promised(kept=1, breached=1) == promised(events)


@pytest.mark.parametrize(
    ("types", "state", "age", "fixed_in"),
    [
        (["recorded"], "recorded", 100, None),
        (["recorded", "case_linked", "filed"], "filed", 100, None),
        (["recorded", "filed", "fixed"], "fixed", 100, "10.4.3"),
        (["recorded", "filed", "fixed", "closed"], "closed", 3, "10.4.3"),
        # it came back: it ages again, and nothing mends it
        (["recorded", "fixed", "closed", "reopened"], "reopened", 100, None),
        # filed late: it stays what it was
        (["recorded", "fixed", "filed"], "fixed", 100, "10.4.3"),
    ],
)
def test_defect_state_and_age(types: list[str], state: str, age: int, fixed_in: str | None) -> None:
    """The state, the age in hours and the fix, from events alone."""
    times = defect_times(
        happened(*types), received_at=None, promised_at=None, now=START + timedelta(hours=100)
    )

    assert (times.state, times.age, times.fixed_in) == (state, timedelta(hours=age), fixed_in)


def test_defect_terms() -> None:
    """Each term has its own beginning; of a step that happened twice the first counts."""
    times = defect_times(
        happened("recorded", "filed", "eta_set", "eta_set"),
        received_at=START - timedelta(hours=5),
        promised_at=START - timedelta(hours=4),
        now=START + timedelta(hours=9),
    )

    assert (times.to_reproduce, times.to_file, times.to_eta) == (
        timedelta(hours=5),
        timedelta(hours=1),
        timedelta(hours=6),
    )


def test_what_has_not_happened_has_no_term() -> None:
    """None, not zero: it would make the median a lie."""
    times = defect_times(happened("recorded"), received_at=None, promised_at=None, now=START)

    assert (times.to_reproduce, times.to_file, times.to_eta) == (None, None, None)
    assert middle([None, None]) is None
    assert middle([timedelta(1), None, timedelta(2), timedelta(9)]) == timedelta(2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("receipt = total", "receipt = total"),
        ("", ""),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("  =1+1", "'  =1+1"),
        ("+7 900", "'+7 900"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("＝1", "'＝1"),
    ],
)
def test_harmless(text: str, expected: str) -> None:
    """What a spreadsheet would compute is told to be text; all else stays as it is."""
    assert expected == harmless(text)
