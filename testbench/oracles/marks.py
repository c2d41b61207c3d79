"""Oracle marks: a marking code is exported as it was scanned, and sold once until it comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from testbench.oracles.findings import Finding
from testbench.oracles.observations import Identity, Observations

NAME = "marks"
GS = "\x1d"


def check(seen: Observations) -> Iterator[Finding]:
    """Codes against what was scanned, in receipts that export codes at all; then how often each was sold."""
    receipts = {receipt.identity: receipt for receipt in seen.receipts if not receipt.is_cancelled}
    for identity, scanned in _scanned(seen).items():
        receipt = receipts.get(identity)
        shown = [line.mark for line in receipt.positions if line.mark] if receipt else []
        if receipt is None or not shown:
            continue
        for code in scanned:
            if not any(_is_whole(mark, code) for mark in shown):
                yield Finding(NAME, "changed", receipt.where, _beginning(code), ", ".join(shown))
    sold: Counter[str] = Counter()
    for receipt in receipts.values():
        for line in receipt.positions:
            if line.mark:
                sold[line.mark] += 1 if receipt.is_sale else -1
    for mark, times in sold.items():
        if times > 1:
            yield Finding(NAME, "sold-twice", f"code {mark}", "sold once", f"{times} times")


def _scanned(seen: Observations) -> dict[Identity, list[str]]:
    """Receipt -> the codes that its register accepted."""
    found: dict[Identity, list[str]] = {}
    for action in seen.actions:
        identity, mark = seen.units.get(action.unit), action.payload.get("mark")
        if action.type == "receipt.add" and action.is_ok and identity is not None and isinstance(mark, str):
            found.setdefault(identity, []).append(mark)
    return found


def _beginning(code: str) -> str:
    """GTIN and serial number: what comes before the tail; of a code without GS all of it."""
    return code.removeprefix("]d2").lstrip(GS).partition(GS)[0]


def _is_whole(mark: str, code: str) -> bool:
    """A scanner that drops GS leaves open where the tail begins: then a beginning is all there is to ask."""
    beginning = _beginning(code)
    return mark == beginning if GS in code.lstrip(GS) else beginning.startswith(mark)
