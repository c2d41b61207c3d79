"""What is done on the bench, from evidence to bundle; called by the jobs, knows nothing of rows."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import GarantError
from pipeline.reproduction import rules
from testbench.api import Bench
from testbench.bisection.service import Culprit, WrongRangeError
from testbench.bundles.hashes import NAME as SUMS
from testbench.bundles.hashes import check_sums
from testbench.bundles.schema import load_case
from testbench.bundles.writing import write_bundle
from testbench.products.git import GitSource
from testbench.progress import Progress, Step
from testbench.scenarios import Scenario, describe, from_evidence
from testbench.verdicts.rules import Verdict


def reproduce(
    *,
    product: Path,
    home: Path | None,
    evidence: Path,
    version: str,
    runs: int | None,
    bundle: Path,
    now: datetime,
    progress: Progress,
) -> dict[str, Any]:
    """Evidence -> scenario -> verdict -> minimal scenario -> culprit -> bundle.

    Minimising and bisecting are worth doing only for what was seen; a culprit that cannot be found (no older
    good release, unrelated history) is said in ``culprit_reason`` and does not lose the rest.

    Args:
        product: the product.yaml.
        home: folder of builds and workspaces; None: the bench's own, shared with its command line.
        evidence: the (masked) evidence folder.
        version: as the store's hosts report it, or a tag.
        bundle: where the bundle goes (not there yet).
        now: the bundle's date.

    Raises:
        TestbenchError: the evidence or the version cannot be used.
    """
    bench = Bench.open(product, home=home, progress=progress)
    tag = rules.tag_of(version, bench.versions()) or version
    progress(Step("scenario", "turning the evidence into a scenario"))
    scenario = from_evidence(evidence)
    verdict = bench.run(scenario, tag, runs=runs)
    answer: dict[str, Any] = {
        "product": bench.product.name,
        "version": tag,
        "verdict": _without_logs(verdict),
        "notes": list(scenario.notes),
        "bundle": None,
    }
    if not verdict.shown or verdict.signature is None:
        return answer
    reduced = bench.minimise(scenario, tag, verdict=verdict)
    smallest = reduced.scenario
    assert isinstance(smallest, Scenario)
    culprit, reason = _culprit(bench, smallest, tag, verdict)
    bad = next(outcome for outcome in verdict.outcomes if outcome.signature == verdict.signature)
    title = rules.title(verdict.signature, bad.expected, bad.seen)
    progress(Step("bundle", "writing the bundle"))
    write_bundle(
        bench,
        smallest,
        bundle,
        title=title,
        version=tag,
        verdict=verdict,
        created_at=now,
        culprit=culprit,
        reduced=reduced,
    )
    return {
        **answer,
        "title": title,
        "reduced": reduced.as_json(),
        "culprit": culprit.as_json() if culprit else None,
        "culprit_reason": reason,
        "commit": _commit(bench, culprit),
        "steps": {language: _steps(smallest, language) for language in ("ru", "en")},
        "bundle": str(bundle),
        "bundle_digest": bundle_digest(bundle),
    }


def verify(
    *,
    product: Path,
    home: Path | None,
    bundle: Path,
    version: str,
    commit: str | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """Whether ``version`` is free of the bundle's defect, by the two-sided rule (DESIGN section 7).

    Args:
        commit: what is played as that version, wherever its tag points by now; None: what the tag names.

    Raises:
        TamperedError: the bundle is not as it was written.
        TestbenchError: the bundle or the version cannot be used.
    """
    check_sums(bundle)
    bench = Bench.open(product, home=home, progress=progress)
    tag = rules.tag_of(version, bench.versions()) or version
    case = load_case(bundle)
    scenario = bench.load(bundle / "scenario")
    answer = bench.verify_fix(
        scenario, bad=case.bad_id, new=commit or tag, rate=case.rate, signature=case.signature
    )
    return {**answer.as_json(), "version": tag}


def rerun(
    *, product: Path, home: Path | None, bundle: Path, version: str, progress: Progress
) -> dict[str, Any]:
    """What the bundle's scenario does on ``version``; it says nothing of a fix, for that takes both sides.

    Raises:
        TamperedError: the bundle is not as it was written.
        TestbenchError: the bundle or the version cannot be used.
    """
    check_sums(bundle)
    bench = Bench.open(product, home=home, progress=progress)
    tag = rules.tag_of(version, bench.versions()) or version
    verdict = bench.run(bench.load(bundle / "scenario"), tag, runs=None)
    return {"version": tag, "verdict": _without_logs(verdict), "signature": load_case(bundle).signature}


def _steps(scenario: Scenario, language: Literal["ru", "en"]) -> list[str]:
    """The steps without their numbers: whoever shows them numbers them in its own way."""
    return [line.partition(". ")[2] for line in describe(scenario, language).splitlines()]


def bundle_digest(bundle: Path) -> str:
    """The digest of a bundle: of its list of sums, which covers every file."""
    return f"sha256:{hashlib.sha256((bundle / SUMS).read_bytes()).hexdigest()}"


def _culprit(bench: Bench, scenario: Scenario, tag: str, verdict: Verdict) -> tuple[Culprit | None, str]:
    try:
        culprit = bench.bisect(scenario, good=None, bad=tag, verdict=verdict)
    except WrongRangeError as error:
        return None, str(error)
    return culprit, culprit.reason


def _commit(bench: Bench, culprit: Culprit | None) -> dict[str, Any] | None:
    """Who wrote the first bad commit, when, and what it says."""
    source = bench.builds.source
    if culprit is None or culprit.id is None or not isinstance(source, GitSource):
        return None
    found = culprit.id

    def read(repo: Any) -> dict[str, Any]:
        commit = repo.commit(found)
        return {
            "author": str(commit.author),
            "date": commit.authored_datetime.date().isoformat(),
            "subject": str(commit.summary),
        }

    return source.read(read)


def _without_logs(verdict: Verdict) -> dict[str, Any]:
    """The verdict without each run's text: that is in the bundle's logs."""
    answer = verdict.as_json()
    answer["outcomes"] = [{"kind": o.kind.value, "signature": o.signature} for o in verdict.outcomes]
    return answer


def require_product(product: Path | None) -> Path:
    """The product.yaml of the settings.

    Raises:
        GarantError: none is set, or it is not there.
    """
    if product is None:
        raise GarantError("no product is set: put `product: PATH of product.yaml` into garant.yaml")
    if not product.exists():
        raise GarantError(f"product description {product} does not exist: correct `product` in garant.yaml")
    return product
