"""Plays the bundles of past defects on a release: the regression gate's work on the bench."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.defects.tables import ClientDefectRow, DefectRow
from pipeline.engine.dispatch import JobFunction, RunningJob
from pipeline.releases import rules, service, verdicts
from pipeline.releases.rules import Played
from pipeline.releases.tables import GatePlayRow, ReleaseRow
from pipeline.rollouts.versions import above

if TYPE_CHECKING:
    from pipeline.application import Garant


@dataclass(frozen=True)
class Replayed:
    """What the bench said."""

    verdict: str
    reason: str


class Replays(Protocol):
    """Plays a bundle on a version."""

    def replay(self, bundle: Path, version: str, product: Path, cancelled: Callable[[], bool]) -> Replayed:
        """The verdict; what keeps the bench from one is ``inconclusive`` or ``cannot-run``, never raised."""


class RecordedReplays:
    """Answers from a table (bundle's folder name to verdict), else not-reproduced: tests and rehearsals."""

    def __init__(self, verdicts: dict[str, str]) -> None:
        self.verdicts = verdicts
        self.played: list[tuple[str, str]] = []

    def replay(self, bundle: Path, version: str, product: Path, cancelled: Callable[[], bool]) -> Replayed:
        """The verdict of the table."""
        self.played.append((bundle.name, version))
        return Replayed(self.verdicts.get(bundle.name, "not-reproduced"), "from the table")


class BenchReplays:
    """``testbench replay`` in a process of its own: a crash or a hang of a bundle is not the worker's."""

    def __init__(self, seconds: float = 3600.0) -> None:
        self._seconds = seconds

    def replay(self, bundle: Path, version: str, product: Path, cancelled: Callable[[], bool]) -> Replayed:
        """As the port says."""
        if not bundle.is_dir():
            return Replayed("cannot-run", f"bundle {bundle} is missing")
        program = Path(sys.executable).with_name("testbench")
        command = [
            str(program),
            "replay",
            str(bundle),
            "--version",
            version,
            "--product",
            str(product),
            "--json",
        ]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as bench:
            out, error = _wait(bench, self._seconds, cancelled)
        try:
            answer = json.loads(out)
            return _replayed(answer)
        except (ValueError, KeyError, TypeError, IndexError):
            last = (error.strip().splitlines() or ["no answer"])[-1]
            return Replayed("cannot-run", last)


def _replayed(answer: dict[str, Any]) -> Replayed:
    """``testbench replay --json``: ``present`` is true, false, or null for what cannot be told."""
    runs = answer["outcomes"]
    if answer["present"] is True:
        bad = next(run for run in runs if run["kind"] == "bad")
        return Replayed("reproduced", f"expected {bad.get('expected', '-')}, seen {bad.get('seen', '-')}")
    if answer["present"] is False:
        return Replayed("not-reproduced", f"{answer['runs']} clean runs")
    last = runs[-1]
    return Replayed("inconclusive", f"{last['kind']}: {last.get('detail') or last.get('stage') or ''}"[:500])


def _wait(bench: subprocess.Popen[str], seconds: float, cancelled: Callable[[], bool]) -> tuple[str, str]:
    waited = 0.0
    while True:
        try:
            return bench.communicate(timeout=1.0)
        except subprocess.TimeoutExpired:
            waited += 1.0
            if waited >= seconds or cancelled():
                bench.terminate()
                try:
                    bench.communicate(timeout=10.0)
                except subprocess.TimeoutExpired:
                    bench.kill()
                    bench.communicate()
                return "", "the bench was stopped" if cancelled() else f"no verdict after {seconds:.0f} s"


@dataclass(frozen=True)
class _Past:
    """A past defect as the gate plays it."""

    defect: str
    title: str
    bundle: Path
    fixed_in: str | None
    clients: tuple[str, ...]


def gate_job(app: Garant, replays: Replays) -> JobFunction:
    """The job ``release.gate``: every past bundle, several at once, each once for this gate.

    What a bundle said is written down as soon as it is known, so an attempt that comes after a kill plays
    only the rest.
    """

    def run(job: RunningJob) -> dict[str, Any]:
        with app.database.reading() as session:
            row = service.release(session, job.args["release"])
            claims = set(row.fixed_defects)
            past = _past_defects(session, row.product)
        _play_all(app, replays, job, row, past)
        with app.database.reading() as session:
            said = verdicts.gate_plays(session, job.effect_id)
        played = [
            Played(
                defect=one.defect,
                title=one.title,
                weight=rules.weigh(
                    fixed_in=one.fixed_in,
                    claimed=one.defect in claims,
                    later=one.fixed_in is not None and above(one.fixed_in, row.version),
                ),
                verdict=said[one.defect].verdict,
                reason=said[one.defect].reason,
                clients=one.clients,
            )
            for one in past
        ]
        return {"reason": rules.verdict(played), "results": [_record(one) for one in played]}

    return run


def _past_defects(session: Session, product: str) -> list[_Past]:
    known = session.scalars(
        select(DefectRow)
        .where(DefectRow.product == product, DefectRow.bundle.is_not(None))
        .order_by(DefectRow.id)
    ).all()
    hit: dict[str, list[str]] = {defect.id: [] for defect in known}
    for part in session.scalars(select(ClientDefectRow).where(ClientDefectRow.defect_id.in_(list(hit)))):
        hit[part.defect_id].append(part.client_id)
    return [_Past(d.id, d.title, Path(d.bundle or ""), d.fixed_in, tuple(sorted(hit[d.id]))) for d in known]


def _play_all(app: Garant, replays: Replays, job: RunningJob, row: ReleaseRow, past: list[_Past]) -> None:
    with app.database.reading() as session:
        done = set(verdicts.gate_plays(session, job.effect_id))
    left = [one for one in past if one.defect not in done]
    product = Path(row.product_file)

    def play(one: _Past) -> _Past:
        if not job.cancelled.is_set():
            began = time.monotonic()
            # By the commit, so that what is judged is exactly what was packed.
            found = replays.replay(one.bundle, row.commit, product, job.cancelled.is_set)
            # A bench that was stopped said nothing of the bundle: the next attempt plays it.
            if not job.cancelled.is_set():
                _keep(app, job, one, found, time.monotonic() - began)
        return one

    count = len(past) - len(left)
    job.report(f"{count} of {len(past)} bundles played", done=count, total=len(past))
    with ThreadPoolExecutor(app.settings.releases.benches, thread_name_prefix="gate") as benches:
        for future in as_completed([benches.submit(play, one) for one in left]):
            one = future.result()
            count += 1
            text = f"{count} of {len(past)} bundles played, the last: {one.defect} ({one.title})"
            job.report(text, done=count, total=len(past))


def _keep(app: Garant, job: RunningJob, one: _Past, found: Replayed, seconds: float) -> None:
    with app.unit(f"job:{job.effect_id}") as unit:
        unit.session.merge(
            GatePlayRow(
                gate=job.effect_id,
                defect_id=one.defect,
                verdict=found.verdict,
                reason=found.reason[:2000],
                seconds=seconds,
                played_at=unit.now,
            )
        )


def _record(one: Played) -> dict[str, Any]:
    return {
        "defect": one.defect,
        "title": one.title,
        "weight": one.weight.value,
        "verdict": one.verdict,
        "passed": one.passed,
        "blocks": one.blocks,
        "reason": one.reason,
        "clients": list(one.clients),
    }
