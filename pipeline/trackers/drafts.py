"""The issue that development reads: everything needed to see the fault on one's own desk. Pure.

No client, store or person of a client is named: development needs how many are hit, not who.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.trackers.port import Draft


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the bench found.

    Attributes:
        rate: share of runs that failed; ``interval`` its 95 % interval.
        culprit: {"author", "date", "subject"} of ``first_bad_commit``.
        clients: how many clients are hit.
        bundle: the attached archive's name; ``digest`` its sha256.
    """

    defect: str
    product: str
    signature: str
    title: str
    verdict: str
    version: str
    rate: float | None
    interval: Sequence[float] | None
    runs: int | None
    first_bad_release: str | None
    first_bad_commit: str | None
    parent_commit: str | None
    culprit: Mapping[str, Any] | None
    events_before: int | None
    events_after: int | None
    steps: Sequence[str]
    clients: int
    bundle: str
    digest: str


def label(defect: str) -> str:
    """The label by which the defect's issue is found again."""
    return f"garant-{defect.lower()}"


def draft(found: Findings) -> Draft:
    """The issue: symptom, versions, culprit, figures, steps, replay."""
    span = f"since {found.first_bad_release}" if found.first_bad_release else f"in {found.version}"
    sections = [
        ("What happens", [found.title, f"Signature: {found.signature}"]),
        ("Versions", _versions(found)),
        ("Culprit", _culprit(found)),
        ("Verdict", [_verdict(found)]),
        ("Minimal steps", [f"{n}. {step}" for n, step in enumerate(found.steps, 1)] or ["See the bundle."]),
        ("Replay", _replay(found)),
        ("Hit", [f"{found.clients} {'client' if found.clients == 1 else 'clients'}"]),
    ]
    body = "\n\n".join("\n".join([f"{head}:", *lines]) for head, lines in sections)
    return Draft(
        label=label(found.defect),
        title=f"{found.title} ({found.product}, {span})",
        body=f"{body}\n\nDefect {found.defect}, filed by Garant.",
    )


def _versions(found: Findings) -> list[str]:
    lines = [f"Reproduced on {found.product} {found.version}."]
    if found.first_bad_release:
        lines.append(f"First bad release: {found.first_bad_release}.")
    return lines


def _culprit(found: Findings) -> list[str]:
    if found.first_bad_commit is None:
        return ["Not narrowed down to one commit."]
    lines = [f"Commit {found.first_bad_commit}"]
    if found.culprit:
        said = [found.culprit.get(name) for name in ("author", "date", "subject")]
        lines.append(", ".join(str(part) for part in said if part))
    if found.parent_commit:
        lines.append(f"Diff: git diff {found.parent_commit} {found.first_bad_commit}")
    return lines


def _verdict(found: Findings) -> str:
    text = found.verdict
    if found.rate is not None:
        text += f": fails in {found.rate:.0%} of runs"
        if found.interval is not None:
            text += f" (95 % interval {found.interval[0]:.0%} to {found.interval[1]:.0%})"
    if found.runs is not None:
        text += f", {found.runs} runs"
    if found.events_before is not None and found.events_after is not None:
        text += f"; minimised from {found.events_before} to {found.events_after} events"
    return f"{text}."


def _replay(found: Findings) -> list[str]:
    folder = found.bundle.removesuffix(".tar.gz")
    return [
        f"tar xzf {found.bundle} && pytest {folder}",
        f"On another version: testbench replay {folder} --version VERSION",
        f"The bundle is attached (sha256 {found.digest}).",
    ]
