"""A defect of the service's, and a Jira beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.application import Garant
from pipeline.defects import service
from pipeline.engine.memory import MemoryEngine
from pipeline.settings import Settings, TrackerSettings
from pipeline.trackers.jira_server import JiraServer


@pytest.fixture(params=["Cloud", "Server"])
def server(request: pytest.FixtureRequest, clock: Any) -> Iterator[JiraServer]:
    with JiraServer(flavour=request.param, index_lag_s=120, clock=lambda: clock.now.timestamp()) as started:
        yield started


@pytest.fixture
def work(app: Garant, clock: Any) -> Callable[..., None]:
    """Let the workers work up to an instant that lies ``by`` ahead, stopping at every wake-up on the way."""

    def forward(by: timedelta = timedelta(0)) -> None:
        assert isinstance(app.engine, MemoryEngine)
        handler, end = app.dispatcher("test"), clock.now + by
        while (coming := (app.engine.run_due(handler), app.engine.next_due())[1]) and coming <= end:
            clock.now = max(clock.now, coming)
        clock.now = end

    return forward


@pytest.fixture
def jira(app: Garant, server: JiraServer) -> Callable[..., None]:
    """Has the service work with the Jira server; further settings of the tracker by name."""

    def use(**more: Any) -> None:
        chosen = {
            "url": server.url,
            "link_base": "https://garant.invalid",
            "timeout_s": 5,
            "poll_s": 1800,
            **more,
        }
        app.settings = Settings(home=app.settings.home, tracker=TrackerSettings(kind="jira", **chosen))

    use()
    return use


@pytest.fixture
def defect(app: Garant, tmp_path: Path) -> str:
    """A recorded defect with a bundle."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "case.json").write_text("{}")
    with app.unit("person:test") as unit:
        return service.record(
            unit,
            product="set10",
            signature="receipt-total",
            title="receipt does not add up",
            verdict="reproduced",
            version="10.4.2",
            bundle=str(bundle),
        )[0].id


@pytest.fixture
def filed(app: Garant, jira: Callable[..., None], defect: str, work: Callable[..., None]) -> str:
    """The defect is filed as SET-1."""
    with app.unit("person:test") as unit:
        service.file(unit, defect)
    work(timedelta(minutes=2))
    return defect
