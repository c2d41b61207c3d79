"""One call of the module: look, or lock the host, let a worker carry the order out, report its receipt."""

from functools import partial
from pathlib import Path
from typing import Any

from .actions import perform
from .errors import BusyError, RefusedError
from .layout import HostLayout, check_effect_id
from .lock import holder, locked
from .look import preflight, probe
from .order import Host, Order, as_dicts, digest_of
from .product import unhealthy_because
from .receipt import Receipt
from .worker import run_detached

#: States that Ansible counts as failed; refused and busy are answers, not failures.
FAILED = frozenset({"failed", "rolled-back", "needs-human"})
#: Actions that name a package; for them an effect id is bound to its digest.
WITH_PACKAGE = frozenset({"stage", "update"})
ATTEMPTS = 2  # a worker that was killed is followed by one that settles what it left; not for ever

Result = dict[str, Any]


def run(layout: HostLayout, order: Order, *, dry_run: bool = False) -> Result:
    """Do what ``order`` asks; refusals are results, not exceptions. ``dry_run``: as preflight."""
    try:
        if order.action == "probe":
            return _answer(layout, order, "probed", "nothing was changed", probe=probe(layout, order))
        if order.action == "preflight" or dry_run:
            return _preflight(layout, order)
        return _change(layout, order)
    except RefusedError as error:
        return _answer(layout, order, "refused", str(error))
    except BusyError as error:
        return _answer(layout, order, "busy", str(error))


def _answer(layout: HostLayout, order: Order, state: str, reason: str, **more: Any) -> Result:
    """A result of a call that has not touched the host."""
    version = layout.linked_version()
    result: Result = {
        "action": order.action,
        "effect_id": order.effect_id,
        "changed": False,
        "failed": state in FAILED,
        "state": state,
        "reason": reason,
        "version_before": version,
        "version_after": version,
        "out_of_service_seconds": 0.0,
        "phases": [],
        "checks": [],
    }
    return result | more


def _preflight(layout: HostLayout, order: Order) -> Result:
    held, by = holder(layout)
    if held:
        return _answer(
            layout, order, "busy", f"effect {by} holds this host: probe it, and ask again when it is over"
        )
    checks = preflight(Host.here(layout), order)
    reasons = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
    state = "refused" if reasons else "ready"
    reason = "; ".join(reasons) or "may be touched now"
    return _answer(layout, order, state, reason, checks=as_dicts(checks))


def _change(layout: HostLayout, order: Order) -> Result:
    if order.effect_id is None:
        raise RefusedError(f"action {order.action} needs effect_id: it makes a second call harmless")
    effect_id = check_effect_id(order.effect_id)
    if order.action in WITH_PACKAGE:
        digest_of(order)
    known = _over(Host.here(layout), order, effect_id)
    if known is not None:
        return known
    log = layout.work / "worker.log"
    for _ in range(ATTEMPTS):
        # Taken anew for each attempt: a stop that a killed worker began still holds it.
        with locked(layout, effect_id, wait=order.lock_wait, wait_for_same=order.wait) as handle:
            host = Host.here(layout, handle)
            # The same effect may have come to its end while we waited for it.
            known = _over(host, order, effect_id)
            if known is not None:
                return known
            result = _work(host, order, effect_id, log)
        if result is not None:
            return result
    left = Receipt.load(layout, effect_id)
    assert left is not None  # a worker had begun it
    state = "needs-human" if left.body["touched"] else "failed"
    reason = f"its worker died {ATTEMPTS} times, see {log}: probe this host, then call the same effect again"
    return _report(left, state=state, reason=reason)


def _over(host: Host, order: Order, effect_id: str) -> Result | None:
    """Return the result of an effect that is over and still holds, else None.

    Raises:
        RefusedError: the effect id belongs to another order, or the host was changed since by somebody else.
    """
    receipt = Receipt.load(host.layout, effect_id)
    if receipt is None:
        return None
    body = receipt.body
    if body["action"] != order.action or (order.action in WITH_PACKAGE and body["digest"] != order.digest):
        raise RefusedError(
            f"effect {effect_id} was {body['action']} of {body['digest']}: give this order a new id"
        )
    if not receipt.final:
        return None
    if body["state"] == "done":
        linked = host.layout.linked_version()
        if linked != body["version_after"]:
            raise RefusedError(
                f"effect {effect_id} brought {body['version_after']} at {body['ended_at']}, since then it "
                f"was moved to {linked}: to change it again give a new effect_id"
            )
        if unhealthy_because(host.product.status(), str(linked), 0) is not None:
            return None  # over, but the service is down: a second call returns it to service
    return _report(receipt, changed=False)


def _work(host: Host, order: Order, effect_id: str, log: Path) -> Result | None:
    """Let a worker carry the order out; None when it died before it could close the receipt."""
    digest = order.digest if order.action in WITH_PACKAGE else None
    receipt = Receipt.begin(host.layout, effect_id, order.action, digest)
    ended = run_detached(partial(perform, host, order, receipt), log, order.wait)
    left = Receipt.load(host.layout, effect_id) or receipt
    if not ended:
        reason = f"the change still goes on after {order.wait:g} s, by itself: probe it"
        return _report(left, state="busy", reason=reason)
    return None if left.body["state"] == "running" else _report(left)


def _report(receipt: Receipt, *, changed: bool | None = None, **more: str) -> Result:
    body = receipt.body | more
    names = ("action", "effect_id", "state", "reason", "version_before", "version_after", "checks")
    phases = [{key: phase[key] for key in ("name", "ok", "seconds", "detail")} for phase in body["phases"]]
    return {name: body[name] for name in names} | {
        "changed": bool(body["changed"]) if changed is None else changed,
        "failed": body["state"] in FAILED,
        "out_of_service_seconds": body["out_of_service_seconds"],
        "phases": phases,
    }
