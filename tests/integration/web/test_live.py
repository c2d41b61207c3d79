"""What happens shows up on open pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx


def events(stream: httpx.Response) -> Iterator[str]:
    """The data of each event named live."""
    lines: list[str] = []
    for line in stream.iter_lines():
        if line.startswith("data: "):
            lines.append(line.removeprefix("data: "))
        elif not line and lines:
            yield "\n".join(lines)
            lines = []


def test_a_case_is_sent_again_when_something_happens_to_it(fresh: Any, watcher: httpx.Client) -> None:
    """At once as it is, then as it became; the connection stays the same."""
    with watcher.stream("GET", "/cases/G-000002/live") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        seen = events(stream)
        assert "not classified yet" in next(seen)

        fresh.classify("G-000002")

        assert "usual register operations" in next(seen)


def test_a_rollout_is_sent_again_as_it_moves(fresh: Any, watcher: httpx.Client) -> None:
    """A person retries and resumes; the page follows the hosts."""
    from pipeline.rollouts import service

    with watcher.stream("GET", "/rollouts/R-000001/live") as stream:
        seen = events(stream)
        assert "rolled back" in next(seen)
        with fresh.app.unit("person:olga") as unit:
            service.retry(unit, "R-000001", "k-tverskaya-r4")
            service.resume(unit, "R-000001")
        fresh.work(minutes=10)

        assert any("5 of 15 hosts" in told for told in seen)


def test_the_time_left_goes_on_without_anything_happening(fresh: Any, watcher: httpx.Client) -> None:
    """A minute later the overview says a minute less."""
    with watcher.stream("GET", "/live") as stream:
        seen = events(stream)
        assert "3 h 40 min" in next(seen)
        fresh.clock.now += timedelta(minutes=1)
        assert "3 h 39 min" in next(seen)


def test_a_stream_in_another_language_speaks_it(fresh: Any, watcher: httpx.Client) -> None:
    """The part that is sent again is in the page's language."""
    with watcher.stream("GET", "/live", headers={"Accept-Language": "ru"}) as stream:
        assert "Открытые обращения" in next(events(stream))
