"""Oracle import-honest: imported (status 3) means that the goods are there; every package gets an answer."""

from __future__ import annotations

from collections.abc import Iterator

from testbench.oracles.findings import Finding
from testbench.oracles.observations import ImportSeen, Observations
from testbench.oracles.prices import IMPORTED

NAME = "import-honest"
_IN_PROCESSING = 2


def check(seen: Observations) -> Iterator[Finding]:
    """Goods of imported packages against the server's last catalogue; then packages without an end."""
    if seen.prices:
        yield from _missing(seen)
    for package in seen.imports:
        if package.is_accepted and package.status == _IN_PROCESSING:
            yield Finding(NAME, "never-done", package.where, "a final status", "still in processing")


def _missing(seen: Observations) -> Iterator[Finding]:
    """A good counts by the last imported package that names it, in this shop."""
    there = seen.prices[-1].server
    last: dict[str, tuple[ImportSeen, bool]] = {}
    for package in seen.imports:
        if package.status != IMPORTED or package.document is None:
            continue
        for good in package.document.goods:
            if good.shops is None or seen.shop in good.shops:
                last[good.article] = package, good.is_removed
    for article, (package, is_removed) in last.items():
        if not is_removed and article not in there:
            yield Finding(
                NAME,
                "goods-missing",
                f"{package.where}, article {article}",
                "imported (status 3)",
                "not there",
            )
