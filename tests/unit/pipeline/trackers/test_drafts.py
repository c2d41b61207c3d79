"""What development reads, when an issue may be created, and the bundle as one file."""

from __future__ import annotations

import dataclasses
import os
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import NotFoundError
from pipeline.trackers.archives import pack
from pipeline.trackers.drafts import Findings, House, component, draft, label
from pipeline.trackers.markup import plain
from pipeline.trackers.rules import may_create, wait

FOUND = Findings(
    defect="D-000007",
    product="set10",
    signature="receipt-total",
    title="Receipt does not add up after a discount",
    verdict="flaky",
    version="10.4.2",
    rate=0.4,
    interval=(0.218, 0.613),
    runs=20,
    first_bad_release="10.4.1",
    first_bad_commit="89abcdef",
    parent_commit="01234567",
    culprit={"author": "A. Developer", "date": "2026-02-03", "subject": "Round discounts once"},
    events_before=412,
    events_after=5,
    steps=["open a shift", "sell 2 pieces with 15 % off"],
    clients=2,
    bundle="D-000007.tar.gz",
    digest="ab" * 32,
)


def test_the_issue_says_all_that_development_needs() -> None:
    """Symptom, versions, culprit with diff, figures, steps, replay: in this order, in plain words."""
    made = draft(FOUND)

    assert made.label == label("D-000007") == "garant-d-000007"
    assert made.title == "Receipt does not add up after a discount (set10, since 10.4.1)"
    assert plain(made.body) == (
        "What happens:\n"
        "Receipt does not add up after a discount\n"
        "Signature: receipt-total\n\n"
        "Versions:\n"
        "Reproduced on set10 10.4.2.\n"
        "First bad release: 10.4.1. Bad: 10.4.1 to 10.4.2.\n\n"
        "Culprit:\n"
        "Commit 89abcdef\n"
        "A. Developer, 2026-02-03, Round discounts once\n"
        "git diff 01234567 89abcdef\n\n"
        "Verdict:\n"
        "flaky: fails in 40% of runs (95 % interval 22% to 61%), 20 runs; minimised from 412 to 5 events.\n\n"
        "Minimal steps:\n"
        "1. open a shift\n"
        "2. sell 2 pieces with 15 % off\n\n"
        "Replay:\n"
        "tar xzf D-000007.tar.gz && pytest D-000007\n"
        "On another version:\ntestbench replay D-000007 --version VERSION\n"
        f"The bundle is attached (sha256 {'ab' * 32}).\n\n"
        "Hit:\n"
        "2 clients\n\n"
        "Defect D-000007, filed by Garant."
    )


def test_what_is_not_known_is_not_made_up() -> None:
    """Without a culprit, figures or steps the issue says so, or leaves the line out."""
    bisected = ("first_bad_release", "first_bad_commit", "parent_commit", "culprit")
    figures = ("rate", "interval", "runs", "events_before", "events_after")
    unknown: dict[str, Any] = dict.fromkeys((*bisected, *figures))
    made = draft(dataclasses.replace(FOUND, steps=[], clients=1, **unknown))

    assert made.title.endswith("(set10, in 10.4.2)")
    assert "Not narrowed down to one commit." in plain(made.body)
    assert "Verdict:\nflaky.\n" in plain(made.body)
    assert "1 client\n" in plain(made.body)
    assert "None" not in plain(made.body)


def test_the_installation_adds_what_its_project_wants() -> None:
    """Labels, fields, the component by the longest beginning that fits, a link that shows the change."""
    house = House(
        labels=("retail",),
        components={"receipt": "POS", "receipt-total": "Totals", "*": "Server"},
        fields={"priority": {"name": "High"}},
        diff_url="https://git.vendor.example/compare/{parent}...{commit}",
        commands=True,
    )
    made = draft(FOUND, house)

    assert (made.labels, made.components) == (("retail",), ("Totals",))
    assert made.fields == {"priority": {"name": "High"}}
    assert "Diff: https://git.vendor.example/compare/01234567...89abcdef" in plain(made.body)
    assert "/reproduce VERSION" in plain(made.body)
    assert component("z-report", house.components) == "Server"
    assert component("z-report", {}) is None


def test_a_long_way_is_cut_in_the_issue_not_in_the_bundle() -> None:
    """More steps than anybody reads are counted, not shown."""
    made = draft(dataclasses.replace(FOUND, steps=[f"step {n}" for n in range(1, 71)]))

    assert "60. step 60\n10 more steps are in the bundle." in plain(made.body)


def test_pack_is_the_same_for_the_same_content(tmp_path: Path) -> None:
    """Times, order of writing and what a test run leaves behind do not change the archive."""
    for name, order in (("one", ("a", "b")), ("two", ("b", "a"))):
        for file in order:
            (tmp_path / name / "data").mkdir(parents=True, exist_ok=True)
            (tmp_path / name / "data" / file).write_text(file)
    (tmp_path / "two" / "__pycache__").mkdir()
    (tmp_path / "two" / "__pycache__" / "x.pyc").write_bytes(b"x")
    os.utime(tmp_path / "two" / "data" / "a", (1, 1))

    digests = {pack(tmp_path / n, tmp_path / f"{n}.tar.gz", name="D-1") for n in ("one", "two")}

    assert len(digests) == 1
    with tarfile.open(tmp_path / "one.tar.gz") as archive:
        assert archive.getnames() == ["D-1/data/a", "D-1/data/b"]


def test_pack_of_nothing(tmp_path: Path) -> None:
    """A bundle that is gone is named, with what brings it back."""
    with pytest.raises(NotFoundError, match="garant reproduce CASE"):
        pack(tmp_path / "gone", tmp_path / "x.tar.gz", name="x")


def test_may_create() -> None:
    """A search that finds nothing proves nothing while a creation in doubt may not be indexed yet."""
    now = datetime(2026, 3, 12, 6, 0, tzinfo=UTC)
    lag = timedelta(minutes=5)

    assert may_create(None, now, index_lag=lag)
    assert not may_create(now - timedelta(minutes=4), now, index_lag=lag)
    assert may_create(now - timedelta(minutes=5), now, index_lag=lag)


def test_waits_grow_to_an_end() -> None:
    """Each wait is at least the one before, and the last one repeats."""
    waits = [wait(n) for n in range(1, 20)]

    assert waits == sorted(waits)
    assert waits[-1] == timedelta(minutes=10)
