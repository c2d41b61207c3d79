"""Cases: the list by time left, and one case with its clocks, evidence, reproductions and history."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, StreamingResponse

from pipeline.clocks.service import case_clocks
from pipeline.defects import queries as defects
from pipeline.diagnosis import service as diagnosis
from pipeline.engine.reading import job
from pipeline.fleet import service as fleet
from pipeline.intake import reading
from pipeline.intake import service as intake
from pipeline.notices import service as notices
from pipeline.reproduction import reading as reproductions
from pipeline.reproduction import service as reproduction
from pipeline.web.live import stream
from pipeline.web.pages import Page, ThisPage

router = APIRouter(prefix="/cases", include_in_schema=False)
_State = Literal["open", "all", "registered", "classified", "restored", "closed"]


@router.get("")
def cases(page: ThisPage, state: _State = "open", client: str = "") -> HTMLResponse:
    """Cases, those with the least time left first."""
    with page.reading() as session:
        found = reading.by_time_left(
            session, page.now, client_id=client or None, state=None if state == "all" else state
        )
        return page.show(
            "cases.html.j2",
            cases=found,
            state=state,
            client=client,
            clients=fleet.clients(session),
            names=page.names(session),
        )


@router.get("/{case_id}")
def case(page: ThisPage, case_id: str) -> HTMLResponse:
    """One case."""
    with page.reading() as session:
        row = intake.case(session, case_id)
    return page.show("case.html.j2", case=row, body=_body(page, case_id))


@router.get("/{case_id}/live")
def live(page: ThisPage, case_id: str) -> StreamingResponse:
    """The case as it changes."""
    with page.reading() as session:
        intake.case(session, case_id)
    return stream(page, lambda: _body(page, case_id))


def _body(page: Page, case_id: str) -> str:
    with page.reading() as session:
        row = intake.case(session, case_id)
        names = page.names(session)
        played = reproductions.reproductions(session, case_id)
        collected = diagnosis.collected(session, case_id)
        return page.part(
            "case_body.html.j2",
            case=row,
            clocks=[c for c in case_clocks(session, row, page.now).clocks if c.state != "absent"],
            events=intake.events(session, case_id),
            evidence=[(one, job(session, diagnosis.job_id(one.id))) for one in collected],
            reproductions=[(one, job(session, reproduction.job_id(one.id))) for one in played],
            defect=defects.defect(session, row.defect_id) if row.defect_id else None,
            notices=notices.notices(session, about=("case", case_id)),
            names=names,
            zone=names.zone(row.client_id, row.store_id),
            now=page.now,
        )
