"""The actions that change nothing: preflight (may it be touched?) and probe (what is it, what happened?)."""

from typing import Any

from .actions import rollback_permits_open_shift, rollback_target
from .checks import Check, disk_check, order_check, trade_checks, update_checks
from .errors import RefusedError
from .layout import HostLayout, digest_hex, read_json
from .lock import holder
from .manifest import Manifest
from .order import Host, Order, accept_papers, find_papers
from .package import free_bytes
from .product import unhealthy_because
from .receipt import Receipt


def preflight(host: Host, order: Order) -> list[Check]:
    """Answer every question of the action at once, so that a person sees all reasons and not only the first.

    Without a release only trade is looked at, by the strict rule (shift closed).
    """
    current = host.layout.linked_version()
    status = host.product.status()
    if current is None:
        return [
            Check(
                "installed", False, f"{host.layout.current} is no link to a release: provision the host first"
            )
        ]
    try:
        if order.action == "rollback":
            return _rollback_checks(host, order, current, status)
        manifest, named = _papers_check(host, order)
    except RefusedError as error:
        # Named as what it is: without papers nothing else that depends on the release can be asked.
        return [*trade_checks(host.role, status, allow_open_shift=False), Check("release", False, str(error))]
    if manifest is None:
        return trade_checks(host.role, status, allow_open_shift=False)
    checks = [*trade_checks(host.role, status, allow_open_shift=manifest.allow_open_shift), named]
    if current == manifest.version:
        return [*checks, Check("newer", True, f"{current} is there already")]
    checks += update_checks(manifest, status or {}, current)
    checks.append(_order(host, manifest.version, status))
    checks.append(disk_check(free_bytes(host.layout.work), manifest.size))
    return checks


def _papers_check(host: Host, order: Order) -> tuple[Manifest | None, Check]:
    if order.digest is None and order.manifest is None:
        return None, Check("release", True, "none was named")
    manifest, names = accept_papers(host.layout, order, find_papers(host.layout, order))
    return manifest, Check("release", True, f"{manifest.version}, approved by {', '.join(names)}")


def _rollback_checks(host: Host, order: Order, current: str, status: dict[str, Any] | None) -> list[Check]:
    if order.to_version == current:
        return [Check("target", True, f"{current} is there already")]
    target, _ = rollback_target(host, order)
    permits = rollback_permits_open_shift(host, current)
    checks = trade_checks(host.role, status, allow_open_shift=permits)
    return [*checks, Check("target", True, f"{current} -> {target}"), _order(host, target, status)]


def _order(host: Host, target: str, status: dict[str, Any] | None) -> Check:
    server = host.product.server_status() if host.role == "register" else None
    return order_check(host.role, target, status or {}, server)


def probe(layout: HostLayout, order: Order) -> dict[str, Any]:
    """Return what this host runs and what became of ``order.effect_id``; nothing is written.

    It answers on a host in any condition: what cannot be read is null.
    """
    try:
        host: Host | None = Host.here(layout)
    except RefusedError:
        host = None
    status = host.product.status() if host else None
    linked = layout.linked_version()
    receipt = Receipt.load(layout, order.effect_id) if order.effect_id else None
    held, effect_id = holder(layout)
    unfinished = [found.body["effect_id"] for found in Receipt.unfinished(layout)]
    return {
        "role": host.role if host else None,
        "answering": status is not None,
        "healthy": linked is not None and unhealthy_because(status, linked, 0) is None,
        "version": status.get("version") if status else None,
        "link_version": linked,
        "status": status,
        "marker": read_json(layout.marker),
        "lock": {"held": held, "effect_id": effect_id if held else None},
        "receipt": receipt.body if receipt else None,
        "unfinished": unfinished,
        "depot": sorted(path.name for path in layout.depot.glob("*") if _is_digest(path.name)),
    }


def _is_digest(name: str) -> bool:
    try:
        return digest_hex(f"sha256:{name}") == name
    except RefusedError:
        return False
