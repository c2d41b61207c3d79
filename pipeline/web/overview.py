"""The first page: what needs somebody now."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, StreamingResponse

from pipeline.defects import queries as defects
from pipeline.intake import reading as cases
from pipeline.promises import service as promises
from pipeline.releases import service as releases
from pipeline.releases.tables import ApprovalRow
from pipeline.rollouts import reading as rollouts
from pipeline.rollouts.states import ENDED
from pipeline.web.live import stream
from pipeline.web.pages import Page, ThisPage

router = APIRouter(include_in_schema=False)
#: Cases on this page; the rest are on their own.
_CASES = 12
_RELEASES = 5


@router.get("/")
def overview(page: ThisPage) -> HTMLResponse:
    """Open cases by time left, rollouts under way, promises due, releases and their gates."""
    return page.show("overview.html.j2", body=_body(page))


@router.get("/live")
def live(page: ThisPage) -> StreamingResponse:
    """The same, as it changes."""
    return stream(page, lambda: _body(page))


def _body(page: Page) -> str:
    with page.reading() as session:
        open_cases = cases.by_time_left(session, page.now, state="open")
        counts = rollouts.host_counts(session)
        moving = [row for row in rollouts.rollouts(session) if row.state not in ENDED]
        due = promises.promises(session, open_only=True)
        newest = sorted(releases.releases(session), key=lambda row: row.created_at, reverse=True)[:_RELEASES]
        return page.part(
            "overview_body.html.j2",
            cases=open_cases[:_CASES],
            cases_in_all=len(open_cases),
            rollouts=[(row, counts.get(row.id, {})) for row in reversed(moving)],
            promises=[(row, defects.defect(session, row.defect_id)) for row in due],
            releases=[(row, _valid(releases.approvals(session, row.id))) for row in newest],
            names=page.names(session),
            now=page.now,
        )


def _valid(approvals: list[ApprovalRow]) -> int:
    return sum(approval.state == "valid" for approval in approvals)
