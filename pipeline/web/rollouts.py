"""Rollouts: the list, and one rollout as it moves."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, StreamingResponse

from pipeline.database.history import history
from pipeline.errors import NotFoundError
from pipeline.rollouts import reading
from pipeline.rollouts.states import GOOD
from pipeline.web.live import stream
from pipeline.web.pages import Page, ThisPage

router = APIRouter(prefix="/rollouts", include_in_schema=False)
#: Up to so many hosts, all are on the rollout's page; beyond, those of settled stores are one step away.
_HOSTS_ON_A_PAGE = 120
_SETTLED = ("verified", "skipped")


@router.get("")
def rollouts(page: ThisPage) -> HTMLResponse:
    """All rollouts, the newest first."""
    with page.reading() as session:
        counts = reading.host_counts(session)
        rows = [(row, counts.get(row.id, {})) for row in reversed(reading.rollouts(session))]
        return page.show("rollouts.html.j2", rollouts=rows)


@router.get("/{rollout_id}")
def rollout(page: ThisPage, rollout_id: str) -> HTMLResponse:
    """Waves, stores and hosts with the reasons for what they wait for."""
    with page.reading() as session:
        reading.rollout(session, rollout_id)
        events = history(session, "rollout", rollout_id)
    return page.show("rollout.html.j2", rollout_id=rollout_id, body=_body(page, rollout_id), events=events)


@router.get("/{rollout_id}/live")
def live(page: ThisPage, rollout_id: str) -> StreamingResponse:
    """The rollout as it moves."""
    with page.reading() as session:
        reading.rollout(session, rollout_id)
    return stream(page, lambda: _body(page, rollout_id))


@router.get("/{rollout_id}/stores/{store_id}")
def store(page: ThisPage, rollout_id: str, store_id: str) -> HTMLResponse:
    """One store of the rollout, with all of its hosts and every step that they took."""
    with page.reading() as session:
        status = reading.status(session, rollout_id, page.now)
        found = [
            (wave, one) for wave in status["waves"] for one in wave["stores"] if one["store"] == store_id
        ]
        if not found:
            raise NotFoundError(f"rollout {rollout_id} does not go to store {store_id!r}: see its page")
        wave, shown = found[0]
        names = page.names(session)
        return page.show(
            "rollout_store.html.j2",
            rollout=status,
            wave=wave,
            store=shown,
            steps=[step for step in reading.history(session, rollout_id) if step["store"] == store_id],
            names=names,
            zone=names.zone(shown["client"], store_id),
        )


def _body(page: Page, rollout_id: str) -> str:
    with page.reading() as session:
        status = reading.status(session, rollout_id, page.now)
        whole = status["hosts_total"] <= _HOSTS_ON_A_PAGE

        def shown(one: dict[str, Any]) -> bool:
            return whole or (one["state"] not in _SETTLED and one["started_at"] is not None)

        return page.part(
            "rollout_body.html.j2",
            rollout=status,
            shown=shown,
            good=tuple(GOOD),
            names=page.names(session),
        )
