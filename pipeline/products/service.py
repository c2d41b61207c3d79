"""The watch over the product: looks at its repository, remembers versions, begins the checks of fixes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.defects.rules import version_key
from pipeline.defects.tables import DefectRow
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import GarantError, NotFoundError, RefusedError
from pipeline.products import rules
from pipeline.products.tables import ProductVersionRow, ProductWatchRow
from pipeline.reproduction import service as reproduction
from pipeline.reproduction.rules import version_of
from pipeline.reproduction.tables import FixCheckRow
from pipeline.settings import Settings
from testbench.errors import TestbenchError
from testbench.products.description import load_product

KIND = "product"
#: The repository is development's, as the tracker is: calls that mostly wait.
QUEUE = "tracker"


def product_name(settings: Settings) -> str:
    """The name of the product that the settings point to.

    Raises:
        GarantError: no product is set, or its file is missing or wrong.
    """
    if settings.product is None:
        raise GarantError("no product is set: put `product: PATH of product.yaml` into garant.yaml")
    try:
        return load_product(settings.product).name
    except TestbenchError as error:
        raise GarantError(f"product: {error}") from error


def watch(unit: UnitOfWork, product: str) -> ProductWatchRow:
    """Watch the product from now on; asked for again nothing changes."""
    row = unit.session.get(ProductWatchRow, product, with_for_update=True)
    if row is None:
        row = ProductWatchRow(
            id=product, looks=0, settled=True, failures=0, again=False, state="new",
            created_at=unit.now, updated_at=unit.now,
        )  # fmt: skip
        unit.session.add(row)
        unit.session.flush()
        unit.record(KIND, product, "watched")
        unit.wake(KIND, product)
    return row


def refresh(unit: UnitOfWork, product: str, product_file: Path) -> ProductWatchRow:
    """Look at the repository now (a hook of the repository, or a person, says that something is new).

    A look that is under way may have asked before the push: then another one follows it.
    """
    row = watch(unit, product)
    if row.settled:
        begin_look(unit, row, product_file)
    else:
        row.again = True
    return row


def look_effect(row: ProductWatchRow) -> str:
    """The identity of the present look."""
    return f"product.look:{row.id}:{row.looks}"


def begin_look(unit: UnitOfWork, row: ProductWatchRow, product_file: Path) -> None:
    """Ask the repository; the tick takes the answer."""
    row.looks += 1
    row.settled, row.again, row.updated_at = False, False, unit.now
    args = {"product": row.id, "product_file": str(product_file)}
    unit.start_job("product.look", look_effect(row), args, owner=(KIND, row.id), queue=QUEUE, max_attempts=3)


def settle_look(unit: UnitOfWork, row: ProductWatchRow, found: Mapping[str, str], error: str | None) -> None:
    """Take a look's answer: remember what is new, report what moved, begin what is due to be played."""
    row.settled, row.updated_at = True, unit.now
    if error is not None:
        _in_vain(unit, row, error)
        return
    if row.failures:
        unit.record(KIND, row.id, "answers_again", failures=row.failures)
    first = row.seen_at is None
    row.state, row.failures, row.error, row.seen_at = "ok", 0, None, unit.now
    change = rules.compare([_seen(known) for known in versions(unit.session, row.id)], found)
    for version, commit in change.new.items():
        unit.session.add(
            ProductVersionRow(
                product=row.id, version=version, commit=commit, baseline=first, seen_at=unit.now
            )
        )
        if not first:
            unit.record(KIND, row.id, "version_appeared", version=version, commit=commit)
    for version, commit in change.moved.items():
        _moved(unit, row, version, commit)
    unit.session.flush()
    begin_checks(unit, row.id)


def begin_checks(unit: UnitOfWork, product: str) -> list[tuple[str, str]]:
    """Have the bundles that are due played by the two-sided rule; each (defect, version) once for ever."""
    rows = unit.session.scalars(
        select(DefectRow).where(DefectRow.product == product, DefectRow.bundle.is_not(None))
    )
    suspects = [
        rules.Suspect(
            defect=row.id,
            state=row.state,
            bad=version_of(row.version),
            first_bad=version_of(row.first_bad_release) if row.first_bad_release else None,
            fixed_in=row.fixed_in,
        )
        for row in rows
    ]
    checked = {(check.defect_id, check.version) for check in unit.session.scalars(select(FixCheckRow))}
    begun = []
    for defect_id, seen in rules.due(suspects, [_seen(v) for v in versions(unit.session, product)], checked):
        reproduction.request_fix_check(unit, defect_id, seen.version, commit=seen.commit)
        begun.append((defect_id, seen.version))
    return begun


def accept_moved(unit: UnitOfWork, product: str, version: str, reason: str) -> ProductVersionRow:
    """A person says that the moved tag is right: from now on the version means the new commit.

    What was checked on the old commit is void: open defects are played on the new one.

    Raises:
        NotFoundError: no such version was seen.
        RefusedError: its tag stands where it stood, or no reason is given.
    """
    row = unit.session.get(ProductVersionRow, (product, version), with_for_update=True)
    if row is None:
        raise NotFoundError(f"no version {version!r} of {product}: see `garant product list`")
    if row.moved_to is None:
        raise RefusedError(
            f"version {version} of {product} names {row.commit[:12]} as ever: nothing to accept"
        )
    if not reason.strip():
        raise RefusedError(f"version {version} of {product}: say why the moved tag is right (--reason)")
    unit.record(
        KIND, product, "moved_tag_accepted", reason=reason, version=version, was=row.commit, now=row.moved_to
    )
    row.commit, row.moved_to, row.moved_at, row.baseline = row.moved_to, None, None, False
    for check in unit.session.scalars(
        select(FixCheckRow).where(FixCheckRow.version == version, FixCheckRow.state != "running")
    ):
        unit.record("fix-check", reproduction.fix_id(check.defect_id, version), "voided", reason="tag moved")
        reproduction.request_fix_check(unit, check.defect_id, version, commit=row.commit, again=True)
    unit.session.flush()
    begin_checks(unit, product)
    return row


def versions(session: Session, product: str) -> list[ProductVersionRow]:
    """The versions seen, lowest first."""
    rows = session.scalars(select(ProductVersionRow).where(ProductVersionRow.product == product))
    return sorted(rows, key=lambda row: version_key(row.version))


def fix_checks_on(session: Session, version: str) -> list[FixCheckRow]:
    """The checks of fixes on a version, named as its tag or as hosts report it."""
    names = {version, version_of(version), f"v{version}"}
    query = select(FixCheckRow).where(FixCheckRow.version.in_(names))
    return list(session.scalars(query.order_by(FixCheckRow.defect_id)))


def document(session: Session, product: str) -> dict[str, Any]:
    """The watch for programs."""
    row = session.get(ProductWatchRow, product)
    return {
        "product": product,
        "state": row.state if row else "not watched yet",
        "seen_at": row.seen_at.isoformat() if row and row.seen_at else None,
        "failures": row.failures if row else 0,
        "error": row.error if row else None,
        "versions": [
            {
                "version": seen.version,
                "commit": seen.commit,
                "seen_at": seen.seen_at.isoformat(),
                "moved_to": seen.moved_to,
                "checks": {check.defect_id: check.state for check in fix_checks_on(session, seen.version)},
            }
            for seen in versions(session, product)
        ],
    }


def _seen(row: ProductVersionRow) -> rules.Seen:
    return rules.Seen(version=row.version, commit=row.commit, baseline=row.baseline, moved_to=row.moved_to)


def _in_vain(unit: UnitOfWork, row: ProductWatchRow, error: str) -> None:
    row.failures += 1
    if row.error != error or row.failures == 1:
        unit.record(KIND, row.id, "does_not_answer", reason=error)
    row.state, row.error = "failing", error
    if row.failures == rules.ALERT_AFTER:
        _alert(unit, row.id, f"unreachable/{row.looks}", "unreachable", error)


def _moved(unit: UnitOfWork, row: ProductWatchRow, version: str, commit: str) -> None:
    known = unit.session.get_one(ProductVersionRow, (row.id, version), with_for_update=True)
    if commit == known.commit:
        known.moved_to = known.moved_at = None
        unit.record(KIND, row.id, "tag_moved_back", version=version, commit=commit)
        return
    known.moved_to, known.moved_at = commit, unit.now
    detail = f"{version} named {known.commit[:12]}, now it names {commit[:12]}"
    unit.record(KIND, row.id, "tag_moved", reason=detail, version=version, was=known.commit, now=commit)
    _alert(unit, row.id, f"moved/{version}/{commit[:12]}", "moved", detail)


def _alert(unit: UnitOfWork, product: str, what: str, trouble: str, detail: str) -> None:
    from pipeline.notices import service as notices

    notices.internal(
        unit,
        kind="product_trouble",
        to="",
        key=f"product/{product}/{what}"[:110],
        params={"product": product, "trouble": trouble, "detail": detail},
        about=(KIND, product),
    )
