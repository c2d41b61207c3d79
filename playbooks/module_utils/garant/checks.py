"""May this host be touched now? (pure; DESIGN section 5 rules 1 and 3, SET-INTERFACES 1.1)

Whatever cannot be known counts as no.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .errors import RefusedError
from .manifest import Manifest
from .versions import at_most, version_key

RESERVE = 8 << 20  # bytes of the disk that are never filled by us: the product needs room to write receipts
UNPACKED_FACTOR = 3  # a build is about three times its package


@dataclass(frozen=True)
class Check:
    """One question, its answer, and what was seen (with the next action when the answer is no)."""

    name: str
    ok: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as it is reported."""
        return asdict(self)


def trade_checks(role: str, status: Mapping[str, Any] | None, *, allow_open_shift: bool) -> list[Check]:
    """Does trade stand still on this host? A server has no shift: its registers sell on without it."""
    if status is None:
        return [
            Check(
                "answers", False, "the product does not answer GET /status: start it, or look why it is down"
            )
        ]
    checks = [
        Check("answers", True, f"version {status.get('version')}"),
        _equal("ready", "state", status.get("state"), "ready"),
        _equal("role", "role", status.get("role"), role),
    ]
    if role == "register":
        checks += _register_checks(status, allow_open_shift)
    return checks


def _equal(name: str, what: str, found: object, expected: str) -> Check:
    ok = found == expected
    return Check(name, ok, f"{what} is {found!r}" if ok else f"{what} is {found!r}, it must be {expected!r}")


def _register_checks(status: Mapping[str, Any], allow_open_shift: bool) -> list[Check]:
    shift = status.get("shift")
    is_open = shift.get("open") if isinstance(shift, Mapping) else None
    number = shift.get("number") if isinstance(shift, Mapping) else None
    unsent = status.get("unsent_receipts")
    closed = is_open is False
    if is_open is True:
        shift_is = "is open, the release permits it" if allow_open_shift else "is open: wait for its Z report"
    else:
        shift_is = "is closed" if closed else "cannot be known: the register does not say whether it is open"
    return [
        Check("shift", closed or (is_open is True and allow_open_shift), f"shift {number} {shift_is}"),
        Check(
            "receipt",
            status.get("open_receipt") is False,
            "no open receipt"
            if status.get("open_receipt") is False
            else "a receipt is open: wait until it is closed or cancelled",
        ),
        Check(
            "unsent",
            unsent == 0 and not isinstance(unsent, bool),
            "all receipts are at the server"
            if unsent == 0
            else f"{unsent} receipts are not at the server yet: restore the LAN and wait until they are sent",
        ),
    ]


def update_checks(manifest: Manifest, status: Mapping[str, Any], current: str) -> list[Check]:
    """Is the release meant for what runs here? Never down: that is what a rollback is for."""
    checks = []
    if "product" in status:
        same = status["product"] == manifest.product
        checks.append(Check("product", same, f"release of {manifest.product}, host runs {status['product']}"))
    newer = version_key(manifest.version) > version_key(current)
    checks.append(
        Check(
            "newer",
            newer,
            f"{current} -> {manifest.version}"
            if newer
            else f"{manifest.version} is below {current}, which runs here: go back by a rollback",
        )
    )
    if manifest.from_versions is not None:
        known = current in manifest.from_versions
        checks.append(
            Check(
                "from",
                known,
                f"{manifest.version} may follow {current}"
                if known
                else f"{manifest.version} does not follow {current} but {', '.join(manifest.from_versions)}",
            )
        )
    return checks


def order_check(role: str, target: str, status: Mapping[str, Any], server: Mapping[str, Any] | None) -> Check:
    """A register never above its server; so a server never goes below one of its registers either."""
    if role == "register":
        limit = server.get("version") if server else None
        if not isinstance(limit, str):
            return Check(
                "order", False, "the store's server does not say its version: restore the LAN, then ask again"
            )
        fits = at_most(target, limit)
        hint = "" if fits else ": update the server first"
        return Check("order", fits, f"register {target}, server {limit}{hint}")
    above = [
        f"register {number} has {seen['version']}"
        for number, seen in sorted(_registers(status).items())
        if isinstance(seen.get("version"), str) and not at_most(seen["version"], target)
    ]
    if above:
        return Check(
            "order", False, f"server to {target}, but {', '.join(above)}: take the registers back first"
        )
    return Check("order", True, f"no register is above {target}")


def _registers(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    registers = status.get("registers")
    if not isinstance(registers, Mapping):
        return {}
    return {str(number): seen for number, seen in registers.items() if isinstance(seen, Mapping)}


def disk_check(free: int, size: int) -> Check:
    """Is there room for the package (``size`` bytes, compressed), for it unpacked, and for receipts?

    The exact need is known only while unpacking, which has its own bound; this keeps the hopeless away early.
    """
    need = size * (1 + UNPACKED_FACTOR) + RESERVE
    detail = f"{free >> 20} MiB are free, {need >> 20} MiB are needed"
    return Check("disk", free >= need, detail if free >= need else f"{detail}: free space on the host's disk")


def demand(checks: list[Check]) -> None:
    """Raise RefusedError with every reason when one of the checks is not met."""
    reasons = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
    if reasons:
        raise RefusedError("; ".join(reasons))
