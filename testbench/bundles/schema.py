"""case.json: what a bundle says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from testbench.errors import UsageError
from testbench.products.description import complaint


class Case(BaseModel):
    """The defect in a bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Annotated[int, Field(alias="schema", ge=1, le=1)] = 1
    #: From the product and the scenario's content: the same defect with the same data has the same id.
    id: str
    title: str
    product: str
    #: The version on which it fails; what is played when no other is asked for.
    bad_version: str
    bad_id: str
    signature: str
    #: How often it fails there, of how many runs.
    rate: Annotated[float, Field(gt=0, le=1)]
    runs: Annotated[int, Field(ge=1)]
    expected: str = ""
    seen: str = ""
    #: Where it came from (``bisect --json``), what minimising did (``minimise --json``); null when not done.
    culprit: dict[str, Any] | None = None
    minimised: dict[str, Any] | None = None
    #: ISO-8601 with offset.
    created_at: str
    #: What the maker wants to remember; strings only, never personal data.
    notes: dict[str, str] = Field(default_factory=dict)


def load_case(bundle: Path) -> Case:
    """Read BUNDLE/case.json.

    Raises:
        UsageError: there is none, or it is not valid.
    """
    file = bundle / "case.json"
    try:
        return Case.model_validate_json(file.read_bytes())
    except OSError as problem:
        raise UsageError(
            f"{bundle} is not a bundle: {file.name} cannot be read ({problem.strerror})"
        ) from None
    except ValidationError as problem:
        raise UsageError(complaint(file, problem)) from problem
