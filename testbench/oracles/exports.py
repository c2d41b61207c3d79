"""Oracle exported-once: every closed receipt is exported exactly once, and none is invented."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from testbench.oracles.findings import Finding
from testbench.oracles.observations import Identity, Observations, Receipt

NAME = "exported-once"


def check(seen: Observations) -> Iterator[Finding]:
    """Over the receipts that the ERP pulls, then over the files that the server writes by itself."""
    for reason in seen.unreadable:
        yield Finding(NAME, "unreadable", reason.split(":")[0], "a document that can be read", reason)
    yield from _duplicates(seen.receipts, "duplicate")
    yield from _duplicates(seen.pushed, "duplicate-in-files")
    if not seen.is_complete or seen.unreadable:
        return
    exported = {receipt.identity for receipt in seen.receipts if not receipt.is_cancelled}
    closed = set(seen.closed_receipts)
    for identity in seen.closed_receipts:
        if identity not in exported:
            yield Finding(NAME, "lost", _where(identity), "exported once", "not exported")
    for identity in sorted(exported - closed):
        yield Finding(NAME, "invented", _where(identity), "no such receipt was closed", "exported")


def _duplicates(receipts: Sequence[Receipt], rule: str) -> Iterator[Finding]:
    counts = Counter(receipt.identity for receipt in receipts)
    for identity, times in counts.items():
        if times > 1:
            yield Finding(NAME, rule, _where(identity), "exported once", f"{times} times")


def _where(identity: Identity) -> str:
    return "receipt " + "/".join(str(part) for part in identity)
