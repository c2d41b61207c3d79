"""Plays the bundles of past defects on a release: the regression gate's work on the bench."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import select

from pipeline.defects.tables import ClientDefectRow, DefectRow
from pipeline.engine.dispatch import JobFunction, RunningJob
from pipeline.releases import rules, service
from pipeline.releases.rules import Played
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


def gate_job(app: Garant, replays: Replays) -> JobFunction:
    """The job ``release.gate``; plays again from the start after a crash (it changes nothing)."""

    def run(job: RunningJob) -> dict[str, Any]:
        with app.database.reading() as session:
            row = service.release(session, job.args["release"])
            version, commit, product = row.version, row.commit, Path(row.product_file)
            claims = set(row.fixed_defects)
            known = session.scalars(
                select(DefectRow)
                .where(DefectRow.product == row.product, DefectRow.bundle.is_not(None))
                .order_by(DefectRow.id)
            ).all()
            hit: dict[str, list[str]] = {defect.id: [] for defect in known}
            for part in session.scalars(
                select(ClientDefectRow).where(ClientDefectRow.defect_id.in_(list(hit)))
            ):
                hit[part.defect_id].append(part.client_id)
        played = []
        for number, defect in enumerate(known):
            job.report(f"playing {defect.id}: {defect.title}", done=number, total=len(known))
            # By the commit, so that what is judged is exactly what was packed.
            found = replays.replay(Path(defect.bundle or ""), commit, product, job.cancelled.is_set)
            weight = rules.weigh(
                fixed_in=defect.fixed_in,
                claimed=defect.id in claims,
                later=defect.fixed_in is not None and above(defect.fixed_in, version),
            )
            played.append(
                Played(
                    defect=defect.id,
                    title=defect.title,
                    weight=weight,
                    verdict=found.verdict,
                    reason=found.reason,
                    clients=sorted(hit[defect.id]),
                )
            )
        return {"reason": rules.verdict(played), "results": [_record(one) for one in played]}

    return run


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
