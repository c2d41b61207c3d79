"""What the regression gate said of a release: taken in, told to development, waived by a named person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.engine.unit import UnitOfWork
from pipeline.errors import NotFoundError, RefusedError
from pipeline.releases import rules, service
from pipeline.releases.tables import GatePlayRow, ReleaseRow


def gate_plays(session: Session, gate: str) -> dict[str, GatePlayRow]:
    """What the bundles played so far said, by defect; ``gate``: see ``gate_effect``."""
    query = select(GatePlayRow).where(GatePlayRow.gate == gate)
    return {play.defect_id: play for play in session.scalars(query)}


def take_gate(unit: UnitOfWork, row: ReleaseRow, outcome: Mapping[str, Any]) -> None:
    """Write the gate's outcome: passed, or rejected with what blocks."""
    reason = outcome["reason"]
    row.gate = {"state": "failed" if reason else "passed", "results": outcome["results"], "reason": reason}
    row.reason, row.updated_at = reason or None, unit.now
    if reason:
        row.state = "rejected"
    unit.record("release", row.id, "gate_failed" if reason else "gate_passed", reason=reason or None)
    _tell_development(unit, row)


def _tell_development(unit: UnitOfWork, row: ReleaseRow) -> None:
    """A defect that shows in a candidate is said at its issue; no store has it yet, so nothing reopens."""
    from pipeline.defects import service as defects
    from pipeline.defects.tables import DefectRow

    for one in row.gate["results"]:
        if one["blocks"] and one["verdict"] in rules.SHOWN:
            text = f"Release {row.id} is blocked: the bundle shows the defect on it ({one['reason']})."
            what = f"gate:{row.id}:{row.submissions}"
            defects.comment(unit, unit.get(DefectRow, one["defect"], called="defect"), what, text)


def waive(unit: UnitOfWork, version: str, defect_id: str, *, principal: str, reason: str) -> ReleaseRow:
    """A named person answers for a bundle that could not be judged; with the last one the gate has passed.

    Only what gave no answer (inconclusive, cannot-run) can be waived: a defect that shows blocks, always
    (DESIGN section 1, step 7). The waiver stands in the gate's results and holds for this gate only.

    Args:
        principal: who answers for it; not the release's author.

    Raises:
        NotFoundError: there is no such release, or its gate did not play the defect.
        RefusedError: nothing blocks there, the defect shows, reason or name are empty, or it is the author's.
    """
    row = unit.get(ReleaseRow, service.release(unit.session, version).id, called="release")
    if row.state != "rejected":
        raise RefusedError(f"release {version} is {row.state}: only what a failed gate blocks can be waived")
    one = next((one for one in row.gate["results"] if one["defect"] == defect_id), None)
    if one is None:
        raise NotFoundError(
            f"the gate of release {version} did not play {defect_id!r}: `garant release show`"
        )
    if not one["blocks"] or one["verdict"] in rules.SHOWN:
        why = "it blocks nothing" if not one["blocks"] else "a defect that shows is never waived: mend it"
        raise RefusedError(f"release {version}: {defect_id} is {one['verdict']}, {why}")
    if not reason.strip() or not principal.strip():
        raise RefusedError(f"release {version}: name who waives {defect_id} (--as) and why (--reason)")
    if principal.strip() == row.author:
        raise RefusedError(f"release {version}: {principal} is its author, another person must waive")
    waiver = {"by": principal.strip(), "reason": reason.strip(), "at": unit.now.isoformat()}
    results = [
        {**each, "blocks": False, "waived": waiver} if each["defect"] == defect_id else each
        for each in row.gate["results"]
    ]
    blocked = rules.blocking(results)
    row.gate = {"state": "failed" if blocked else "passed", "results": results, "reason": blocked}
    row.reason, row.updated_at = blocked or None, unit.now
    unit.record("release", version, "gate_waived", reason=waiver["reason"], defect=defect_id, by=waiver["by"])
    if not blocked:
        row.state = "submitted"
        unit.record("release", version, "gate_passed", reason="with waivers")
    return row
