"""Errors of the clocks."""

from pipeline.errors import GarantError


class ClocksFileError(GarantError):
    """A file of cases cannot be replayed; each fault names its case and event."""
