"""How findings of the bench are put into words and versions. Pure."""

from __future__ import annotations

from collections.abc import Collection

#: Verdicts in which the defect was seen (DESIGN section 4).
SHOWN = ("reproduced", "flaky")

#: Signature's oracle -> what a person sees.
_SYMPTOMS = {
    "receipt-arithmetic": "Receipts do not add up",
    "z-report": "The Z report does not agree with the shift's receipts",
    "price-agreement": "A register sells at another price than the server and the ERP have",
    "exported-once": "Receipts are exported twice or not at all",
    "operating-day": "Receipts are in the wrong operating day",
    "import-honest": "An import is reported as done, but the goods are not there",
    "alive": "SET fails while it works",
    "stated": "What the engineer stated does not hold",
    "differential": "Two versions of SET answer differently",
}
#: Rules that say more than their oracle does.
_RULES = {
    "receipt-arithmetic/lines-sum": "The lines of a receipt do not add up to its total",
    "receipt-arithmetic/discount-sum": "The lines' discounts do not add up to the receipt's discount",
    "receipt-arithmetic/vat": "The VAT of a line is not what its amount and rate give",
    "receipt-arithmetic/line-amount": "A line's amount is not count times cost less discount",
}


def title(signature: str, expected: str, seen: str) -> str:
    """The defect in one line: the symptom, then what was expected and seen where that is short."""
    symptom = _RULES.get(signature) or _SYMPTOMS.get(signature.partition("/")[0]) or signature
    detail = f" (expected {expected}, seen {seen})" if expected and seen else ""
    return symptom + (detail if len(detail) <= 100 else "")


def tag_of(version: str, releases: Collection[str]) -> str | None:
    """The release whose name is the version that a host reports: ``10.4.7.0`` is tagged ``v10.4.7.0``."""
    return next((name for name in (version, f"v{version}") if name in releases), None)


def version_of(tag: str) -> str:
    """What a host reports when it runs the release: the tag without its ``v``."""
    return tag[1:] if tag[:1] == "v" and tag[1:2].isdigit() else tag
