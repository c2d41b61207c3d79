"""The HTTP API: for programs, read only, the same documents that ``--json`` of the commands gives."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Query
from fastapi.encoders import jsonable_encoder

from pipeline.defects import queries as defects
from pipeline.intake import reading as cases
from pipeline.intake import service as intake
from pipeline.rollouts import reading as rollouts
from pipeline.web.pages import ThisPage

router = APIRouter(prefix="/api")
_CaseState = Literal["open", "all", "registered", "classified", "restored", "closed"]
_DefectState = Literal["recorded", "filed", "fixed", "closed", "reopened"]


@router.get("/cases", summary="Cases, those with the least time left first")
def list_cases(
    page: ThisPage,
    state: Annotated[_CaseState, Query(description="`open`: all that are not closed")] = "open",
    client: Annotated[str | None, Query(description="Only this client's")] = None,
    store: Annotated[str | None, Query(description="Only this store's")] = None,
) -> dict[str, list[dict[str, Any]]]:
    """What `garant case list --json` gives."""
    with page.reading() as session:
        wanted = None if state == "all" else state
        found = cases.by_time_left(session, page.now, client_id=client, store_id=store, state=wanted)
    return {"cases": found}


@router.get("/cases/{case_id}", summary="A case with its clocks and its history")
def show_case(page: ThisPage, case_id: str) -> dict[str, Any]:
    """What `garant case show CASE --json` gives."""
    with page.reading() as session:
        return cases.with_events(session, intake.case(session, case_id), page.now)


@router.get("/defects", summary="Defects, oldest first")
def list_defects(page: ThisPage, state: _DefectState | None = None) -> list[dict[str, Any]]:
    """What `garant defect list --json` gives."""
    with page.reading() as session:
        return [defects.document(session, row) for row in defects.defects(session, state=state)]


@router.get("/defects/{defect_id}", summary="A defect: verdict, culprit, minimal steps, clients")
def show_defect(page: ThisPage, defect_id: str) -> dict[str, Any]:
    """What `garant defect show DEFECT --json` gives."""
    with page.reading() as session:
        return defects.document(session, defects.defect(session, defect_id))


@router.get("/rollouts", summary="Rollouts, oldest first")
def list_rollouts(page: ThisPage) -> list[dict[str, Any]]:
    """What `garant rollout status --json` gives."""
    with page.reading() as session:
        return rollouts.summaries(session)


@router.get("/rollouts/{rollout_id}", summary="A rollout: waves, stores, hosts, reasons, budget")
def show_rollout(page: ThisPage, rollout_id: str) -> dict[str, Any]:
    """What `garant rollout status ID --json` gives."""
    with page.reading() as session:
        status = rollouts.status(session, rollout_id, page.now)
    # Instants as the command writes them, not in pydantic's way.
    return cast("dict[str, Any]", jsonable_encoder(status, custom_encoder={datetime: datetime.isoformat}))
