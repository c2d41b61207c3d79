"""Facts on a case's way that move its clocks: waiting, advice, an agreed term, registers down."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pipeline.clocks.rules import PAUSE_REASONS
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import RefusedError
from pipeline.intake.service import KIND, locked, touched
from pipeline.intake.tables import CaseRow


def pause(unit: UnitOfWork, case_id: str, reason: str) -> CaseRow:
    """The vendor can do nothing for a while: restore and consultation stand, nothing else does.

    Args:
        reason: waiting_client | third_party | agreed_window; waiting for development never pauses.

    Raises:
        NotFoundError: no such case.
        RefusedError: it is closed or restored, or there is no such reason.
    """
    row = locked(unit, case_id, "note")
    if reason not in PAUSE_REASONS:
        raise RefusedError(
            f"case {row.id}: {reason!r} pauses no clock; reasons are {', '.join(PAUSE_REASONS)}"
        )
    unit.record(KIND, row.id, "pause", reason=reason)
    return touched(unit, row)


def resume(unit: UnitOfWork, case_id: str, reason: str | None = None) -> CaseRow:
    """Work goes on; with a reason only that pause ends, else the one that began first.

    Raises:
        NotFoundError: no such case.
        RefusedError: it is closed.
    """
    row = locked(unit, case_id, "note")
    unit.record(KIND, row.id, "resume", reason=reason)
    return touched(unit, row)


def answer(unit: UnitOfWork, case_id: str) -> CaseRow:
    """The consultation was given.

    Raises:
        NotFoundError: no such case.
        RefusedError: it is closed.
    """
    row = locked(unit, case_id, "note")
    unit.record(KIND, row.id, "answered")
    return touched(unit, row)


def agree_term(unit: UnitOfWork, case_id: str, until: datetime, *, approved_by: str | None = None) -> CaseRow:
    """The client agreed to a term (TARIFF row "data discrepancies on a register"); a later one replaces it.

    Args:
        until: the absolute instant agreed (aware).
        approved_by: the second person who approves a new term after the breach of the one before.

    Raises:
        NotFoundError: no such case.
        RefusedError: it is closed, has no class whose term is agreed, or ``until`` is past.
    """
    row = locked(unit, case_id, "note")
    if until <= unit.now:
        raise RefusedError(f"case {row.id}: a term until {until.isoformat()} is past already")
    if "register_data_discrepancy" not in row.classes:
        raise RefusedError(
            f"case {row.id} has no class whose term is agreed: classify it as register_data_discrepancy first"
        )
    approval: dict[str, Any] = {"approved_by": approved_by} if approved_by else {}
    unit.record(KIND, row.id, "term_agreed", until=until.astimezone(UTC).isoformat(), **approval)
    return touched(unit, row)


def report_registers(unit: UnitOfWork, case_id: str, *, total: int, down: int) -> CaseRow:
    """How many of the store's registers are down; more than half makes the case critical (TARIFF.md).

    Raises:
        NotFoundError: no such case.
        RefusedError: it is closed, or the numbers are impossible.
    """
    row = locked(unit, case_id, "note")
    if not 0 <= down <= total:
        raise RefusedError(f"case {row.id}: {down} of {total} registers down is impossible")
    unit.record(KIND, row.id, "registers_state", total=total, down=down)
    return touched(unit, row)
