"""What the controller asks of a host, and what the host has at hand to do it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .checks import Check
from .depot import Papers, fetch_papers, read_staged
from .errors import RefusedError
from .layout import HostLayout
from .manifest import Manifest, parse_manifest
from .product import Product
from .verify import demand_approvals


@dataclass(frozen=True, kw_only=True)
class Order:
    """The arguments of one call; see the module's documentation for each of them."""

    action: str
    effect_id: str | None = None
    digest: str | None = None
    version: str | None = None
    manifest: str | None = None
    signatures: Mapping[str, str] = field(default_factory=dict)
    depot_url: str | None = None
    to_version: str | None = None
    #: Seconds until the product must be healthy after a start.
    health_timeout: float = 60.0
    #: Seconds to wait for another change to leave the host.
    lock_wait: float = 10.0
    #: Seconds until the caller is told "busy" while the change goes on by itself.
    wait: float = 900.0


@dataclass(frozen=True)
class Host:
    """This host: its paths, and the product on it."""

    layout: HostLayout
    product: Product

    @classmethod
    def here(cls, layout: HostLayout, lock: int | None = None) -> "Host":
        """Read the host's configuration; RefusedError when it has none. ``lock``: a held lock's handle."""
        return cls(layout, Product(layout, layout.read_config(), lock))

    @property
    def role(self) -> str:
        """``server`` or ``register``."""
        return self.product.role

    def current(self) -> str:
        """Return the version that is linked; RefusedError when there is none."""
        version = self.layout.linked_version()
        if version is None:
            raise RefusedError(f"{self.layout.current} is no link to a release: provision the host first")
        return version


def digest_of(order: Order) -> str:
    """Return the digest of the order; RefusedError when it names none."""
    if not order.digest:
        raise RefusedError(f"action {order.action} needs digest: take it from the release's manifest")
    return order.digest


def find_papers(layout: HostLayout, order: Order) -> Papers:
    """Return manifest and signatures: as handed over, else from the depot, else from the staging folder."""
    if order.manifest is not None:
        texts = order.signatures.items()
        return Papers(order.manifest.encode("utf-8"), {name: text.encode("utf-8") for name, text in texts})
    if order.depot_url:
        return fetch_papers(order.depot_url, digest_of(order))
    return read_staged(layout.staging(digest_of(order)))


def accept_papers(layout: HostLayout, order: Order, papers: Papers) -> tuple[Manifest, list[str]]:
    """Return the manifest and who approved it.

    Raises:
        RefusedError: too few valid approvals, or the manifest is of another package than was ordered.
    """
    manifest = parse_manifest(papers.manifest)
    # The author's name comes from the very text that is verified: forging it invalidates every signature.
    approvals = demand_approvals(
        papers.manifest, papers.signatures, manifest.author, layout.allowed_signers, layout.policy
    )
    if manifest.digest != digest_of(order):
        raise RefusedError(
            f"manifest is of {manifest.digest}, ordered was {order.digest}: stage the right release"
        )
    if order.version is not None and manifest.version != order.version:
        raise RefusedError(
            f"manifest is of version {manifest.version}, ordered was {order.version}: correct the order"
        )
    return manifest, sorted(approvals.valid)


def as_dicts(checks: list[Check]) -> list[dict[str, object]]:
    """Return checks as they are reported."""
    return [check.as_dict() for check in checks]
