"""A finding: one broken rule, seen once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Finding:
    """One broken rule; ``signature`` names the kind of failure and holds no data."""

    oracle: str
    rule: str
    #: Receipt, report, package or host; for people.
    where: str
    expected: str
    seen: str

    @property
    def signature(self) -> str:
        """Equal for all data that breaks the same rule: "receipt-arithmetic/vat-rounding"."""
        return f"{self.oracle}/{self.rule}"

    @property
    def text(self) -> str:
        """One line for people."""
        return f"{self.signature}: {self.where}: expected {self.expected}, seen {self.seen}"


def roubles(kopecks: Decimal | int) -> str:
    """Kopecks as people write them: "100.67"; a fraction of a kopeck is shown, not rounded away."""
    value = Decimal(kopecks) / 100
    return f"{value:.2f}" if value == round(value, 2) else str(value.normalize())


def ordered(findings: Iterable[Finding], order: Iterable[str], looks_for: str | None = None) -> list[Finding]:
    """One finding per signature, the first seen; the sought signature first, then by ``order`` of oracles.

    Within an oracle the order of its rules decides, that is the order in which it looks.
    """
    places = {oracle: place for place, oracle in enumerate(order)}
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.signature, finding)
    return sorted(
        first.values(),
        key=lambda finding: (finding.signature != looks_for, places.get(finding.oracle, len(places))),
    )
