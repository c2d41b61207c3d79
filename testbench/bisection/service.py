"""Bisection of a real product: ends tested, releases first, merges opened, the culprit confirmed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from testbench import statistics
from testbench.bisection import history
from testbench.bisection.history import Candidate
from testbench.bisection.rules import Observation
from testbench.bisection.search import CERTAIN_CONFIRMATION, Found, Line, confirm, measure, search, settle
from testbench.errors import TestbenchError, UsageError
from testbench.outcomes import Kind, Outcome
from testbench.products.git import GitSource
from testbench.products.port import VersionSource
from testbench.products.versions import order
from testbench.progress import Progress, silent

Find = Literal["bad", "fixed"]
#: ``play(version)``: one run on that version; a build that fails is an untestable outcome.
Play = Callable[[str], Outcome]
#: Several runs at once, in the order of the versions.
PlayAll = Callable[[Sequence[str]], Sequence[Outcome]]


class WrongRangeError(TestbenchError):
    """The range was tested and is not what was said; the message tells what was seen."""


@dataclass(frozen=True, kw_only=True)
class Culprit:
    """Where the change came from; a name, or the range that remains."""

    find: Find
    #: Full commit id or version; None when it is a range.
    id: str | None
    parent: str | None
    #: The first release that has the change, where one of the line has it.
    release: str | None
    #: Candidates that remain, oldest first; empty when it is a name.
    range: tuple[str, ...]
    confirmed: bool
    confidence: float
    #: Runs that told something, and candidates that could not be tested.
    runs: int
    skipped: tuple[str, ...]
    seconds: float
    rate: float
    signature: str | None
    reason: str

    def as_json(self) -> dict[str, Any]:
        """The fields that ``testbench bisect --json`` promises."""
        return {
            "find": self.find,
            "first_fixed" if self.find == "fixed" else "first_bad": self.id,
            "parent": self.parent,
            "release": self.release,
            "range": list(self.range),
            "confirmed": self.confirmed,
            "confidence": round(self.confidence, 4),
            "runs": self.runs,
            "skipped": list(self.skipped),
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 4),
            "signature": self.signature,
            "reason": self.reason,
        }


@dataclass
class _Work:
    """What one bisection has in its hands."""

    source: VersionSource
    play: Play
    find: Find
    progress: Progress
    signature: str | None
    benches: int = 1
    play_all: PlayAll | None = None
    runs: int = 0
    skipped: list[str] = field(default_factory=list)

    def line(self, candidates: Sequence[Candidate]) -> Line:
        return self.line_of([candidate.id for candidate in candidates], fixed=self.find == "fixed")

    def line_of(self, ids: Sequence[str], *, fixed: bool = False) -> Line:
        """A line of versions; ``fixed``: the defect disappears along it."""
        play_all = self.play_all
        return Line(
            len(ids),
            lambda index: self.play(ids[index]),
            self.signature,
            fixed,
            self.progress,
            benches=self.benches,
            ask_all=None if play_all is None else lambda indices: play_all([ids[i] for i in indices]),
        )

    def done(self, line: Line, candidates: Sequence[Candidate]) -> None:
        """Add up what a line cost."""
        self.runs += line.runs
        self.skipped += [candidates[index].id for index in sorted(line.skipped)]


def bisect(
    source: VersionSource,
    play: Play,
    *,
    good: str | None,
    bad: str,
    find: Find = "bad",
    signature: str | None = None,
    rate: float | None = None,
    progress: Progress = silent,
    now: Callable[[], float] = time.monotonic,
    benches: int = 1,
    play_all: PlayAll | None = None,
) -> Culprit:
    """The release and commit that brought a defect (or, ``find="fixed"``, took it away).

    Args:
        source: where the versions are.
        play: one run on a version.
        good: a version without the defect; with ``find="bad"`` None looks for one among older releases.
        bad: a version with it. With ``find="fixed"`` it is the older one of the two.
        signature: the failure; None takes the most frequent one of the bad version.
        rate: the failure rate where it is known from earlier runs (above 0, at most 1); None measures it.
        progress: told after each run.
        now: a clock in seconds for ``seconds`` of the answer.
        benches: how many runs may go on at once, with ``play_all``.
        play_all: several runs at once.

    Raises:
        WrongRangeError: the versions were tested, and good is bad, bad is good, or they are unrelated.
        UsageError: the two are the same version, or the rate is none.
    """
    started = now()
    if rate is not None and not 0 < rate <= 1:
        raise UsageError(f"failure rate {rate} must be above 0 and at most 1")
    work = _Work(source, play, find, progress, signature, benches, play_all)
    bad_id = source.resolve(bad).id
    if good is not None:
        good_id = source.resolve(good).id
    else:
        good_id, rate = _older_good(work, bad, bad_id, rate)
    if good_id == bad_id:
        raise UsageError(f"{good} and {bad} are the same version ({bad_id}); give two different ones")
    older, newer = (bad_id, good_id) if find == "fixed" else (good_id, bad_id)
    seen = _Ends(work, good or good_id, good_id, bad, bad_id, rate)
    candidates = _candidates(work, seen, older, newer)
    line = work.line(candidates)
    seen.copy_to(line, older, newer)
    releases = {index for index, candidate in enumerate(candidates) if candidate.release}
    found = search(line, seen.rate, releases)
    culprit = _answer(work, candidates, line, found, seen.rate)
    return replace(culprit, seconds=now() - started)


class _Ends:
    """The two ends, tested; refuses a range that is not what was said."""

    def __init__(
        self, work: _Work, good: str, good_id: str, bad: str, bad_id: str, rate: float | None
    ) -> None:
        # A line of its own: here "after" is the failing end, whatever is looked for.
        ids = (good_id, bad_id)
        self._line = work.line_of(ids)
        line = self._line
        if rate is not None:
            line.runs_until(1, max(CERTAIN_CONFIRMATION, statistics.runs_to_see(rate)))
        measured = measure(line, 1)
        self._take_signature(work)
        bad_count, bad_runs = line.counts(1)
        # Enough runs of the good end also when the bad end turned out good: both are said.
        self.rate = rate if rate is not None and bad_count else (measured or 0.0)
        clean = settle(line, 0, self.rate or statistics.DEFECT_RATE, _runs_of_good(self.rate))
        good_count, good_runs = line.counts(0)
        self.text = (
            f"{good} failed in {good_count} of {good_runs} runs, {bad} in {bad_count} of {bad_runs}"
            + (f" ({line.signature})" if line.signature and bad_count else "")
        )
        for name, runs, index in ((good, good_runs, 0), (bad, bad_runs, 1)):
            if not runs:
                last = line.outcomes[index][-1]
                what = f"{last.kind.value}: {last.signature or last.stage}: {last.detail[-300:]}"
                raise WrongRangeError(f"{name} cannot be tested ({what}); give another version")
        if not bad_count:
            raise WrongRangeError(
                f"{bad} is not bad: {self.text}; that excludes a failure rate of "
                f"{statistics.excluded_rate(bad_runs):.0%} or more; give a version that fails"
            )
        if clean is not False:
            raise WrongRangeError(f"{good} is not good: {self.text}; give a version without the defect")
        work.runs += line.runs
        self._ids = ids

    def _take_signature(self, work: _Work) -> None:
        """Look for the bad end's most frequent failure from now on."""
        failures = Counter(o.signature for o in self._line.outcomes.get(1, []) if o.kind is Kind.BAD)
        if work.signature is None and failures:
            work.signature = self._line.signature = failures.most_common(1)[0][0]
            self._line.observations = [
                Observation(1, outcome.is_bad)
                for outcome in (seen.looking_for(work.signature) for seen in self._line.outcomes[1])
                if outcome.kind in (Kind.GOOD, Kind.BAD)
            ]

    def copy_to(self, line: Line, older: str, newer: str) -> None:
        """Runs already made count in the search, where its ends are these."""
        where = {older: 0, newer: line.size - 1}
        for seen in self._line.observations:
            index = where.get(self._ids[seen.candidate])
            if index is not None:
                line.observations.append(replace(seen, candidate=index))


def _runs_of_good(rate: float) -> int:
    return CERTAIN_CONFIRMATION if rate in (0, 1) else statistics.runs_to_see(rate)


def _candidates(work: _Work, seen: _Ends, older: str, newer: str) -> list[Candidate]:
    """The line between the ends; its first candidate is known to be before the change."""
    if not isinstance(work.source, GitSource):
        if order(older) > order(newer):
            raise WrongRangeError(f"{older} is newer than {newer}: {seen.text}; {_swap(work.find)}")
        return history.releases_between(work.source, older, newer)
    base = history.relation(work.source, older, newer)
    if base is None:
        raise WrongRangeError(f"{older[:12]} and {newer[:12]} have no common history: {seen.text}")
    if base == newer:
        raise WrongRangeError(
            f"{older[:12]} is newer than {newer[:12]} (its ancestor): {seen.text}; {_swap(work.find)}"
        )
    if base != older:
        # Neither is the other's ancestor: the change is on newer's side only if the base is like older.
        line = work.line_of([base])
        shows = settle(line, 0, seen.rate, _runs_of_good(seen.rate))
        work.runs += line.runs
        if shows is not (work.find == "fixed"):
            state = {True: "fails", False: "is good", None: "cannot be told"}[shows]
            raise WrongRangeError(
                f"{older[:12]} is not an ancestor of {newer[:12]}, and their merge base {base[:12]} {state}: "
                f"{seen.text}; the change is not between them, give versions of one line"
            )
    return history.commits(work.source, base, newer)


def _swap(find: Find) -> str:
    other = "fixed" if find == "bad" else "bad"
    return f"swap them, or use --find {other}"


def _older_good(work: _Work, bad: str, bad_id: str, rate: float | None) -> tuple[str, float]:
    """A release without the defect, 1, 2, 4, ... releases back from the bad one; and the bad one's rate."""
    if work.find == "fixed":
        raise UsageError("--find fixed needs --good: a version in which the defect is gone")
    versions = work.source.versions()
    ids = [work.source.resolve(name).id for name in versions]
    if bad_id in ids:
        older = versions[: ids.index(bad_id)]
    elif isinstance(work.source, GitSource):
        git = work.source
        older = [n for n, i in zip(versions, ids, strict=True) if history.relation(git, i, bad_id) == i]
    else:
        older = [name for name in versions if order(name) < order(bad_id)]
    if rate is None:
        end = work.line_of([bad_id])
        rate = measure(end, 0)
        work.runs += end.runs
        if not rate:
            raise WrongRangeError(f"{bad} is not bad: it failed in 0 of {end.runs} runs; give one that fails")
    step, position, tried = 1, len(older) - 1, list[str]()
    while position >= 0:
        name = older[position]
        line = work.line_of([name])
        shows = settle(line, 0, rate, _runs_of_good(rate))
        work.runs += line.runs
        if shows is False:
            return work.source.resolve(name).id, rate
        tried.append(f"{name} ({'fails' if shows else 'cannot be told'})")
        if position == 0:
            break
        position, step = max(0, position - step), step * 2
    raise WrongRangeError(
        "no older release is good: " + (", ".join(tried) or "there is none") + "; give --good yourself"
    )


def _answer(work: _Work, candidates: Sequence[Candidate], line: Line, found: Found, rate: float) -> Culprit:
    """The found candidate as a name where that is honest, else as a range."""
    release = next((c.release for c in candidates[found.high :] if c.release), None)
    work.done(line, candidates)
    culprit, parent = candidates[found.high], candidates[found.low]
    reason = found.reason
    if found.named and isinstance(work.source, GitSource):
        if len(culprit.parents) > 1:
            return _open_merge(work, culprit, rate, release, found)
        real = culprit.parents[0] if culprit.parents else parent.id
        if history.same_content(work.source, culprit.id, real):
            reason = "the commit changes no file, so it cannot be the cause by itself"
        elif real != parent.id and not _confirm_on(work, real, culprit.id, rate):
            reason = f"its own parent {real[:12]} does not show the difference"
        parent = replace(parent, id=real)
    if found.named and not reason:
        return _culprit(work, found, rate, id_=culprit.id, parent=parent.id, release=release)
    remaining = tuple(c.id for c in candidates[found.low + 1 : found.high + 1])
    if not reason:
        reason = f"confidence {found.confidence:.2f} is too low for a name"
    return _culprit(
        work,
        replace(found, confirmed=False, reason=reason),
        rate,
        parent=parent.id,
        release=release,
        remaining=remaining,
    )


def _confirm_on(work: _Work, parent: str, culprit: str, rate: float) -> bool:
    pair = [Candidate(parent, None), Candidate(culprit, None)]
    line = work.line(pair)
    confirmed = confirm(line, 0, 1, rate)
    work.done(line, pair)
    return confirmed


def _open_merge(work: _Work, merge: Candidate, rate: float, release: str | None, found: Found) -> Culprit:
    """Look inside the branch that a merge brought; the merge itself is only ever shown as a range."""
    assert isinstance(work.source, GitSource)  # packages have no merges
    candidates = history.commits(work.source, merge.parents[0], merge.parents[1])
    branch = tuple(candidate.id for candidate in candidates[1:])
    whole = _culprit(
        work,
        replace(found, confirmed=False, reason="the merge brought it, no single commit of its branch did"),
        rate,
        parent=merge.parents[0],
        release=release,
        remaining=(*branch, merge.id),
    )
    if len(merge.parents) > 2 or not branch:
        return whole
    line = work.line(candidates)
    tip = settle(line, line.size - 1, rate, CERTAIN_CONFIRMATION)
    before = settle(line, 0, rate, _runs_of_good(rate))
    if tip is (work.find == "fixed") or None in (tip, before) or tip is before:
        work.done(line, candidates)
        return replace(whole, runs=work.runs, skipped=tuple(work.skipped))
    inside = search(line, rate)
    answer = _answer(work, candidates, line, inside, rate)
    return replace(answer, release=release)


def _culprit(
    work: _Work,
    found: Found,
    rate: float,
    *,
    id_: str | None = None,
    parent: str,
    release: str | None,
    remaining: tuple[str, ...] = (),
) -> Culprit:
    return Culprit(
        find=work.find,
        id=id_,
        parent=parent,
        release=release,
        range=remaining,
        confirmed=found.confirmed,
        confidence=found.confidence,
        runs=work.runs,
        skipped=tuple(dict.fromkeys(work.skipped)),
        seconds=0.0,
        rate=rate,
        signature=work.signature,
        reason=found.reason,
    )
