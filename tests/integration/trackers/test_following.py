"""From the tracker back, in both flavours of Jira: dates, states, requests, doubles; each once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.application import Garant
from pipeline.database.history import history
from pipeline.defects import queries, service
from pipeline.engine.tables import JobRow
from pipeline.promises import service as promises
from pipeline.trackers import reading
from pipeline.trackers import service as trackers
from pipeline.trackers.jira_server import Fault, JiraServer, Person
from pipeline.trackers.jobs import open_tracker
from pipeline.trackers.markup import Paragraph
from pipeline.trackers.port import Draft

POLL = timedelta(minutes=31)
MALLORY = Person("mallory", "557058:mallory", "Mallory")
Work = Callable[..., None]


def etas(app: Garant) -> list[date]:
    with app.database.reading() as session:
        return [row.eta for row in promises.etas(session, "D-000001")]


def events(app: Garant, type_: str) -> list[dict[str, Any]]:
    with app.database.reading() as session:
        return [row.payload for row in history(session, "defect", "D-000001") if row.type == type_]


def shown(app: Garant) -> dict[str, Any]:
    with app.database.reading() as session:
        return reading.status(session, app.settings.tracker)


def bodies(server: JiraServer, key: str = "SET-1") -> list[str]:
    return [comment["body"] for comment in server.issues[key].comments]


def test_a_due_date_becomes_the_date_that_clients_are_told(
    app: Garant, server: JiraServer, filed: str, work: Work
) -> None:
    """By polling alone, once per change, however often it is looked at; fix version and end come along."""
    server.edit("SET-1", duedate="2026-03-20", fixVersions=["10.4.3"])
    work(POLL)
    work(POLL)
    server.edit("SET-1", duedate="2026-03-25")
    work(POLL)
    server.finish("SET-1")
    work(timedelta(hours=1))

    assert etas(app) == [date(2026, 3, 20), date(2026, 3, 25)]
    (issue,) = shown(app)["issues"]
    assert (issue["due"], issue["fix_versions"], issue["done"]) == ("2026-03-25", ["10.4.3"], True)
    assert issue["resolution"] == "Fixed"
    told = events(app, "tracker_changed")
    assert [row.get("due") for row in told] == ["2026-03-20", "2026-03-25", None]
    assert len(bodies(server)) == 1  # our own: nothing of it was answered


def test_a_date_that_has_passed_is_not_told_and_development_learns_it_once(
    app: Garant, server: JiraServer, filed: str, work: Work
) -> None:
    """The client gets no date in the past; who set it is told why."""
    server.edit("SET-1", duedate="2026-03-01")
    work(POLL)

    assert etas(app) == []
    assert [body for body in bodies(server) if "2026-03-01" in body and "has passed" in body] == bodies(
        server
    )[1:]
    assert len(events(app, "eta_refused")) == 1


def test_an_older_answer_that_comes_late_changes_nothing(
    app: Garant, server: JiraServer, filed: str, work: Work, clock: Any
) -> None:
    """Two who look at once: the one that read first may write last."""
    with closing(open_tracker(app)) as tracker:
        server.edit("SET-1", duedate="2026-03-20")
        early = tracker.report("SET-1")
        clock.advance(timedelta(minutes=1))
        server.edit("SET-1", duedate="2026-03-25")
        late = tracker.report("SET-1")
    with app.unit("worker:test") as unit:
        assert trackers.take_report(unit, filed, late)
        assert not trackers.take_report(unit, filed, early)
        assert not trackers.take_report(unit, filed, late)

    assert etas(app) == [date(2026, 3, 25)]


def test_polling_outlives_what_goes_wrong(app: Garant, server: JiraServer, filed: str, work: Work) -> None:
    """A Jira that is away, slow down, or answers nonsense is asked again; nothing in between is missed."""
    search = r"/search(/jql)?$"
    server.faults += [
        Fault("GET", search, "status", status=503),
        Fault("GET", search, "status", status=429, retry_after="1200"),
        Fault("GET", search, "status", status=429, retry_after="date", seconds=1200),
        Fault("GET", search, "status", status=400),
        Fault("GET", search, "drop"),
    ]
    server.edit("SET-1", duedate="2026-03-20")
    work(6 * POLL)

    assert all(fault.times == 0 for fault in server.faults)
    assert etas(app) == [date(2026, 3, 20)]
    with app.database.reading() as session:
        job = session.get_one(JobRow, trackers.FOLLOW)
    assert (job.state, job.attempts) == ("queued", 0)


def test_a_request_is_run_once_and_answered_once(
    app: Garant, server: JiraServer, jira: Callable[..., None], filed: str, work: Work
) -> None:
    """By who may ask; the answer says what came of it, here that no product is set."""
    jira(commanders=["557058:dana", "dana"])
    server.say("SET-1", "/reproduce 10.4.2")
    server.say("SET-1", "I think that /reproduce 10.4.2 would help")
    work(timedelta(hours=2))

    with app.database.reading() as session:
        asked = session.scalars(select(JobRow).where(JobRow.kind == "reproduction.rerun")).all()
    assert [job.args for job in asked] == [{"defect": filed, "version": "10.4.2"}]
    answers = [body for body in bodies(server) if "On 10.4.2" in body]
    assert len(answers) == 1
    assert "could not be played" in answers[0]
    assert [(row["version"], row["state"]) for row in shown(app)["requests"]] == [("10.4.2", "answered")]


def test_garbage_is_answered_with_the_usage_and_strangers_with_a_no(
    app: Garant, server: JiraServer, jira: Callable[..., None], filed: str, work: Work
) -> None:
    """Once per comment; a stranger once altogether, however much it writes. Nothing is run."""
    jira(commanders=["557058:dana", "dana@vendor.example"])
    server.say("SET-1", "/reproduce now please")
    for _ in range(3):
        server.say("SET-1", "/reproduce 10.4.2", MALLORY)
    work(timedelta(hours=1))

    assert sum("Not understood" in body for body in bodies(server)) == 1
    assert sum("Mallory may not ask" in body for body in bodies(server)) == 1
    with app.database.reading() as session:
        assert session.scalar(select(JobRow).where(JobRow.kind == "reproduction.rerun")) is None
    assert [row["state"] for row in shown(app)["requests"]] == ["answered", "refused", "refused", "refused"]


def test_requests_beyond_the_first_page_of_comments_are_seen(
    server: JiraServer, app: Garant, jira: Callable[..., None], filed: str, work: Work
) -> None:
    """A long discussion hides nothing: Jira gives a hundred comments at a time."""
    jira(commanders=["*"])
    for number in range(130):
        server.say("SET-1", f"talk {number}")
    server.say("SET-1", "/reproduce")
    work(POLL)

    assert "Not understood" in bodies(server)[-1]


def file_again(app: Garant) -> None:
    """A second issue of ours with the defect's label, as a lost reply once left it."""
    with closing(open_tracker(app)) as tracker:
        tracker.create(Draft(label="garant-d-000001", title="double", body=[Paragraph(("b",))]))


def test_doubles_are_linked_and_closed_once(app: Garant, server: JiraServer, filed: str, work: Work) -> None:
    """The younger one of ours; a person's copy stays open, and so does one that a person opens again."""
    file_again(app)
    server.clone("SET-1")
    work(timedelta(hours=2))
    double, copy = server.issues["SET-2"], server.issues["SET-3"]

    assert (double.category, double.fields["resolution"]["name"]) == (
        "done",
        "Duplicate" if server.flavour == "Server" else "Done",
    )
    assert double.issue_links == [("Duplicate", "outward", "SET-1")]
    assert ["double of SET-1" in body for body in bodies(server, "SET-2")] == [True]
    assert (copy.category, copy.issue_links) == ("new", [])
    assert server.issues["SET-1"].category == "new"
    reopen = next(way for way in server.ways(double).values() if way[2] == "new")
    server.move(double, reopen, None)
    work(timedelta(hours=3))
    assert double.category == "new"
    assert [row["key"] for row in events(app, "tracker_double_closed")] == ["SET-2"]


@pytest.mark.parametrize("path", ["/issueLink$", "/comment$", "/transitions$"])
def test_a_double_is_closed_once_although_replies_are_lost(
    app: Garant, server: JiraServer, filed: str, work: Work, path: str
) -> None:
    """Each step is looked for before it is done again."""
    file_again(app)
    server.faults.append(Fault("POST", path, "lose_reply"))
    work(timedelta(hours=3))
    double = server.issues["SET-2"]

    assert server.faults[0].times == 0
    assert (double.category, len(double.comments), len(double.issue_links)) == ("done", 1, 1)


def test_a_defect_that_comes_back_reopens_its_issue(
    app: Garant, server: JiraServer, filed: str, work: Work
) -> None:
    """By the transition's name, with a comment, once; a lost reply changes nothing of that."""
    with app.unit("worker:bench") as unit:
        service.mark_fixed(unit, filed, "10.4.3")
    work(POLL)
    server.finish("SET-1")
    server.faults.append(Fault("POST", "/transitions$", "lose_reply"))
    again = {"product": "set10", "signature": "receipt-total", "title": "t", "verdict": "reproduced"}
    for _ in range(2):
        with app.unit("worker:bench") as unit:
            service.record(unit, **again, version="10.4.4")
    work(POLL)
    issue = server.issues["SET-1"]

    assert (issue.category, issue.fields["resolution"]) == ("new", None)
    assert sum("came back" in body for body in bodies(server)) == 1


def test_a_workflow_without_a_way_back_is_said(
    app: Garant, server: JiraServer, jira: Callable[..., None], filed: str, work: Work
) -> None:
    """The comment is there all the same, and the defect's history tells what a person must do."""
    jira(reopen=["Resurrect"])
    with app.unit("worker:bench") as unit:
        service.mark_fixed(unit, filed, "10.4.3")
    server.finish("SET-1")
    with app.unit("worker:bench") as unit:
        service.record(
            unit,
            product="set10",
            signature="receipt-total",
            title="t",
            verdict="reproduced",
            version="10.4.4",
        )
    work(POLL)

    assert server.issues["SET-1"].category == "done"
    assert sum("came back" in body for body in bodies(server)) == 1
    assert len(events(app, "tracker_reopen_refused")) == 1


def test_an_issue_that_was_moved_or_deleted_is_noticed(
    app: Garant, server: JiraServer, filed: str, work: Work
) -> None:
    """Looked at one by one: a new key is taken over, a missing issue is told once."""
    issue = server.issues["SET-1"]
    issue.key = "OPS-7"
    for _ in range(2):
        with app.unit("person:test") as unit:
            trackers.look_at_all(unit)
        work()
    with app.database.reading() as session:
        row = queries.defect(session, filed)
    assert (row.tracker_key, row.tracker_url) == ("OPS-7", f"{server.url}/browse/OPS-7")
    server.issues.clear()
    for _ in range(2):
        with app.unit("person:test") as unit:
            trackers.look_at_all(unit)
        work()

    assert [row["key"] for row in events(app, "tracker_issue_missing")] == ["OPS-7"]
