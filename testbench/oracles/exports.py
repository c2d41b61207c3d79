"""Oracle exported-once: every closed receipt is exported exactly once, and none is invented."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from testbench.oracles.findings import Finding
from testbench.oracles.observations import Identity, Observations, Receipt

NAME = "exported-once"


def check(seen: Observations) -> Iterator[Finding]:
    """Over the receipts that the ERP pulls, the files, those given as new, and those pushed to the ERP."""
    for reason in seen.unreadable:
        yield Finding(NAME, "unreadable", reason.split(":")[0], "a document that can be read", reason)
    yield from _duplicates(seen.receipts, "duplicate")
    yield from _duplicates(seen.pushed, "duplicate-in-files")
    yield from _duplicates(seen.taken or (), "taken-twice")
    yield from _duplicates(seen.acknowledged or (), "pushed-twice")
    if not seen.is_complete or seen.unreadable:
        return
    exported = {receipt.identity for receipt in seen.receipts if not receipt.is_cancelled}
    closed = set(seen.closed_receipts)
    for identity in seen.closed_receipts:
        if identity not in exported:
            yield Finding(NAME, "lost", _where(identity), "exported once", "not exported")
    yield from _missing(seen, seen.taken, "never-taken", "given once as new")
    yield from _missing(seen, seen.acknowledged, "never-pushed", "pushed until acknowledged")
    for identity in sorted(exported - closed):
        yield Finding(NAME, "invented", _where(identity), "no such receipt was closed", "exported")


def _duplicates(receipts: Sequence[Receipt], rule: str) -> Iterator[Finding]:
    counts = Counter(receipt.identity for receipt in receipts)
    for identity, times in counts.items():
        if times > 1:
            yield Finding(NAME, rule, _where(identity), "exported once", f"{times} times")


def _missing(
    seen: Observations, given: Sequence[Receipt] | None, rule: str, expected: str
) -> Iterator[Finding]:
    """Closed receipts that one of the ways to the ERP, where the product has it, left out."""
    if given is None:
        return
    there = {receipt.identity for receipt in given}
    for identity in seen.closed_receipts:
        if identity not in there:
            yield Finding(NAME, rule, _where(identity), expected, "not there")


def _where(identity: Identity) -> str:
    return "receipt " + "/".join(str(part) for part in identity)
