"""Pages that go on living: a part of the page is sent again whenever it has changed (Server-Sent Events)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from pipeline.database.history import newest_event
from pipeline.engine.reading import jobs_changed_at
from pipeline.errors import NotFoundError
from pipeline.web.pages import Page

#: Seconds between two looks at whether anything happened; that look is two small queries.
LOOK_S = 1.0
#: A silent stream says that it lives, so that nothing on the way takes it for dead.
SIGN_OF_LIFE_S = 15.0
#: Then the stream ends and the browser comes again: a stream that nobody reads any more is not kept.
LIFETIME_S = 900.0


def stream(page: Page, part: Callable[[], str]) -> StreamingResponse:
    """Send what ``part`` makes now, and again each time it came out differently."""
    return StreamingResponse(
        _events(page, part), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


def event(html: str) -> str:
    """One event named ``live``; every line of its data is marked, as the format asks."""
    return "event: live\n" + "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"


async def _events(page: Page, part: Callable[[], str]) -> AsyncIterator[str]:
    state = page.connection.app.state
    end = time.monotonic() + LIFETIME_S
    mark: object = None
    sent, spoke = "", time.monotonic()
    while time.monotonic() < end and not state.stopping:
        seen = await run_in_threadpool(_mark, page)
        if seen != mark:
            mark = seen
            try:
                html = await run_in_threadpool(part)
            except NotFoundError:
                return
            if html != sent:
                sent, spoke = html, time.monotonic()
                yield event(html)
        elif time.monotonic() - spoke > SIGN_OF_LIFE_S:
            spoke = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_S)


def _mark(page: Page) -> object:
    # Whatever happens writes an event or moves a job; the minute is there for the time left.
    with page.reading() as session:
        return newest_event(session), jobs_changed_at(session), page.now.replace(second=0, microsecond=0)
