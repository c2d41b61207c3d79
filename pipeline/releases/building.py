"""From a tag of the product to a package on the disk."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.defects.tables import DefectRow
from pipeline.errors import GarantError, RefusedError
from pipeline.releases import package, service
from pipeline.releases.tables import ReleaseRow
from pipeline.rollouts.versions import version_key
from testbench.products.cache import BuildCache
from testbench.products.description import Product, load_product
from testbench.products.errors import VersionError
from testbench.products.git import GitSource

if TYPE_CHECKING:
    from pipeline.application import Garant

#: The order in which a store's parts are updated (SET-INTERFACES 1.1).
COMPONENT_ORDER = ["server", "register"]


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What a release is made from.

    Attributes:
        version: ``10.4.2``, or the tag of it.
        author: the principal who makes it.
        from_versions: versions that it may follow; None: every older one.
        floor: no rollback goes below it once the release is installed.
        allow_open_shift: registers may be updated while a shift is open.
        fixed_defects: None: those that are marked as fixed in this version.
        notes: what is new for clients, by language.
    """

    version: str
    product_file: Path
    author: str
    from_versions: Sequence[str] | None = None
    floor: str | None = None
    allow_open_shift: bool = False
    fixed_defects: Sequence[str] | None = None
    notes: dict[str, str] = field(default_factory=dict)


def build_release(app: Garant, request: BuildRequest) -> tuple[ReleaseRow, bool]:
    """Build the version by its recipe, pack it, register it; returns whether anything is new.

    Raises:
        GarantError: it does not build, says another version of itself, or the disk is full.
        testbench.errors.TestbenchError: there is no such version, or its source does not answer.
    """
    product = load_product(request.product_file)
    root = app.settings.folder("releases")
    draft = root / f".partial-{secrets.token_hex(4)}"
    draft.mkdir()
    try:
        manifest, commit = _pack(app, product, request, draft)
        target = root / manifest["version"]
        with app.unit(f"person:{request.author}") as unit:
            row, new = service.register_build(
                unit,
                app.settings,
                manifest=manifest,
                commit=commit,
                target=target,
                product_file=request.product_file.absolute(),
            )
            if new or not target.exists():
                _put_in_place(draft, target)
        return row, new
    except OSError as error:
        raise GarantError(
            f"release {request.version} could not be written: {error}. "
            f"Free space in {root}, then build it again"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _pack(app: Garant, product: Product, request: BuildRequest, draft: Path) -> tuple[dict[str, Any], str]:
    cache = BuildCache.of(product)
    asked = _tag(cache, request.version)
    with cache.use(asked) as build:
        version = _stated_version(build.path, build.version or build.asked)
        if version != request.version.removeprefix("v"):
            raise GarantError(
                f"{product.name} {asked} says of itself that it is {version}: "
                f"correct its VERSION, or name {version}"
            )
        at = _commit_time(cache, build.resolved)
        packed = package.pack(build.path, draft / package.PACKAGE, at)
    with app.database.reading() as session:
        fixed = _fixed(session, product.name, version, request.fixed_defects)
    manifest = {
        "schema": 1,
        "product": product.name,
        "version": version,
        "commit": build.resolved,
        "digest": packed.digest,
        "size": packed.size,
        "files": packed.files,
        "from_versions": list(request.from_versions) if request.from_versions is not None else None,
        "floor": request.floor,
        "component_order": COMPONENT_ORDER,
        "allow_open_shift": request.allow_open_shift,
        "author": request.author,
        "fixed_defects": fixed,
        "notes": {"ru": request.notes.get("ru", ""), "en": request.notes.get("en", "")},
        "created_at": at.isoformat(),
    }
    (draft / package.MANIFEST).write_bytes(package.canonical(manifest))
    (draft / package.SIGNATURES).mkdir()
    return manifest, build.resolved


def _tag(cache: BuildCache, version: str) -> str:
    """The tag of a version: itself, or with the ``v`` that tags often have."""
    try:
        cache.source.resolve(version)
        return version
    except VersionError:
        if version.startswith("v"):
            raise
        try:
            cache.source.resolve(f"v{version}")
        except VersionError:
            pass
        else:
            return f"v{version}"
        raise


def _stated_version(tree: Path, tag: str) -> str:
    stated = tree / "VERSION"
    text = stated.read_text(encoding="utf-8").strip() if stated.is_file() else tag.removeprefix("v")
    try:
        version_key(text)
    except ValueError as error:
        raise GarantError(f"{error}: hosts compare versions, correct VERSION in the product") from error
    return text


def _commit_time(cache: BuildCache, commit: str) -> datetime:
    """When the commit was made; a package index has no such time, and then it is the epoch of tar."""
    if isinstance(cache.source, GitSource):
        when: datetime = cache.source.read(lambda repo: repo.commit(commit).committed_datetime)
        return when.astimezone(UTC)
    return datetime(1980, 1, 1, tzinfo=UTC)


def _fixed(session: Session, product: str, version: str, named: Sequence[str] | None) -> list[str]:
    if named is None:
        query = select(DefectRow.id).where(DefectRow.product == product, DefectRow.fixed_in == version)
        return sorted(session.scalars(query))
    unknown = [name for name in named if session.get(DefectRow, name) is None]
    if unknown:
        raise RefusedError(f"no defect {', '.join(unknown)}: see `garant defect list`")
    return sorted(named)


def _put_in_place(draft: Path, target: Path) -> None:
    if target.exists():
        # A folder cannot be replaced in one step: what a kill leaves between the two has no release's name,
        # and the row's digest does not fit it, so it is refused until it is built again.
        old = target.with_name(f".old-{target.name}-{secrets.token_hex(4)}")
        os.rename(target, old)
        shutil.rmtree(old, ignore_errors=True)
    os.rename(draft, target)
