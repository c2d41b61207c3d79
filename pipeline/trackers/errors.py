"""What can go wrong between us and a tracker, beside ``UnavailableError`` and ``RefusedError``."""

from __future__ import annotations

from datetime import timedelta

from pipeline.errors import GarantError, UnavailableError


class UnknownOutcomeError(GarantError):
    """The request was sent and no answer came: it may have been done. Look before doing it again."""


class BusyError(UnavailableError):
    """The tracker asks to be left alone for a while (429, 503); nothing was done.

    Attributes:
        after: for how long, where it said so.
    """

    def __init__(self, text: str, *, after: timedelta | None = None) -> None:
        super().__init__(text)
        self.after = after
