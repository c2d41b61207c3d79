"""What Jira and the network answer, as our own errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import requests
from jira import JIRAError
from urllib3.exceptions import MaxRetryError, NewConnectionError

from pipeline.errors import NotFoundError, RefusedError, UnavailableError
from pipeline.trackers.errors import BusyError, UnknownOutcomeError


class Translator:
    """Turns the errors of one Jira into ours: ``with translated("read SET-1"): ...``.

    Args:
        where: names the server in messages.
    """

    def __init__(self, where: str) -> None:
        self._where = where

    @contextmanager
    def __call__(self, what: str, *, changes: bool = False) -> Iterator[None]:
        """Translate; ``changes``: a missing answer means that the outcome is not known."""
        doubt: Callable[[str], Exception] = UnknownOutcomeError if changes else UnavailableError
        where = f"{self._where}: {what}"
        try:
            yield
        except JIRAError as error:
            _raise(where, error, doubt)
        except requests.ConnectionError as error:
            reason = error.args[0] if error.args else None
            never_sent = isinstance(reason, MaxRetryError) and isinstance(reason.reason, NewConnectionError)
            text = f"{where}: no connection: {error}. Is it up?"
            raise (UnavailableError(text) if never_sent else doubt(text)) from error
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise doubt(f"{where}: no usable answer: {type(error).__name__}: {error}") from error


def _raise(where: str, error: JIRAError, doubt: Callable[[str], Exception]) -> NoReturn:
    status, text = error.status_code, error.text
    if status in (401, 403):
        raise RefusedError(f"{where}: {status} {text}. Check tracker.user and the token") from error
    if status == 404:
        raise NotFoundError(f"{where}: 404 {text}. Check the project and the issue's key") from error
    if status == 429:
        after = retry_after(getattr(error.response, "headers", {}))
        raise BusyError(f"{where}: 429, too many requests; it is asked again later", after=after) from error
    if status is not None and 400 <= status < 500:
        raise RefusedError(
            f"{where}: {status} {text}. Check tracker.project, issue_type, components and fields: "
            "`garant tracker check`"
        ) from error
    if status == 503 and doubt is UnavailableError:
        after = retry_after(getattr(error.response, "headers", {}))
        raise BusyError(f"{where}: 503 {text}", after=after) from error
    # 5xx may come from a proxy while Jira goes on with the work.
    raise doubt(f"{where}: {status} {text}") from error


def retry_after(headers: Any) -> timedelta | None:
    """For how long an answer asks to be left alone: seconds, or a date by the same answer's own clock."""
    said = str(headers.get("Retry-After", "")).strip()
    if said.isdigit():
        return timedelta(seconds=int(said))
    try:
        return max(parsedate_to_datetime(said) - parsedate_to_datetime(headers["Date"]), timedelta(0))
    except (KeyError, ValueError, TypeError):
        return None
