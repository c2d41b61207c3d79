"""Filing into Jira under faults: one issue, one attachment, whatever is lost, refused or killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.application import Garant
from pipeline.defects import queries, service
from pipeline.engine.memory import MemoryEngine
from pipeline.engine.reaper import ring_overdue
from pipeline.engine.tables import JobRow
from pipeline.errors import GarantError, RefusedError, UnavailableError
from pipeline.settings import Settings, TrackerSettings
from pipeline.trackers.errors import UnknownOutcomeError
from pipeline.trackers.jira import JiraTracker
from pipeline.trackers.jira_server import Fault, JiraServer
from pipeline.trackers.markup import Paragraph
from pipeline.trackers.port import Draft

CREATE = "/issue$"
ATTACH = "/attachments$"


@pytest.fixture
def filed(app: Garant, server: JiraServer, tmp_path: Path, clock: Any) -> Callable[..., str]:
    """Files D-000001 and lets two hours of workers pass; returns the job's state."""
    tracker = TrackerSettings(
        kind="jira", url=server.url, timeout_s=0.5, poll_s=0, link_base="https://garant.invalid"
    )
    app.settings = Settings(home=app.settings.home, tracker=tracker)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "case.json").write_text("{}")
    with app.unit("person:test") as unit:
        service.record(
            unit,
            product="set10",
            signature="receipt-total",
            title="receipt does not add up",
            verdict="reproduced",
            version="10.4.2",
            bundle=str(bundle),
        )

    def file(*faults: Fault) -> str:
        server.faults += faults
        with app.unit("person:test") as unit:
            service.file(unit, "D-000001")
        assert isinstance(app.engine, MemoryEngine)
        handler, end = app.dispatcher("test"), clock.now + timedelta(hours=2)
        while (coming := (app.engine.run_due(handler), app.engine.next_due())[1]) and coming <= end:
            clock.now = coming
        with app.database.reading() as session:
            return session.get_one(JobRow, service.filing_effect("D-000001")).state

    return file


def assert_one_issue(app: Garant, server: JiraServer) -> None:
    assert list(server.issues) == ["SET-1"]
    issue = server.issues["SET-1"]
    assert [name for name, _ in issue.attachments.values()] == ["D-000001.tar.gz"]
    assert len(issue.comments) == 1
    assert issue.fields["labels"] == ["garant-d-000001", "garant"]
    assert list(issue.links) == ["garant-d-000001"]
    with app.database.reading() as session:
        row = queries.defect(session, "D-000001")
    assert (row.state, row.tracker, row.tracker_key) == ("filed", "jira", "SET-1")
    assert row.tracker_url == f"{server.url}/browse/SET-1"


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Fault("POST", CREATE, "lose_reply")],
        # lost twice would be two issues if the first were not found in the end
        [Fault("POST", CREATE, "drop", times=2)],
        [Fault("POST", CREATE, "status", status=503)],
        [Fault("POST", CREATE, "status", status=429)],
        [Fault("POST", CREATE, "slow", seconds=0.8)],
        [Fault("GET", "serverInfo", "status", status=503, times=3)],
        [Fault("GET", "/search", "drop", times=2)],
        [Fault("POST", ATTACH, "lose_reply")],
        [Fault("POST", ATTACH, "status", status=502)],
        [Fault("POST", "/comment$", "lose_reply")],
        [Fault("POST", "/remotelink$", "lose_reply")],
        [
            Fault("POST", CREATE, "lose_reply"),
            Fault("POST", ATTACH, "lose_reply"),
            Fault("GET", "/SET-1$", "drop"),
        ],
    ],
    ids=lambda faults: (
        "+".join(f"{f.kind}{f.status if f.kind == 'status' else ''}:{f.path}" for f in faults) or "none"
    ),
)
def test_one_issue_under_every_fault(
    app: Garant, server: JiraServer, filed: Callable[..., str], faults: list[Fault]
) -> None:
    """A lost reply is looked for by label until the index must show it; nothing is done twice."""
    assert filed(*faults) == "done"
    assert_one_issue(app, server)
    assert all(fault.times == 0 for fault in faults)


class Killed(BaseException):
    """What kill -9 looks like from inside."""


@pytest.mark.parametrize("step", range(1, 10))
def test_killed_after_any_request(
    app: Garant, server: JiraServer, filed: Callable[..., str], clock: Any, step: int
) -> None:
    """Killed after the n-th request was done, before its answer was read: still one of everything."""
    with dying_after(server, step), pytest.raises(Killed):
        filed()
    clock.advance(timedelta(minutes=1))  # the lease of the dead worker runs out
    with app.unit("reaper") as unit:
        assert [tick.thing_id for tick in ring_overdue(unit)] == [service.filing_effect("D-000001")]

    assert filed() == "done"
    assert_one_issue(app, server)


@contextmanager
def dying_after(server: JiraServer, step: int) -> Iterator[None]:
    """Every HTTP answer passes here on its way to the client; at the n-th the process is gone."""
    import requests

    seen = 0
    send = requests.Session.send

    def sending(self: Any, request: Any, **options: Any) -> Any:
        nonlocal seen
        answer = send(self, request, **options)
        seen += 1
        if seen == step:
            raise Killed
        return answer

    requests.Session.send = sending  # type: ignore[method-assign]
    try:
        yield
    finally:
        requests.Session.send = send  # type: ignore[method-assign]


def test_filed_again_is_the_same_issue(app: Garant, server: JiraServer, filed: Callable[..., str]) -> None:
    """Asked for any number of times, also after it is done."""
    for _ in range(3):
        assert filed() == "done"
    assert_one_issue(app, server)


def test_an_issue_that_somebody_filed_already_is_taken(
    app: Garant, server: JiraServer, filed: Callable[..., str], clock: Any
) -> None:
    """Our database was restored from yesterday's backup: the label finds today's issue."""
    jira = JiraTracker(TrackerSettings(kind="jira", url=server.url))
    jira.create(Draft(label="garant-d-000001", title="t", body=[Paragraph(("b",))]))
    jira.close()
    clock.advance(timedelta(minutes=3))

    assert filed() == "done"
    assert list(server.issues) == ["SET-1"]


def test_wrong_settings_fail_by_name_and_can_be_mended(
    app: Garant, server: JiraServer, filed: Callable[..., str]
) -> None:
    """A project that does not exist is said; with the right one the same command files."""
    right = app.settings
    app.settings = Settings(home=right.home, tracker=right.tracker.model_copy(update={"project": "NO"}))
    assert filed() == "failed"
    with app.database.reading() as session:
        assert "tracker.project" in str(session.get_one(JobRow, service.filing_effect("D-000001")).error)

    app.settings = right

    assert filed() == "done"
    assert_one_issue(app, server)


def test_errors_name_the_cause(server: JiraServer, tmp_path: Path) -> None:
    """No url, a dead server, a wrong token, no answer in time: each by its own error."""
    with pytest.raises(RefusedError, match=r"tracker\.url"):
        JiraTracker(TrackerSettings(kind="jira"))
    with JiraServer() as gone:
        dead = gone.url
    with pytest.raises(UnavailableError, match="no connection"):
        JiraTracker(TrackerSettings(kind="jira", url=dead))
    server.authorization = "Bearer right"
    with pytest.raises(RefusedError, match="the token"):
        JiraTracker(TrackerSettings(kind="jira", url=server.url, auth="bearer"), token="wrong")
    server.authorization = None
    jira = JiraTracker(TrackerSettings(kind="jira", url=server.url, timeout_s=0.2))
    server.faults.append(Fault("POST", CREATE, "slow", seconds=0.5))
    with pytest.raises(UnknownOutcomeError):
        jira.create(Draft(label="a", title="t", body=[Paragraph(("b",))]))
    jira.close()
    shutil.rmtree(tmp_path)
    assert issubclass(UnknownOutcomeError, GarantError)
