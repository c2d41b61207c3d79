"""Errors of diagnosis."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import GarantError


class EvidenceChangedError(GarantError):
    """Evidence is not as it was collected, so nothing may be concluded from it."""

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(
            f"evidence in {folder} is not as it was collected: {what}. Collect again: `garant diagnose CASE`"
        )
