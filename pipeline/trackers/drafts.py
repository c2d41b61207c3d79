"""The issue that development reads: everything needed to see the fault on one's own desk. Pure.

No client, store or person of a client is named: development needs how many are hit, not who.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.trackers.markup import Code, Heading, Link, Numbered, Paragraph, Part
from pipeline.trackers.port import Draft

#: More steps than this nobody reads; the bundle has them all.
_MOST_STEPS = 60


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


@dataclass(frozen=True, kw_only=True)
class House:
    """What an installation wants on its issues (settings ``tracker``).

    Attributes:
        components: beginning of a signature -> component; the longest beginning that fits counts, ``*`` is
            for all others.
        diff_url: address of a comparison, with {parent} and {commit}.
        commands: whether somebody may ask for re-runs by a comment.
    """

    labels: Sequence[str] = ()
    components: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    diff_url: str | None = None
    commands: bool = False


def label(defect: str) -> str:
    """The label by which the defect's issue is found again."""
    return f"garant-{defect.lower()}"


def component(signature: str, components: Mapping[str, str]) -> str | None:
    """The component for a signature, or None when nothing fits."""
    fitting = [start for start in components if start != "*" and signature.startswith(start)]
    return components.get(max(fitting, key=len, default="*"))


def draft(found: Findings, house: House | None = None) -> Draft:
    """The issue: symptom, versions, culprit, figures, steps, replay."""
    house = house or House()
    since, until = found.first_bad_release, found.version
    span = f"since {since}" if since else f"in {until}"
    part = component(found.signature, house.components)
    body: list[Part] = [
        Heading("What happens"),
        Paragraph((found.title, f"Signature: {found.signature}")),
        Heading("Versions"),
        Paragraph(_versions(found)),
        Heading("Culprit"),
        *_culprit(found, house.diff_url),
        Heading("Verdict"),
        Paragraph((_verdict(found),)),
        Heading("Minimal steps"),
        *_steps(found),
        Heading("Replay"),
        *_replay(found, commands=house.commands),
        Heading("Hit"),
        Paragraph((f"{found.clients} {'client' if found.clients == 1 else 'clients'}",)),
        Paragraph(("", f"Defect {found.defect}, filed by Garant.")),
    ]
    return Draft(
        label=label(found.defect),
        title=" ".join(f"{found.title} ({found.product}, {span})".split()),
        body=body,
        labels=tuple(house.labels),
        components=(part,) if part else (),
        fields=dict(house.fields),
    )


def _versions(found: Findings) -> tuple[str, ...]:
    seen = f"Reproduced on {found.product} {found.version}."
    first = found.first_bad_release
    if not first:
        return (seen,)
    span = (
        first if first.removeprefix("v") == found.version.removeprefix("v") else f"{first} to {found.version}"
    )
    return seen, f"First bad release: {first}. Bad: {span}."


def _culprit(found: Findings, diff_url: str | None) -> list[Part]:
    if found.first_bad_commit is None:
        return [Paragraph(("Not narrowed down to one commit.",))]
    lines = [f"Commit {found.first_bad_commit}"]
    if found.culprit:
        said = [found.culprit.get(name) for name in ("author", "date", "subject")]
        lines.append(", ".join(str(part) for part in said if part))
    parts: list[Part] = [Paragraph(tuple(lines))]
    if found.parent_commit is None:
        return parts
    if diff_url is not None:
        address = diff_url.replace("{parent}", found.parent_commit).replace(
            "{commit}", found.first_bad_commit
        )
        parts.append(Link("Diff", address))
    return [*parts, Code((f"git diff {found.parent_commit} {found.first_bad_commit}",))]


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


def _steps(found: Findings) -> list[Part]:
    if not found.steps:
        return [Paragraph(("See the bundle.",))]
    shown: list[Part] = [Numbered(tuple(found.steps[:_MOST_STEPS]))]
    if len(found.steps) > _MOST_STEPS:
        shown.append(Paragraph((f"{len(found.steps) - _MOST_STEPS} more steps are in the bundle.",)))
    return shown


def _replay(found: Findings, *, commands: bool) -> list[Part]:
    folder = found.bundle.removesuffix(".tar.gz")
    ask = ("Or have it done on Garant's bench: a comment here that begins with /reproduce VERSION.",)
    return [
        Code((f"tar xzf {found.bundle} && pytest {folder}",)),
        Paragraph(("On another version:",)),
        Code((f"testbench replay {folder} --version VERSION",)),
        Paragraph((f"The bundle is attached (sha256 {found.digest}).", *(ask if commands else ()))),
    ]
