"""Swapping the build under a running product, undoing it, and settling what a dead worker left half-way.

The rule above all others: whatever goes wrong, the service is started again.
"""

from .errors import ChangeError, HostError
from .layout import read_json, switch_link, write_json
from .order import Host
from .receipt import Receipt

HEALTH_AFTER_RECOVERY = 60.0  # seconds


class Change:
    """One effect on one host; its receipt is always closed by the method that decides the outcome."""

    def __init__(self, host: Host, receipt: Receipt, health_timeout: float) -> None:
        self._host = host
        self._receipt = receipt
        self._timeout = health_timeout

    def swap(self, before: str, target: str, digest: str | None, previous: dict[str, object] | None) -> None:
        """Stop, switch, start, prove health, mark; on any failure put ``before`` back.

        ``previous`` is what the marker names as the version to go back to.
        """
        receipt, product = self._receipt, self._host.product
        receipt.body.update(version_before=before, target=target, digest=digest, previous=previous)
        receipt.save()
        try:
            with receipt.phase("stop") as phase:
                receipt.out_of_service()
                phase.detail = product.stop()
            with receipt.phase("switch") as phase:
                switch_link(self._host.layout, target)
                phase.detail = f"{before} -> {target}"
            with receipt.phase("start") as phase:
                phase.detail = product.start()
            self._prove("", target)
            self.mark()
        except Exception as error:
            if not receipt.body["touched"]:
                raise
            self._undo(before, target, error)
            return
        receipt.end("done", f"{target} serves, {before} is kept", target, changed=True)

    def _return(self, prefix: str, version: str) -> None:
        """Start what is to serve again, stubbornly, and prove it."""
        with self._receipt.phase(prefix + "start") as phase:
            phase.detail = self._host.product.start_again(self._timeout)
        self._prove(prefix, version)

    def _prove(self, prefix: str, version: str) -> None:
        receipt, product = self._receipt, self._host.product
        with receipt.phase(prefix + "health") as phase:
            phase.detail = product.wait_healthy(version, receipt.body["goods_before"], self._timeout)
        receipt.in_service()

    def mark(self) -> None:
        """Record on the host what it runs from now on, and by which effect."""
        receipt = self._receipt
        body = receipt.body
        with receipt.phase("mark"):
            marker = {
                "version": body["target"],
                "digest": body["digest"],
                "effect_id": body["effect_id"],
                "at": receipt.clock().isoformat(),
                "previous": body.get("previous"),
            }
            write_json(self._host.layout.marker, marker)

    def _undo(self, before: str, target: str, cause: Exception) -> None:
        """Put ``before`` back; needs-human when even that is not healthy."""
        receipt, product = self._receipt, self._host.product
        why = str(cause) if isinstance(cause, HostError) else repr(cause)
        try:
            with receipt.phase("undo-stop") as phase:
                try:
                    phase.detail = product.stop()
                except ChangeError as error:
                    # A product that cannot be stopped may be one that has died: the health check decides.
                    phase.detail = str(error)
            with receipt.phase("undo-switch"):
                switch_link(self._host.layout, before)
            self._return("undo-", before)
        except Exception as error:
            receipt.end(
                "needs-human",
                f"{target} failed ({why}) and {before} is not healthy either ({error}): look at it now",
                self._host.layout.linked_version(),
                changed=True,
            )
            return
        receipt.end("rolled-back", f"{target} failed: {why}; {before} serves again", before, changed=True)

    def settle(self) -> bool:
        """Bring what a dead worker left half-way to an end that can be named; True when that is the target.

        Power may have been lost between any two steps, and the supervisor may have started the product since.
        What the link points to says which version was to run: it is started and proved. The receipt is closed
        unless it is back at the version before, from where the same effect may begin anew.
        """
        receipt = self._receipt
        before, target = receipt.body["version_before"], receipt.body["target"]
        linked = self._host.layout.linked_version()
        try:
            self._return("recover-", str(linked))
            if linked == target:
                self.mark()
        except Exception as error:
            if linked == target:
                self._undo(before, target, error)
            else:
                reason = f"change to {target} broke off and {linked} is not healthy: {error}: look at it now"
                receipt.end("needs-human", reason, linked, changed=True)
            return False
        if linked == target:
            receipt.end(
                "done", f"{target} serves, {before} is kept (finished after a break)", target, changed=True
            )
            return True
        receipt.body["touched"] = False
        receipt.save()
        return False


def settle_others(host: Host, own: Receipt) -> None:
    """Settle every effect whose worker died, before another one touches the host.

    Raises:
        HostError: one of them cannot be settled: a person is needed before anything else is done here.
    """
    for receipt in Receipt.unfinished(host.layout, own.clock):
        if receipt.path == own.path:
            continue
        if not receipt.body["touched"]:
            receipt.end("failed", "its worker died before the service was touched", None, changed=False)
            continue
        Change(host, receipt, HEALTH_AFTER_RECOVERY).settle()
        if receipt.body["state"] == "needs-human":
            raise ChangeError(f"effect {receipt.body['effect_id']}: {receipt.body['reason']}")
        if not receipt.final:
            before = receipt.body["version_before"]
            receipt.end("rolled-back", f"its worker died; {before} serves again", before, changed=True)


def previous_of(host: Host, before: str) -> dict[str, object]:
    """Return what the marker says of ``before``, so that a rollback can name its digest."""
    marker = read_json(host.layout.marker) or {}
    digest = marker.get("digest") if marker.get("version") == before else None
    return {"version": before, "digest": digest}
