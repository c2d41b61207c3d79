"""One contract for the local tracker and for Jira in both flavours."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.database import Base, Database
from pipeline.errors import NotFoundError
from pipeline.settings import TrackerSettings
from pipeline.trackers.jira import JiraTracker
from pipeline.trackers.jira_server import JiraServer, basic
from pipeline.trackers.local import LocalTracker
from pipeline.trackers.markup import Heading, Paragraph
from pipeline.trackers.port import Draft, Tracker

DRAFT = Draft(
    label="garant-d-000001",
    title="Receipt does not add up",
    body=[Heading("What happens"), Paragraph(("…",))],
)


def local(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[Tracker]:
    name = f"tracker_{os.getpid()}_{next(_numbers)}"
    server = request.getfixturevalue("postgres") if kind == "postgresql" else None
    database = Database(server.create(name) if server else f"sqlite:///{folder / 'garant.db'}")
    Base.metadata.create_all(database.engine)
    now = datetime(2026, 3, 12, 6, 0, tzinfo=UTC)
    yield LocalTracker(database, folder / "tracker", project="SET", clock=lambda: now)
    database.close()
    if server:
        server.drop(name)


_numbers = itertools.count(1)


@pytest.fixture(params=["local-sqlite", "local-postgresql", "jira-Cloud", "jira-Server"])
def tracker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tracker]:
    kind, _, flavour = request.param.partition("-")
    if kind == "local":
        yield from local(request, flavour, tmp_path)
        return
    cloud = flavour == "Cloud"
    authorization = basic("robot", "secret") if cloud else "Bearer secret"
    with JiraServer(flavour=flavour, authorization=authorization) as server:
        settings = TrackerSettings(
            kind="jira", url=server.url, user="robot", auth="basic" if cloud else "bearer", timeout_s=5
        )
        jira = JiraTracker(settings, token="secret")
        yield jira
        jira.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(bytes(range(256)) * 400)
    return path


def test_created_is_found_by_its_label(tracker: Tracker) -> None:
    """What was created is found, whole; nothing else carries the label."""
    made = tracker.create(DRAFT)

    assert [made.key] == [issue.key for issue in tracker.find(DRAFT.label)]
    assert tracker.find("garant-d-000002") == []
    seen = tracker.state(made.key)
    assert (seen.title, seen.url, seen.attachments) == (DRAFT.title, made.url, ())
    assert made.key.startswith("SET-")


def test_issues_are_found_oldest_first(tracker: Tracker) -> None:
    """With two labels there are two issues, each found by its own."""
    first = tracker.create(DRAFT)
    second = tracker.create(Draft(label="garant-d-000002", title="Other", body=[Paragraph(("b",))]))

    assert first.key != second.key
    assert [second.key] == [issue.key for issue in tracker.find("garant-d-000002")]


def test_attach_once(tracker: Tracker, file: Path) -> None:
    """The same name, size and digest is not sent again; other content of the same name is."""
    key = tracker.create(DRAFT).key

    assert tracker.attach(key, "bundle.tar.gz", file)
    assert not tracker.attach(key, "bundle.tar.gz", file)
    file.write_bytes(file.read_bytes()[::-1])
    assert tracker.attach(key, "bundle.tar.gz", file)

    assert [(a.name, a.size) for a in tracker.state(key).attachments] == [("bundle.tar.gz", 102400)] * 2


def test_comment_once_per_marker(tracker: Tracker) -> None:
    """A repeated comment is recognised by its marker; one with a longer marker is another."""
    key = tracker.create(DRAFT).key

    assert tracker.comment(key, "One more client", "D-000001:case:1")
    assert not tracker.comment(key, "One more client", "D-000001:case:1")
    assert tracker.comment(key, "One more client", "D-000001:case:11")


def test_link_may_be_repeated(tracker: Tracker) -> None:
    """The same link again replaces itself."""
    key = tracker.create(DRAFT).key

    tracker.link(key, "garant-d-000001", "https://garant.invalid/defects/D-000001", "Defect")
    tracker.link(key, "garant-d-000001", "https://garant.invalid/defects/D-000001", "Defect")


def test_an_issue_that_does_not_exist(tracker: Tracker, file: Path) -> None:
    """Every method names what is missing."""
    for call in (
        lambda: tracker.state("SET-99"),
        lambda: tracker.attach("SET-99", "x", file),
        lambda: tracker.comment("SET-99", "x", "m"),
        lambda: tracker.link("SET-99", "g", "https://x.invalid", "t"),
    ):
        with pytest.raises(NotFoundError):
            call()


def test_moved_to_its_end_and_back(tracker: Tracker) -> None:
    """Each way once: asked for again, it says that it is there; the report tells the same."""
    key = tracker.create(DRAFT).key

    assert tracker.move(key, done=True)
    assert not tracker.move(key, done=True)
    assert (tracker.report(key).done, tracker.state(key).done) == (True, True)
    assert tracker.move(key, done=False)
    assert (tracker.report(key).done, tracker.report(key).resolution) == (False, None)


def test_our_own_comments_are_no_remarks(tracker: Tracker) -> None:
    """Else we would answer ourselves without end."""
    key = tracker.create(DRAFT).key
    tracker.comment(key, "/reproduce 10.4.2", "D-000001:usage:1")

    assert tracker.remarks(key) == []


def test_doubles_are_linked_once(tracker: Tracker) -> None:
    """The second time it says that it was so."""
    first = tracker.create(DRAFT).key
    second = tracker.create(Draft(label="garant-d-000002", title="Other", body=[Paragraph(("b",))])).key

    assert tracker.duplicates(second, first)
    assert not tracker.duplicates(second, first)


def test_what_changed_is_found_and_the_settings_fit(tracker: Tracker) -> None:
    """A new issue is a change; ours are found together by the common label."""
    key = tracker.create(DRAFT).key

    assert [report.key for report in tracker.changed(timedelta(hours=1))] == [key]
    assert [issue.key for issue in tracker.find("garant")] == [key]
    assert [finding for finding in tracker.check() if not finding.ok] == []
