"""Errors of diagnosis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import GarantError, UnavailableError

DEFAULT_RECIPE = Path(__file__).with_name("default-recipe.yaml")


class EvidenceChangedError(GarantError):
    """Evidence is not as it was collected, so nothing may be concluded from it."""

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(
            f"evidence in {folder} is not as it was collected: {what}. Collect again: `garant diagnose CASE`"
        )


class RecipeError(GarantError):
    """A recipe file has faults; no host was asked."""

    def __init__(self, file: Path, faults: Sequence[str]) -> None:
        listed = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(
            f"recipe {file}: {len(faults)} fault{'s' if len(faults) != 1 else ''}, nothing was collected\n"
            f"{listed}\nThe one that comes with Garant shows how: {DEFAULT_RECIPE}"
        )
        self.faults = list(faults)


class LinkError(UnavailableError):
    """The link broke in mid-collection: what came is kept, and the rest may be fetched later."""
