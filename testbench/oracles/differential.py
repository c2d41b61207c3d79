"""Differential oracle: the same scenario on a version that is taken to be right; what differs is a finding.

Needs no expected values. Times of the run, versions and the order of export are left out before comparing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from testbench.oracles.findings import Finding
from testbench.oracles.observations import CatalogSeen, Observations

NAME = "differential"
_ABSENT = "(absent)"


def normalised(seen: Observations) -> dict[str, Any]:
    """A JSON value that is equal for two runs that showed the same, whatever the time and the version."""
    receipts: dict[str, list[Any]] = {}
    for receipt in seen.receipts:
        record = {
            name: value for name, value in asdict(receipt).items() if name not in ("oper_day", "asked_day")
        }
        record["positions"] = sorted(
            ({name: value for name, value in line.items() if name != "at"} for line in record["positions"]),
            key=lambda line: (line["order"], line["goods_code"]),
        )
        receipts.setdefault("/".join(map(str, receipt.identity)), []).append(record)
    record = {
        "receipt": receipts,
        "z": {f"{report.cash}/{report.shift}": asdict(report) for report in seen.z_reports},
        "import": {f"{place}": package.status for place, package in enumerate(seen.imports)},
        "price": {
            point.point: {
                "server": _prices(point.server),
                "register": {
                    str(register): _prices(catalog) for register, catalog in point.registers.items()
                },
            }
            for point in seen.prices
        },
        "action": {
            str(action.seq): {"type": action.type, "ok": action.is_ok, "price": action.price}
            for action in seen.actions
        },
        "trouble": sorted(f"{trouble.kind}:{trouble.where}:{trouble.what}" for trouble in seen.troubles),
    }
    return {name: _plain(part) for name, part in record.items()}


def _prices(catalog: CatalogSeen) -> dict[str, Any]:
    return {article: {"prices": dict(good.prices), "sold": good.sold_at} for article, good in catalog.items()}


def digest(seen: Observations) -> str:
    """SHA-256 of the normalised observations."""
    return hashlib.sha256(json.dumps(normalised(seen), sort_keys=True).encode()).hexdigest()


def check(seen: Observations, right: Observations) -> Iterator[Finding]:
    """Every leaf that differs; ``right`` is what the version that is taken to be right showed."""
    yield from _compare((), normalised(right), normalised(seen))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else format(value.normalize(), "f")


def _compare(path: tuple[str, ...], right: Any, seen: Any) -> Iterator[Finding]:
    if isinstance(right, dict) and isinstance(seen, dict):
        for key in sorted(set(right) | set(seen)):
            yield from _compare((*path, key), right.get(key, _ABSENT), seen.get(key, _ABSENT))
    elif isinstance(right, list) and isinstance(seen, list) and len(right) == len(seen):
        for place, (one, other) in enumerate(zip(right, seen, strict=True)):
            yield from _compare((*path, str(place)), one, other)
    elif right != seen:
        yield Finding(NAME, _rule(path), "/".join(path), _short(right), _short(seen))


#: The parts of a path that name a rule; all others are data (numbers, articles, receipts).
_WORDS = frozenset(
    """receipt z import price server register action trouble positions payments amount discount count cost
    vat_rate vat_sum purchases returns purchase_count return_count is_sale is_cancelled kind is_change cards
    goods_code barcode ok type prices sold""".split()  # noqa: SIM905 - a list of forty lines is not easier to read
)


def _rule(path: tuple[str, ...]) -> str:
    return "-".join(part for part in path if part in _WORDS)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 200 else text[:197] + "..."
