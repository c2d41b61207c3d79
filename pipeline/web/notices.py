"""Notices as they were sent, with the evidence of delivery; and the embedded Maildir."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from pipeline.errors import NotFoundError
from pipeline.fleet import service as fleet
from pipeline.notices import service
from pipeline.notices.letters import letter, letters
from pipeline.web.access import FRAMED_POLICY
from pipeline.web.pages import Page, ThisPage

router = APIRouter(include_in_schema=False)
_STATES = ("queued", "sent", "accepted", "bounced", "failed", "superseded")


@router.get("/notices")
def notices(page: ThisPage, client: str = "", state: str = "") -> HTMLResponse:
    """Notices, the newest first."""
    with page.reading() as session:
        found = service.notices(session, client_id=client or None, state=state or None, limit=300)
        return page.show(
            "notices.html.j2",
            notices=found[::-1],
            client=client,
            state=state,
            states=_STATES,
            clients=fleet.clients(session),
            names=page.names(session),
        )


@router.get("/notices/{notice_id}")
def notice(page: ThisPage, notice_id: str) -> HTMLResponse:
    """One notice as sent."""
    with page.reading() as session:
        row = service.notice(session, notice_id)
        names = page.names(session)
        zone = names.zone(row.client_id, row.store_id)
        return page.show("notice.html.j2", notice=row, names=names, zone=zone)


@router.get("/notices/{notice_id}/html")
def notice_html(page: ThisPage, notice_id: str) -> HTMLResponse:
    """Its HTML part, for the frame."""
    with page.reading() as session:
        row = service.notice(session, notice_id)
    if row.html is None:
        raise NotFoundError(f"notice {row.id} is {row.state}: it is put into words when it is sent")
    return _framed(row.html)


@router.get("/mail")
def mail(page: ThisPage) -> HTMLResponse:
    """The Maildir's letters, the newest first."""
    return page.show("mail.html.j2", letters=letters(_maildir(page)), folder=_maildir(page))


@router.get("/mail/{key}")
def mail_letter(page: ThisPage, key: str) -> HTMLResponse:
    """One letter."""
    return page.show("letter.html.j2", letter=letter(_maildir(page), key))


@router.get("/mail/{key}/html")
def mail_html(page: ThisPage, key: str) -> HTMLResponse:
    """A letter's HTML part, for the frame."""
    return _framed(letter(_maildir(page), key).html)


def _maildir(page: Page) -> Path:
    if page.settings.mail.kind != "maildir":
        raise NotFoundError("notices go out by SMTP here: there is no Maildir to show, see /notices")
    home: Path = page.settings.home
    return home / "mail"


def _framed(html: str) -> HTMLResponse:
    return HTMLResponse(
        html, headers={"Content-Security-Policy": FRAMED_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    )
