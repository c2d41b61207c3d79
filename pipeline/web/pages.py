"""How a page is made: the reader's language, the template, the names of what rows only number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection, Request

from pipeline.errors import NotFoundError
from pipeline.fleet import service as fleet
from pipeline.notices.wording import wording
from pipeline.web import moments, tones
from pipeline.web.languages import COOKIE, LANGUAGES, chosen, texts, words

if TYPE_CHECKING:
    from pipeline.application import Garant


class Names:
    """Clients and stores by id, each read once for a page. What is gone is shown by its id."""

    def __init__(self, session: Session, default_zone: str) -> None:
        self._session, self._default_zone = session, default_zone
        self._clients: dict[str, Any] = {}
        self._stores: dict[str, Any] = {}

    def client(self, client_id: str | None) -> str:
        """The client's name."""
        row = self._client(client_id)
        return row.name if row is not None else client_id or ""

    def store(self, store_id: str | None) -> str:
        """The store's name."""
        row = self._store(store_id)
        return row.name if row is not None else store_id or ""

    def zone(self, client_id: str | None, store_id: str | None = None) -> str:
        """The store's zone, else the client's, else our own people's."""
        row = self._store(store_id) or self._client(client_id)
        return row.zone if row is not None else self._default_zone

    def _client(self, client_id: str | None) -> Any:
        if client_id is not None and client_id not in self._clients:
            try:
                self._clients[client_id] = fleet.client(self._session, client_id)
            except NotFoundError:
                self._clients[client_id] = None
        return self._clients.get(client_id or "")

    def _store(self, store_id: str | None) -> Any:
        if store_id is not None and store_id not in self._stores:
            try:
                self._stores[store_id] = fleet.store(self._session, store_id)
            except NotFoundError:
                self._stores[store_id] = None
        return self._stores.get(store_id or "")


class Page:
    """One request for a page: who reads it, and what it is made with."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection = connection
        self.garant: Garant = connection.app.state.garant
        self.settings = self.garant.settings
        self.zone = self.settings.mail.internal_zone
        self.language = chosen(
            connection.cookies.get(COOKIE),
            connection.headers.get("accept-language", ""),
            otherwise=self.settings.mail.internal_language,
        )

    @property
    def path(self) -> str:
        """The path asked for; not from the URL, which a request's Host header has a say in."""
        return str(self.connection.scope["path"])

    @property
    def secure(self) -> bool:
        """Whether it came over TLS (told by uvicorn, behind a proxy that it trusts)."""
        return bool(self.connection.scope["scheme"] == "https")

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.garant.clock()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A consistent view of the database."""
        with self.garant.database.reading() as session:
            yield session

    def names(self, session: Session) -> Names:
        """Of clients and stores."""
        return Names(session, self.zone)

    def part(self, template: str, **context: Any) -> str:
        """A template filled in, in the reader's language; instants without a zone in our people's."""
        environment = _environment(self.language)
        query = str(self.connection.scope["query_string"], "ascii", "replace")
        here = f"{self.path}?{query}" if query else self.path
        own = {"page": self, "path": self.path, "here": here, "zone": self.zone}
        return environment.get_template(template).render({**own, **context})

    def show(self, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """The whole page."""
        response = HTMLResponse(self.part(template, **context), status_code=status)
        response.headers["Vary"] = "Accept-Language, Cookie"
        return response


def page_of(request: Request) -> Page:
    """The page for a request."""
    return Page(request)


ThisPage = Annotated[Page, Depends(page_of)]


@cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.web"),
        autoescape=True,  # every name: whatever a client wrote is text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "t": texts(language),
        "word": words(language),
        "language": language,
        "languages": LANGUAGES,
        "tone": tones.tone,
        "sign": tones.sign,
        "class_name": lambda code: wording("classes", code, language),
        "clock_name": lambda code: wording("clocks", code, language),
    }
    environment.filters |= {
        "at": partial(_at, language),
        "day": lambda when: moments.day(when, language),
        "zone_name": lambda zone: moments.zone_name(zone, language),
        "span": lambda length: moments.span(length, language),
        "weekly": lambda times: moments.weekly(times, language),
        "size": lambda count: moments.size(count, language),
        "percent": lambda share: f"{share:.0%}".replace("%", "\N{NO-BREAK SPACE}%"),
    }
    return environment


def _at(language: str, at: datetime | str | None, zone: str, *, seconds: bool = False) -> str:
    return "\N{EM DASH}" if at is None else moments.instant(at, zone, language, seconds=seconds)
