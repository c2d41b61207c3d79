"""The actions that change a host: stage, update, rollback, heal. They run under the host's lock."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator

from .change import Change, previous_of, settle_others
from .checks import Check, demand, disk_check, order_check, trade_checks, update_checks
from .depot import PACKAGE, Papers, fetch_package, place, prune, publish
from .errors import ChangeError, HostError, RefusedError
from .layout import read_json
from .manifest import Manifest, parse_manifest
from .order import Host, Order, accept_papers, as_dicts, digest_of, find_papers
from .package import demand_digest, differences, free_bytes, unpack
from .product import Status
from .receipt import Receipt
from .versions import version_key

ChecksOf = Callable[[Status | None], Iterable[Check]]


def perform(host: Host, order: Order, receipt: Receipt) -> None:
    """Carry ``order`` out; how it ended is in the receipt, never in an exception."""
    action = _Action(host, order, receipt)
    receipt.body["worker_pid"] = os.getpid()
    try:
        settle_others(host, receipt)
        if receipt.body["touched"] and action.settle():
            return
        if receipt.final:
            return
        {"stage": action.stage, "update": action.update, "rollback": action.rollback, "heal": action.heal}[
            order.action
        ]()
    except RefusedError as error:
        receipt.end("refused", str(error), host.layout.linked_version(), changed=False)
    except ChangeError as error:
        # Raised outside of a swap: by an earlier effect that cannot be settled, or by returning to service.
        receipt.end("needs-human", str(error), host.layout.linked_version(), changed=False)
    except Exception as error:
        reason = f"{order.action} stopped before the service was touched: {error!r}: tell Garant's developers"
        receipt.end("failed", reason, host.layout.linked_version(), changed=False)


def rollback_target(host: Host, order: Order) -> tuple[str, str | None]:
    """Return version and digest (None when never verified here) to go back to.

    Raises:
        RefusedError: no version before is known, it is gone, it is newer, or it is below the release's floor.
    """
    current = host.current()
    marker = read_json(host.layout.marker) or {}
    previous = marker.get("previous") or {}
    target = order.to_version or (previous.get("version") if marker.get("version") == current else None)
    if not isinstance(target, str):
        raise RefusedError(f"no version before {current} is recorded on this host: give to_version")
    if version_key(target) > version_key(current):
        raise RefusedError(f"{target} is above {current}, which runs here: go up by an update")
    if not host.layout.release(target).is_dir():
        raise RefusedError(f"release {target} is not on this host any more: install it anew as a release")
    floor = (read_json(host.layout.manifests / f"{current}.json") or {}).get("floor")
    if isinstance(floor, str) and version_key(target) < version_key(floor):
        raise RefusedError(f"{current} may not go below {floor}, {target} is: release a fixed version above")
    known = read_json(host.layout.manifests / f"{target}.json") or {}
    return target, known.get("digest")


def rollback_permits_open_shift(host: Host, current: str) -> bool:
    """A rollback may do to a shift what the release that it takes back was allowed to do, no more."""
    known = read_json(host.layout.manifests / f"{current}.json") or {}
    return known.get("allow_open_shift") is True


class _Action:
    def __init__(self, host: Host, order: Order, receipt: Receipt) -> None:
        self._host = host
        self._order = order
        self._receipt = receipt
        self._change = Change(host, receipt, order.health_timeout)

    def settle(self) -> bool:
        return self._change.settle()

    def stage(self) -> None:
        current = self._host.current()
        self._receipt.body.update(version_before=current)
        papers, manifest = self._verify()
        package_is_here = (self._host.layout.staging(manifest.digest) / PACKAGE).is_file()
        if package_is_here or self._host.role == "server" or self._wrong(manifest) is not None:
            self._fetch(papers, manifest)
        changed = self._unpack(manifest, papers)
        changed = self._publish(manifest) or changed
        self._clean(current)
        self._receipt.end(
            "staged", f"{manifest.version} is verified and in its place", current, changed=changed
        )

    def update(self) -> None:
        current = self._host.current()
        self._receipt.body.update(version_before=current)
        papers, manifest = self._verify()
        if current == manifest.version:
            self._already_there(manifest, papers)
            return
        self._check("check", lambda status: self._update_checks(manifest, status, current, unpacked=False))
        self._fetch(papers, manifest)
        self._unpack(manifest, papers)
        self._publish(manifest)
        # Time has passed over the transfer: a shift may have been opened since.
        self._check("recheck", lambda status: self._update_checks(manifest, status, current, unpacked=True))
        self._change.swap(current, manifest.version, manifest.digest, previous_of(self._host, current))
        self._clean(current)

    def rollback(self) -> None:
        current = self._host.current()
        self._receipt.body.update(version_before=current)
        if self._order.to_version == current:
            self._return_to_service(current, marked=True)
            return
        target, digest = rollback_target(self._host, self._order)
        with self._receipt.phase("verify") as phase:
            phase.detail = self._verify_kept(target)
        permits = rollback_permits_open_shift(self._host, current)
        self._check(
            "check",
            lambda status: [
                *trade_checks(self._host.role, status, allow_open_shift=permits),
                *self._order_check(target, status),
            ],
        )
        # No version before is recorded: a second rollback without to_version must not go up again.
        self._change.swap(current, target, digest, None)

    def heal(self) -> None:
        """What died half-way has been settled by now; a product that is down is started, nothing else."""
        current = self._host.current()
        self._receipt.body.update(version_before=current, target=current)
        self._return_to_service(current, marked=True)

    def _verify_kept(self, target: str) -> str:
        layout = self._host.layout
        path = layout.manifests / f"{target}.json"
        if not path.is_file():
            return "provisioned with the host, no manifest"
        wrong = next(differences(layout.release(target), parse_manifest(path.read_bytes())), None)
        if wrong is not None:
            raise RefusedError(
                f"release {target} on this host was altered ({wrong}): install it anew as a release"
            )
        return "as it was approved"

    def _verify(self) -> tuple[Papers, Manifest]:
        with self._receipt.phase("verify") as phase:
            papers = find_papers(self._host.layout, self._order)
            manifest, names = accept_papers(self._host.layout, self._order, papers)
            phase.detail = f"approved by {', '.join(names)}"
        return papers, manifest

    def _check(self, name: str, checks_of: ChecksOf) -> None:
        with self._receipt.phase(name) as phase:
            status = self._host.product.status()
            checks = list(checks_of(status))
            self._receipt.body["checks"] = as_dicts(checks)
            demand(checks)
            assert status is not None  # trade_checks has refused it otherwise
            goods = status.get("goods")
            self._receipt.body["goods_before"] = goods if isinstance(goods, int) else 0
            phase.detail = f"{len(checks)} checks hold"

    def _update_checks(
        self, manifest: Manifest, status: Status | None, current: str, *, unpacked: bool
    ) -> Iterator[Check]:
        yield from trade_checks(self._host.role, status, allow_open_shift=manifest.allow_open_shift)
        if status is not None:
            yield from update_checks(manifest, status, current)
        yield from self._order_check(manifest.version, status)
        if not unpacked:
            yield disk_check(free_bytes(self._host.layout.work), manifest.size)

    def _order_check(self, target: str, status: Status | None) -> Iterator[Check]:
        product = self._host.product
        server = product.server_status() if product.role == "register" else None
        yield order_check(product.role, target, status or {}, server)

    def _fetch(self, papers: Papers, manifest: Manifest) -> None:
        staging = self._host.layout.staging(manifest.digest)
        with self._receipt.phase("fetch") as phase:
            place(staging, papers)
            if (staging / PACKAGE).is_file():
                phase.detail = "was staged"
            elif self._wrong(manifest) is None and self._host.role == "register":
                phase.detail = "is unpacked already"
                return
            elif self._order.depot_url:
                fetch_package(self._order.depot_url, manifest.digest, staging, manifest.size)
                phase.detail = f"{manifest.size} bytes from {self._order.depot_url}"
            else:
                raise RefusedError(f"no {PACKAGE} in {staging}: transfer it to this host first")
            demand_digest(staging / PACKAGE, manifest.digest)

    def _wrong(self, manifest: Manifest) -> str | None:
        folder = self._host.layout.release(manifest.version)
        return next(differences(folder, manifest), None) if folder.is_dir() else "it is not unpacked"

    def _unpack(self, manifest: Manifest, papers: Papers) -> bool:
        layout = self._host.layout
        with self._receipt.phase("unpack") as phase:
            wrong = self._wrong(manifest)
            if wrong is None:
                phase.detail = "was in its place"
            elif layout.linked_version() == manifest.version:
                raise RefusedError(
                    f"{manifest.version} runs here with other content ({wrong}): release a new version"
                )
            else:
                staged = layout.staging(manifest.digest) / PACKAGE
                written = unpack(staged, manifest, layout.release(manifest.version))
                phase.detail = f"{written} bytes in {len(manifest.files)} files"
            layout.manifests.mkdir(parents=True, exist_ok=True)
            (layout.manifests / f"{manifest.version}.json").write_bytes(papers.manifest)
            if self._host.role == "register":
                (layout.staging(manifest.digest) / PACKAGE).unlink(missing_ok=True)
        return wrong is not None

    def _publish(self, manifest: Manifest) -> bool:
        """A server offers the package to its registers; True when it did not before."""
        layout = self._host.layout
        if self._host.role != "server" or not (layout.staging(manifest.digest) / PACKAGE).is_file():
            return False
        with self._receipt.phase("publish") as phase:
            offered = publish(layout, manifest.digest)
            phase.detail = "offered to the registers" if offered else "was offered already"
        return offered

    def _already_there(self, manifest: Manifest, papers: Papers) -> None:
        staged = self._host.layout.staging(digest_of(self._order)) / PACKAGE
        if self._host.role == "server" and staged.is_file():
            self._fetch(papers, manifest)
        self._unpack(manifest, papers)
        self._publish(manifest)
        self._receipt.body.update(target=manifest.version, digest=manifest.digest)
        marker = read_json(self._host.layout.marker) or {}
        marked = marker.get("version") == manifest.version and marker.get("digest") == manifest.digest
        self._return_to_service(manifest.version, marked=marked)

    def _return_to_service(self, version: str, *, marked: bool) -> None:
        """The version is right; a product that is down is started, one that works is only looked at."""
        receipt, product = self._receipt, self._host.product
        started = product.status() is None
        if started:
            with receipt.phase("start") as phase:
                phase.detail = product.start()
        with receipt.phase("health") as phase:
            phase.detail = product.wait_healthy(version, 0, self._order.health_timeout)
        if not marked:
            self._change.mark()
        how = "was down and serves again" if started else "was there already and is healthy"
        receipt.end("done", f"{version} {how}", version, changed=started or not marked)

    def _clean(self, before: str) -> None:
        """Remove what is older than the version to go back to; only what we unpacked ourselves."""
        layout = self._host.layout
        try:
            prune(layout, before)
            for path in layout.manifests.glob("*.json"):
                if version_key(path.stem) < version_key(before):
                    shutil.rmtree(layout.release(path.stem), ignore_errors=True)
                    path.unlink()
        except (OSError, HostError):
            # The change is over and well; what is left lying is removed by the next one.
            return
