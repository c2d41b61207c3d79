"""From the client's request to a bundle that shows the defect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.demo.stage import ACTOR, Stage
from pipeline.demo.steps import NotAsToldError
from pipeline.diagnosis import service as diagnosis
from pipeline.intake import service as intake
from pipeline.reproduction import rules as reproduction_rules
from pipeline.reproduction import service as reproduction

#: Whoever is asked in the story, in their own words.
REQUEST = {
    "zarya": (
        "Не сходятся чеки",
        "В магазине сумма строк в чеке со скидкой отличается от итога на копейку. Проверьте, пожалуйста.",
    ),
    "baltia": (
        "Receipts do not add up",
        "In a receipt with a discount the lines differ from the total by a kopeck. Please look into it.",
    ),
}


def open_case(stage: Stage) -> None:
    """The client writes; the case is registered, the client told; it is classified, its clocks run."""
    store = stage.plan.troubled
    subject, text = REQUEST[store.client]
    with stage.app.unit(ACTOR) as unit:
        case = intake.open_case(
            unit,
            client_id=store.client,
            store_id=store.id,
            channel="email",
            received_at=unit.now,
            subject=subject,
            text=text,
            contact=f"it@{store.client}.example",
            source_key=f"<demo-{stage.plan.seed}@{store.client}.example>",
        )
        stage.told.case = case.id
    with stage.app.unit(ACTOR) as unit:
        intake.classify(unit, stage.told.case, ["register_typical_ops"], software_defect=True)
    stage.await_notice("case_registered")
    stage.narrator.say(
        f"case {stage.told.case} registered, classified as a software defect; its client is told"
    )


def diagnose(stage: Stage) -> None:
    """Evidence from every host of the store, masked; its collection began with the classification."""
    with stage.app.database.reading() as session:
        stage.told.evidence = diagnosis.collected(session, stage.told.case)[0].id
    stage.work(diagnosis.job_id(stage.told.evidence))
    stage.wait(lambda: _evidence(stage).state != "collecting", "the evidence")
    evidence = _evidence(stage)
    if evidence.state != "collected" or evidence.folder is None:
        raise NotAsToldError(f"evidence {evidence.id} is {evidence.state}: {evidence.missing}")
    files = [path for path in Path(evidence.folder).rglob("*") if path.is_file()]
    if len(files) != evidence.figures["files"] + 1:
        raise NotAsToldError(f"evidence {evidence.id} has {len(files)} files in its folder")
    figures = evidence.figures
    stage.narrator.say(
        f"evidence {evidence.id}: {figures['files']} files of {figures['hosts']} hosts, "
        f"{figures['bytes'] / 1024:.0f} KiB, masked; version {evidence.version}"
    )


def _evidence(stage: Stage) -> Any:
    with stage.app.database.reading() as session:
        return diagnosis.evidence(session, stage.told.evidence)


def reproduce(stage: Stage) -> None:
    """Played again on the store's version; minimised, bisected, bundled; pytest runs the bundle."""
    with stage.app.unit(ACTOR) as unit:
        row = reproduction.request(unit, stage.told.case)
        stage.told.reproduction = row.id
    stage.work(reproduction.job_id(row.id))
    stage.wait(lambda: _reproduction(stage).state != "running", "the reproduction")
    row = _reproduction(stage)
    if row.verdict not in reproduction_rules.SHOWN or row.defect_id is None:
        raise NotAsToldError(f"reproduction {row.id}: {row.verdict or row.error}")
    found = row.findings
    culprit = found["culprit"] or {}
    stage.told.defect_id = row.defect_id
    stage.told.defect = {
        "id": row.defect_id,
        "verdict": row.verdict,
        "version": found["version"],
        "first_bad_release": culprit.get("release"),
        "first_bad_commit": culprit.get("first_bad"),
        "events_before": found["reduced"]["before"],
        "events_after": found["reduced"]["after"],
        "bundle": found["bundle"],
    }
    verdict, commit = found["verdict"], found["commit"] or {}
    stage.narrator.say(f"{row.verdict}: {verdict['bad']} of {verdict['runs']} runs, {verdict['signature']}")
    stage.narrator.say(f"minimal: {found['reduced']['after']} of {found['reduced']['before']} elements")
    first = str(culprit.get("first_bad"))[:12]
    stage.narrator.say(f"since {culprit.get('release')}, commit {first}: {commit.get('subject')}")
    run_bundle(stage, expected=1, version=None)
    run_bundle(stage, expected=0, version=culprit["parent"])
    stage.narrator.say(f"`pytest {found['bundle']}` fails on {found['version']}, passes before that commit")


def _reproduction(stage: Stage) -> Any:
    with stage.app.database.reading() as session:
        return reproduction.reproduction(session, stage.told.reproduction)


def run_bundle(stage: Stage, *, expected: int, version: str | None) -> None:
    """Run the bundle as a developer does: pytest, in a process of its own."""
    options = ["--set-version", version] if version else []
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            stage.told.defect["bundle"],
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=stage.folder,
    )
    if done.returncode != expected:
        raise NotAsToldError(
            f"pytest of the bundle on {version or 'the bad version'} ended with {done.returncode}, "
            f"not {expected}: {done.stdout[-600:]}"
        )
