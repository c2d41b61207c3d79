"""What the regression gate says of a release (DESIGN section 1, steps 6 and 7). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Weight(StrEnum):
    """What a bundle's result means for the release."""

    REGRESSION = "regression"  # fixed in this or an earlier version: it must stay fixed
    CLAIM = "claim"  # the release says that it fixes it
    KNOWN = "known"  # open: the stores have it today, the release need not mend it


@dataclass(frozen=True, kw_only=True)
class Played:
    """A past defect's bundle, played on the candidate.

    Attributes:
        verdict: of the bench: reproduced, not-reproduced, flaky, inconclusive, cannot-run.
        clients: whom the defect would hit.
    """

    defect: str
    title: str
    weight: Weight
    verdict: str
    reason: str
    clients: Sequence[str]

    @property
    def passed(self) -> bool:
        """Only a clean verdict is a pass: inconclusive is not."""
        return self.verdict == "not-reproduced"

    @property
    def blocks(self) -> bool:
        """Whether the release may not go out for it."""
        return self.weight is not Weight.KNOWN and not self.passed


def weigh(*, fixed_in: str | None, claimed: bool, later: bool) -> Weight:
    """What a defect's bundle means for a release.

    Args:
        fixed_in: the version that fixed it; None while it is open.
        claimed: the release's manifest lists it as fixed.
        later: it was fixed only in a version above the release.
    """
    if claimed:
        return Weight.CLAIM
    return Weight.KNOWN if fixed_in is None or later else Weight.REGRESSION


#: Verdicts in which a defect was seen: nobody can waive them.
SHOWN = ("reproduced", "flaky")


def verdict(played: Iterable[Played]) -> str:
    """Why the release is blocked; empty: it passed."""
    return "; ".join(_reason(one) for one in played if one.blocks)


def blocking(results: Iterable[Mapping[str, Any]]) -> str:
    """The same, of results as they are kept with the release (some waived since)."""
    left = (one for one in results if one["blocks"])
    return "; ".join(
        _reason(
            Played(
                defect=one["defect"],
                title=one["title"],
                weight=Weight(one["weight"]),
                verdict=one["verdict"],
                reason=one["reason"],
                clients=one["clients"],
            )
        )
        for one in left
    )


def _reason(one: Played) -> str:
    whom = f", which would hit {', '.join(one.clients)}" if one.clients else ""
    shown = {"reproduced": "is back", "flaky": "is back at times"}.get(
        one.verdict, f"could not be ruled out ({one.verdict})"
    )
    if one.weight is Weight.CLAIM and one.verdict in SHOWN:
        shown = "is not fixed although the release says so"
    return f"defect {one.defect} ({one.title}) {shown}{whom}: {one.reason}"
