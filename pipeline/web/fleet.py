"""Clients, their stores, and the hosts in them."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from pipeline.database.history import history
from pipeline.fleet import service
from pipeline.intake import reading as cases
from pipeline.web.pages import ThisPage

router = APIRouter(prefix="/fleet", include_in_schema=False)


@router.get("")
def fleet(page: ThisPage) -> HTMLResponse:
    """Every client with its stores."""
    with page.reading() as session:
        clients = []
        for client in service.clients(session):
            stores = [
                (store, service.hosts_of_store(session, store.id))
                for store in service.stores_of_client(session, client.id)
            ]
            clients.append((client, service.client_eligibility(session, client.id), stores))
        return page.show("fleet.html.j2", clients=clients)


@router.get("/{store_id}")
def store(page: ThisPage, store_id: str) -> HTMLResponse:
    """One store: windows, hosts, its open cases."""
    with page.reading() as session:
        row = service.store(session, store_id)
        return page.show(
            "store.html.j2",
            store=row,
            client=service.client(session, row.client_id),
            hosts=service.hosts_of_store(session, store_id),
            cases=cases.by_time_left(session, page.now, store_id=store_id, state="open"),
            events=history(session, "store", store_id),
            zone=row.zone,
            now=page.now,
        )
