"""Writes a bundle: everything that is needed to see the defect again on another machine.

case.json             the defect: version, signature, rate, culprit
product.yaml          where its versions are and how one is built
scenario/             what is played, with its (masked) data
oracle.json           what is right, and what was seen instead
lock.json             exact versions, interpreter, bench, date
matrix.json           verdicts by version
logs/                 what each run said
test_reproduction.py  one pytest test
SHA256SUMS            of all the others
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from testbench.api import Bench, Scenario
from testbench.bisection.service import Culprit
from testbench.bundles.hashes import write_sums
from testbench.bundles.schema import Case
from testbench.errors import TestbenchError
from testbench.minimisation.reducer import Reduced
from testbench.outcomes import Kind
from testbench.verdicts.rules import Verdict

TEST = '''"""Plays a defect again; case.json beside this file says which.

    pytest .                        on the version that has it (fails, with a report)
    pytest . --set-version VERSION  on another one (passes where the defect is absent)
    pytest . --product FILE         with the product taken from another place
"""


def test_reproduction(bench):
    """The defect does not show on the chosen version."""
    bench.check()
'''


def write_bundle(
    bench: Bench,
    scenario: Scenario,
    target: Path,
    *,
    title: str,
    version: str,
    verdict: Verdict,
    created_at: datetime,
    culprit: Culprit | None = None,
    reduced: Reduced[Any] | None = None,
    matrix: Mapping[str, Verdict] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Path:
    """Write the bundle of a reproduced defect to ``target`` (not there yet); all of it or nothing.

    Args:
        bench: the bench that it was reproduced on.
        scenario: what is played (the minimised one where there is one).
        target: the bundle's folder.
        title: one line for people.
        version: the version with the defect.
        verdict: of ``scenario`` (or of what it was minimised from) on that version; must show the defect.
        created_at: aware; written into case.json and lock.json.
        culprit, reduced: results of bisection and minimisation.
        matrix: verdicts on other versions.
        notes: further strings for case.json.

    Raises:
        TestbenchError: the verdict shows no defect, or ``target`` exists.
        ValueError: ``created_at`` is naive.
    """
    if created_at.tzinfo is None:
        raise ValueError("created_at must be aware (have a time zone)")
    if not verdict.shown or verdict.signature is None or not verdict.rate:
        raise TestbenchError(
            f"no bundle: {scenario.name} on {version} is {verdict.word.value}, not reproduced"
        )
    if target.exists():
        raise TestbenchError(f"{target} exists already; give another folder or remove it")
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "scenario").mkdir(parents=True)
    bench.driver.write(scenario, partial / "scenario")
    shown = next(o for o in verdict.outcomes if o.kind is Kind.BAD and o.signature == verdict.signature)
    identity = f"{bench.product.name}\0{verdict.signature}\0{scenario.digest}"
    resolved = bench.resolve(version)
    case = Case(
        id=hashlib.sha256(identity.encode()).hexdigest()[:16],
        title=title,
        product=bench.product.name,
        bad_version=version,
        bad_id=resolved.id,
        signature=verdict.signature,
        rate=verdict.rate,
        runs=verdict.runs,
        expected=shown.expected,
        seen=shown.seen,
        culprit=culprit.as_json() if culprit else None,
        minimised=reduced.as_json() if reduced else None,
        created_at=created_at.isoformat(),
        notes=dict(notes or {}),
    )
    verdicts = {version: verdict, **(matrix or {})}
    _write_json(partial / "case.json", case.model_dump(mode="json", by_alias=True))
    _write_json(
        partial / "oracle.json",
        {
            "driver": bench.product.driver,
            "signature": case.signature,
            "expected": case.expected,
            "seen": case.seen,
        },
    )
    _write_json(partial / "lock.json", _lock(bench, verdicts, created_at))
    _write_json(partial / "matrix.json", [_row(bench, name, one) for name, one in verdicts.items()])
    (partial / "product.yaml").write_text(bench.product.as_yaml(), encoding="utf-8")
    (partial / "test_reproduction.py").write_text(TEST, encoding="utf-8")
    _write_logs(partial / "logs", verdicts)
    write_sums(partial)
    partial.rename(target)
    return target


def _lock(bench: Bench, verdicts: Mapping[str, Verdict], created_at: datetime) -> dict[str, Any]:
    return {
        "date": created_at.isoformat(),
        "versions": {name: bench.resolve(name).id for name in verdicts},
        "recipe": bench.product.recipe,
        "python": bench.product.python or platform.python_version(),
        "platform": platform.platform(),
        "testbench": metadata.version("garant"),
    }


def _row(bench: Bench, version: str, verdict: Verdict) -> dict[str, Any]:
    row = verdict.as_json()
    del row["outcomes"]
    return {"version": version, "id": bench.resolve(version).id, **row}


def _write_logs(folder: Path, verdicts: Mapping[str, Verdict]) -> None:
    folder.mkdir()
    for number, (version, verdict) in enumerate(verdicts.items()):
        lines = [f"# {version}\n"]
        lines += [json.dumps(outcome.as_json(), ensure_ascii=False) + "\n" for outcome in verdict.outcomes]
        # Numbered, not named: a version may hold a slash.
        (folder / f"runs-{number}.jsonl").write_text("".join(lines), encoding="utf-8")


def _write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
