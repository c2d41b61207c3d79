"""Use cases of releases: register a build, submit, approve, verify, recall."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.engine.unit import UnitOfWork
from pipeline.errors import NotFoundError, RefusedError
from pipeline.releases import package, signatures
from pipeline.releases.errors import ContentChangedError, NotApprovedError, SignatureRefusedError
from pipeline.releases.signatures import Approvals, OpenSshSignatures
from pipeline.releases.tables import ApprovalRow, ReleaseRow
from pipeline.settings import Settings

QUEUE = "bench"
#: Of one gate run; every bundle of the past is played, each some seconds to minutes.
_GATE_LIMIT = timedelta(hours=4)


def release(session: Session, version: str) -> ReleaseRow:
    """The release of a version.

    Raises:
        NotFoundError: there is none.
    """
    row = session.get(ReleaseRow, version)
    if row is None:
        known = ", ".join(session.scalars(select(ReleaseRow.id).order_by(ReleaseRow.id)).all()) or "none"
        raise NotFoundError(
            f"no release {version!r} (there are: {known}): make it with `garant release build {version}`"
        )
    return row


def releases(session: Session) -> list[ReleaseRow]:
    """All releases, oldest first."""
    return list(session.scalars(select(ReleaseRow).order_by(ReleaseRow.created_at, ReleaseRow.id)))


def approvals(session: Session, version: str) -> list[ApprovalRow]:
    """The approvals of a release, void ones too, oldest first."""
    query = select(ApprovalRow).where(ApprovalRow.release_id == version)
    return list(session.scalars(query.order_by(ApprovalRow.at, ApprovalRow.id)))


def folder(session: Session, version: str) -> Path:
    """Where the release lies: manifest.json, package.tar.zst, signatures/."""
    return Path(release(session, version).folder)


def register_build(
    unit: UnitOfWork,
    settings: Settings,
    *,
    manifest: dict[str, Any],
    commit: str,
    target: Path,
    product_file: Path,
) -> tuple[ReleaseRow, bool]:
    """Write down a package that lies in ``target``; returns whether anything is new.

    The same content again changes nothing. Other content voids every approval: it becomes a draft anew.

    Raises:
        RefusedError: the release was recalled: a recalled version is never built again.
    """
    version = manifest["version"]
    content = package.canonical(manifest)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    row = unit.session.get(ReleaseRow, version, with_for_update=True)
    if row is not None:
        _refuse_recalled(row)
        if row.manifest_digest == digest:
            return row, False
        _void(unit, row, "the release was built anew with other content")
    else:
        row = ReleaseRow(id=version, created_at=unit.now, submissions=0)
        unit.session.add(row)
    row.product, row.version, row.commit = manifest["product"], version, commit
    row.digest, row.size, row.manifest_digest = manifest["digest"], manifest["size"], digest
    row.folder, row.author = str(target), manifest["author"]
    row.approvals_required = settings.releases.approvals
    row.from_versions, row.fixed_defects = manifest["from_versions"], manifest["fixed_defects"]
    row.notes, row.product_file = manifest["notes"], str(product_file)
    row.state, row.gate, row.reason, row.updated_at = "draft", {}, None, unit.now
    unit.session.flush()
    unit.record("release", version, "built", digest=row.digest, commit=commit, author=row.author)
    return row, True


def _refuse_recalled(row: ReleaseRow) -> None:
    if row.state == "recalled":
        raise RefusedError(
            f"release {row.id} was recalled ({row.reason}), and stays so: give the fix a new version"
        )


def _void(unit: UnitOfWork, row: ReleaseRow, why: str) -> None:
    for approval in approvals(unit.session, row.id):
        if approval.state == "valid":
            approval.state = "void"
            unit.record("release", row.id, "approval_voided", reason=why, principal=approval.principal)


def submit(unit: UnitOfWork, version: str, *, joining: bool = False) -> ReleaseRow:
    """Have every past defect's bundle played on the release; only what passes can be approved.

    Args:
        joining: a gate that is at work is joined instead of refused.

    Raises:
        NotFoundError: there is no such release.
        RefusedError: it is not a draft, and its gate has not failed.
    """
    row = unit.get(ReleaseRow, release(unit.session, version).id, called="release")
    if joining and row.state == "submitted" and row.gate.get("state") == "running":
        return row
    if row.state not in ("draft", "rejected"):
        raise RefusedError(
            f"release {version} is {row.state}: only a draft or a rejected one can be submitted"
        )
    row.submissions += 1
    row.state, row.reason, row.updated_at = "submitted", None, unit.now
    row.gate = {"state": "running", "results": []}
    unit.record("release", version, "submitted", digest=row.digest)
    unit.start_job(
        "release.gate",
        gate_effect(row),
        {"release": version, "manifest_digest": row.manifest_digest},
        owner=("release", version),
        queue=QUEUE,
        time_limit=_GATE_LIMIT,
        max_attempts=3,
    )
    return row


def gate_effect(row: ReleaseRow) -> str:
    """The identity of the release's present gate run."""
    return f"release.gate:{row.id}:{row.manifest_digest[7:23]}:{row.submissions}"


def approve(
    unit: UnitOfWork, settings: Settings, version: str, principal: str, signature: bytes
) -> ReleaseRow:
    """Count one more person's signature over the manifest; with the last one needed it is approved.

    The signature is checked at once, against the file on the disk and allowed_signers as they are now.

    Raises:
        NotFoundError: there is no such release.
        RefusedError: the gate has not passed, or the release is in another state.
        ContentChangedError: what lies on the disk is not what was built; every approval is void.
        SignatureRefusedError: unknown or expired key, the author's own, the same person or key twice.
    """
    row = unit.get(ReleaseRow, release(unit.session, version).id, called="release")
    demand_approvable(row)
    content = demand_content(row)
    given = _stored(row)
    # By the rows: a signature on the disk without one is what a kill left of an earlier try.
    known = {a.principal for a in approvals(unit.session, version) if a.state == "valid"}
    if principal in known:
        raise SignatureRefusedError(
            f"{principal} has approved release {version} already: "
            f"{row.approvals_required} different people must"
        )
    given.pop(principal, None)
    checker = OpenSshSignatures(settings.releases.allowed_signers)
    counted = signatures.check(checker, content, given, row.author)
    key = signatures.demand_counts(checker, content, signature, principal, row.author, counted.valid)
    _store(row, principal, signature)
    unit.session.merge(
        ApprovalRow(
            id=f"{row.id}/{principal}/{row.manifest_digest[7:23]}",
            release_id=row.id,
            principal=principal,
            key=key,
            manifest_digest=row.manifest_digest,
            state="valid",
            at=unit.now,
            actor=unit.actor,
        )
    )
    unit.record("release", version, "approved_by", principal=principal, key=key, digest=row.digest)
    row.updated_at = unit.now
    if len(counted.valid) + 1 >= row.approvals_required:
        row.state = "approved"
        unit.record("release", version, "approved", digest=row.digest)
    return row


def demand_approvable(row: ReleaseRow) -> None:
    """Refuse what cannot be approved now.

    Raises:
        RefusedError: it is not submitted, or its gate has not passed.
    """
    hints = {
        "draft": f"submit it first with `garant release submit {row.id}`",
        "rejected": f"its gate failed: {row.reason}",
        "approved": "it has all its approvals",
        "recalled": f"it was recalled: {row.reason}",
    }
    if row.state in hints:
        raise RefusedError(f"release {row.id} is {row.state}: {hints[row.state]}")
    if row.gate.get("state") != "passed":
        raise RefusedError(
            f"release {row.id}: its regression gate is {row.gate.get('state')}, wait for it "
            f"(`garant release show {row.id}`; is a worker running?)"
        )


def demand_content(row: ReleaseRow) -> bytes:
    """The manifest's bytes, when what lies on the disk is what was built.

    Raises:
        ContentChangedError: it is not; nothing of it may be approved or applied.
    """
    manifest, content = package.read_manifest(Path(row.folder))
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if digest != row.manifest_digest:
        raise ContentChangedError(
            f"manifest of release {row.id} was edited after it was built ({digest}, built was "
            f"{row.manifest_digest}): its approvals do not hold for it, build it again"
        )
    found = Path(row.folder) / package.PACKAGE
    actual = f"sha256:{package.sha256_of(found)}" if found.is_file() else "missing"
    if actual != row.digest or manifest["digest"] != row.digest:
        raise ContentChangedError(
            f"package of release {row.id} is {actual}, approved is {row.digest}: build it again"
        )
    return content


def _stored(row: ReleaseRow) -> dict[str, bytes]:
    """Principal to signature, as they lie on the disk."""
    where = Path(row.folder) / package.SIGNATURES
    return {path.stem: path.read_bytes() for path in sorted(where.glob("*.sig"))}


def _store(row: ReleaseRow, principal: str, signature: bytes) -> None:
    where = Path(row.folder) / package.SIGNATURES
    where.mkdir(exist_ok=True)
    draft = where / f".{principal}.partial"
    draft.write_bytes(signature)
    draft.rename(where / f"{principal}.sig")


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Everything about a release, checked from the disk."""

    version: str
    state: str
    digest: str
    required: int
    approvals: Approvals = field(default_factory=lambda: Approvals({}, {}))
    #: What is wrong; empty: valid.
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a store would take it."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "version": self.version,
            "state": self.state,
            "ok": self.ok,
            "digest": self.digest,
            "required": self.required,
            "approvals": [{"principal": who, "key": key} for who, key in self.approvals.valid.items()],
            "rejected": [{"principal": who, "reason": why} for who, why in self.approvals.rejected.items()],
            "problems": list(self.problems),
        }


def verify(session: Session, settings: Settings, version: str, *, deep: bool = True) -> Verification:
    """Check manifest, package, and signatures from the disk, m of n.

    Args:
        deep: every file in the package too; without it, the package's digest stands for them.

    Raises:
        NotFoundError: there is no such release.
    """
    row = release(session, version)
    problems: list[str] = []
    counted = Approvals({}, {})
    try:
        content = demand_content(row)
        if deep:
            package.demand_package(Path(row.folder), package.read_manifest(Path(row.folder))[0])
        checker = OpenSshSignatures(settings.releases.allowed_signers)
        counted = signatures.check(checker, content, _stored(row), row.author)
    except ContentChangedError as error:
        problems.append(str(error))
    if len(counted.valid) < row.approvals_required:
        who = ", ".join(counted.valid) or "nobody"
        why = "".join(f"; {name}: {reason}" for name, reason in counted.rejected.items())
        problems.append(f"{len(counted.valid)} of {row.approvals_required} approvals are valid ({who}){why}")
    if row.state != "approved":
        problems.append(f"the release is {row.state}{': ' + row.reason if row.reason else ''}")
    return Verification(
        version=version,
        state=row.state,
        digest=row.digest,
        required=row.approvals_required,
        approvals=counted,
        problems=tuple(problems),
    )


def demand_approved(session: Session, version: str) -> ReleaseRow:
    """The release, when its row says that it is approved (quick: the disk is not looked at).

    Raises:
        NotFoundError: there is no such release.
        NotApprovedError: it is in another state.
    """
    row = release(session, version)
    if row.state != "approved":
        count = sum(approval.state == "valid" for approval in approvals(session, version))
        why = f": {row.reason}" if row.reason else f": {count} of {row.approvals_required} approvals"
        raise NotApprovedError(
            f"release {version} is {row.state}{why}. Only an approved one goes to stores "
            f"(`garant release submit`, `garant release approve`)"
        )
    return row


def demand_valid(session: Session, settings: Settings, version: str) -> ReleaseRow:
    """The release, verified anew from the disk.

    Raises:
        NotFoundError: there is no such release.
        NotApprovedError: something does not hold; everything that does not is named.
    """
    found = verify(session, settings, version, deep=False)
    if not found.ok:
        raise NotApprovedError(f"release {version} may not be applied: {'; '.join(found.problems)}")
    return release(session, version)


def recall(unit: UnitOfWork, version: str, reason: str) -> list[str]:
    """Nobody gets the release any more: every rollout of it stops at once.

    Returns:
        The rollouts stopped.

    Raises:
        NotFoundError: there is no such release.
        RefusedError: it was recalled before, or no reason is given.
    """
    from pipeline.rollouts import service as rollouts

    row = unit.get(ReleaseRow, release(unit.session, version).id, called="release")
    _refuse_recalled(row)
    if not reason.strip():
        raise RefusedError(f"release {version}: say why it is recalled, clients will ask")
    row.state, row.reason, row.updated_at = "recalled", reason, unit.now
    unit.record("release", version, "recalled", reason=reason)
    return rollouts.release_recalled(unit, version, f"release {version} was recalled: {reason}")
