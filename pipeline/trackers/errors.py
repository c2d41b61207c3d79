"""What can go wrong between us and a tracker, beside ``UnavailableError`` and ``RefusedError``."""

from pipeline.errors import GarantError


class UnknownOutcomeError(GarantError):
    """The request was sent and no answer came: it may have been done. Look before doing it again."""
