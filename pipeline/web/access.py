"""Who may see the pages: one access token, given once in the address, then kept in a cookie.

DESIGN section 5, rule 6: the pages hold clients' data, so nothing but /health and the style is open.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.errors import GarantError
from pipeline.settings import Settings

TOKEN_FILE = "web-token"  # noqa: S105 - the file's name
COOKIE = "garant_access"
#: A token that people chose themselves must be no shorter (characters).
SHORTEST = 16
#: Open to everybody: they tell nothing of clients; a hook asks for a signature of its own.
OPEN = frozenset({"/health", "/enter", "/hooks/jira"})
OPEN_UNDER = ("/static/", "/language/")

#: Everything comes from us, nothing is inline, nobody frames us. What a page needs beyond it, it says itself.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: For a stranger's document in a frame: no script, no request, no form, not even by its own address.
FRAMED_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def access_token(settings: Settings) -> str:
    """The token of the environment variable that the settings name; else the home folder's, made if missing.

    Raises:
        GarantError: the variable is not set or too short, or the file is empty or open to other users.
    """
    if settings.web.token_env is not None:
        token = os.environ.get(settings.web.token_env, "")
        if len(token) < SHORTEST:
            raise GarantError(
                f"web: the environment variable {settings.web.token_env} holds "
                f"{f'only {len(token)} characters' if token else 'no token'}: set it to {SHORTEST} or more, "
                "or remove `web.token_env` from garant.yaml to have one made"
            )
        return token
    return _kept_token(settings.folder(".") / TOKEN_FILE)


def _kept_token(file: Path) -> str:
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if file.stat().st_mode & 0o077:
            raise GarantError(f"{file} can be read by other users: run `chmod 600 {file}`") from None
        token = file.read_text(encoding="ascii").strip()
        if len(token) < SHORTEST:
            raise GarantError(f"{file} holds no token: remove it, the next start makes a new one") from None
        return token
    except OSError as error:
        raise GarantError(
            f"{file} cannot be written: {error.strerror}. Make room or mend its rights"
        ) from error
    token = secrets.token_urlsafe(32)
    with os.fdopen(handle, "w", encoding="ascii") as opened:
        opened.write(token + "\n")
    return token


class Gate:
    """Knows the token, and what the cookie holds in its place: the token itself is in no cookie."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._cookie = hmac.new(self._token, b"garant web access", hashlib.sha256).hexdigest()

    def opens_with(self, token: str) -> bool:
        """Whether it is the token; takes as long for a wrong one as for a nearly right one."""
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self._token)

    def admits(self, connection: HTTPConnection) -> bool:
        """Whether the request comes with our cookie, or with the token as a bearer (programs)."""
        cookie = connection.cookies.get(COOKIE, "")
        if hmac.compare_digest(cookie.encode(), self._cookie.encode()):
            return True
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.opens_with(given.strip())

    def let_in(self, response: Response, *, secure: bool) -> None:
        """Have the browser keep the cookie. Strict: no other site's link or form comes with it."""
        response.set_cookie(
            COOKIE,
            self._cookie,
            max_age=30 * 86_400,
            httponly=True,
            samesite="strict",
            secure=secure,
            path="/",
        )


Refusal = Callable[[Scope, bool], Awaitable[Response]]


class Guard:
    """In front of everything: security headers on every answer, and nobody in without the token.

    Args:
        refuse: makes the answer to who has no access; told whether a wrong token was given.
    """

    def __init__(self, app: ASGIApp, *, gate: Gate, refuse: Refusal) -> None:
        self._app, self._gate, self._refuse = app, gate, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = await self._answer(HTTPConnection(scope), scope)
        await (answer or self._app)(scope, receive, sending)

    async def _answer(self, connection: HTTPConnection, scope: Scope) -> Response | None:
        """The redirect or the refusal; None: the request may pass."""
        # Never from ``connection.url``: that is put together with the request's Host header, which may hold
        # a path of its own, and then another path is judged here than the one that is answered.
        path = str(scope["path"])
        if path in OPEN or path.startswith(OPEN_UNDER):
            return None
        query = parse_qsl(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if given:
            if not self._gate.opens_with(given[0]):
                return await self._refuse(scope, True)
            # Away from the address at once: it would stay in the history and go into bookmarks.
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            response = RedirectResponse(local(path) + (f"?{rest}" if rest else ""), status_code=303)
            self._gate.let_in(response, secure=scope["scheme"] == "https")
            return response
        return None if self._gate.admits(connection) else await self._refuse(scope, False)


def local(target: str) -> str:
    """The target when it is a path of ours, else ``/``: nobody is sent to another site by a link to us."""
    fine = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if fine and "\\" not in target else "/"
