"""The end of evidence: after its time, not while something rests on it, and never without a trace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.application import Garant
from pipeline.database.base import EventRow
from pipeline.defects.tables import DefectCaseRow, DefectRow
from pipeline.diagnosis import folder, retention, rules, service
from pipeline.diagnosis.tables import EvidenceRow
from pipeline.errors import NotFoundError, RefusedError
from pipeline.intake import service as intake
from tests.unit.pipeline.diagnosis.test_evidence import ACTOR, opened, requested
from tests.unit.pipeline.diagnosis.test_objects import evidence

DAY = timedelta(days=1)
PERIOD = timedelta(days=180)
NOW = datetime(2026, 3, 12, tzinfo=UTC)


def decided(now: datetime, *, freed: datetime | None = None, needed: tuple[str, ...] = ()) -> rules.Retention:
    return rules.retention(collected_at=NOW, freed_at=freed, needed_by=needed, period=PERIOD, now=now)


def test_evidence_is_kept_for_its_period_and_not_longer() -> None:
    """To the second; the period begins again when its case is closed later."""
    assert decided(NOW + PERIOD - timedelta(seconds=1)).again_at == NOW + PERIOD
    assert decided(NOW + PERIOD).delete
    closed = NOW + 100 * DAY
    assert decided(NOW + PERIOD, freed=closed).again_at == closed + PERIOD
    assert decided(closed + PERIOD, freed=closed).delete


def test_what_is_needed_is_kept_whatever_its_period() -> None:
    """And looked at again every day from its end on."""
    assert decided(NOW + DAY, needed=("case G-000001 is open",)).again_at == NOW + PERIOD
    kept = decided(NOW + 10 * PERIOD, needed=("defect D-000001 is filed",))

    assert (kept.delete, kept.again_at) == (False, NOW + 10 * PERIOD + DAY)
    assert kept.reason == "defect D-000001 is filed"


@pytest.fixture
def collected(chains: Garant) -> Callable[[str], str]:
    """Collects real files for a case, as the job would."""

    def make(case: str) -> str:
        row_id = requested(chains, case)
        written = evidence(chains.settings.folder("evidence"), row_id, VERSION=row_id.encode())
        outcome = {
            "folder": str(chains.settings.folder("evidence") / row_id), "digest": written.digest,
            "version": "10.4.2", "missing": [],
            "figures": {"hosts": 1, "files": written.files, "bytes": written.bytes, "seconds": 1},
        }  # fmt: skip
        with chains.unit("worker:w") as unit:
            service.settle(unit, unit.get(EvidenceRow, row_id), outcome, None)
            unit.wake(service.KIND, row_id)
        return row_id

    return make


def state(app: Garant, row_id: str) -> str:
    with app.database.reading() as session:
        return service.evidence(session, row_id).state


def close(app: Garant, case: str) -> None:
    with app.unit(ACTOR) as unit:
        intake.close(unit, case, "решено")


def defect_of(app: Garant, case: str, state: str) -> None:
    stamp = {"created_at": app.clock(), "updated_at": app.clock()}
    with app.unit(ACTOR) as unit:
        unit.session.add(
            DefectRow(
                id="D-000001", product="set10", signature="s", title="t", verdict="reproduced", version="1",
                steps={}, state=state, **stamp,
            )
        )  # fmt: skip
        unit.session.flush()
        unit.session.add(
            DefectCaseRow(defect_id="D-000001", case_id=case, client_id="kupets", linked_at=app.clock())
        )


def test_evidence_of_a_closed_case_goes_when_its_time_is_over(
    chains: Garant, collected: Callable[[str], str], run: Callable[..., None]
) -> None:
    """By itself; its files are gone, and the tombstone says what they were, when and why."""
    case = opened(chains)
    row_id = collected(case)
    close(chains, case)
    run(PERIOD - DAY)

    assert state(chains, row_id) == "collected"
    run(2 * DAY)
    with chains.database.reading() as session:
        row, stone = service.evidence(session, row_id), retention.tombstone(session, row_id)
        told = [event.type for event in intake.events(session, case)]
    assert (row.state, row.folder) == ("deleted", None)
    assert stone is not None
    assert (stone.digest, stone.figures["files"], stone.case_id) == (row.digest, 1, case)
    assert "retention of 180 days" in stone.reason
    assert stone.deleted_at >= chains.clock() - 2 * DAY
    assert [path for path in chains.settings.folder("evidence").rglob("*") if path.is_file()] == []
    assert told[-1] == "evidence_deleted"


@pytest.mark.parametrize("defect", [None, "recorded", "filed", "fixed", "reopened"])
def test_evidence_that_is_needed_outlives_its_period(
    chains: Garant, collected: Callable[[str], str], run: Callable[..., None], defect: str | None
) -> None:
    """An open case, or a closed one whose defect is not closed."""
    case = opened(chains)
    row_id = collected(case)
    if defect is not None:
        close(chains, case)
        defect_of(chains, case, defect)
    run(PERIOD + 5 * DAY)

    assert state(chains, row_id) == "collected"
    with chains.unit(ACTOR) as unit:
        if defect is None:
            intake.close(unit, case, "решено")
        else:
            unit.session.get_one(DefectRow, "D-000001").state = "closed"
    run(PERIOD + 2 * DAY)
    assert state(chains, row_id) == "deleted"


def test_a_person_deletes_with_a_reason_and_not_what_is_needed(
    chains: Garant, collected: Callable[[str], str], run: Callable[..., None]
) -> None:
    """Refused with who needs it; forced, it goes, once, and the person and the reason stay."""
    case = opened(chains)
    row_id = collected(case)
    run(timedelta())

    def asked(**options: bool) -> None:
        with chains.unit("person:olga") as unit:
            retention.request(unit, row_id, reason="the client asked for it", **options)

    with pytest.raises(RefusedError, match=rf"case {case} is open .*--force"):
        asked()
    with pytest.raises(RefusedError, match="needs a reason"), chains.unit(ACTOR) as unit:
        retention.request(unit, row_id, reason=" ", force=True)
    asked(force=True)
    asked(force=True)
    run(timedelta(minutes=1))
    with chains.database.reading() as session:
        stone = retention.tombstone(session, row_id)
        begun = session.query(EventRow).filter_by(kind="evidence", type="deletion_begun").count()
    assert begun == 1
    assert stone is not None
    assert (stone.deleted_by, stone.reason) == ("person:olga", "the client asked for it")
    with pytest.raises(RefusedError, match="is deleted already"):
        asked(force=True)
    with pytest.raises(NotFoundError, match="garant evidence list"), chains.unit(ACTOR) as unit:
        retention.request(unit, "E-000099", reason="x")


def test_deleted_evidence_is_no_evidence_to_reproduce_from(
    chains: Garant, collected: Callable[[str], str], run: Callable[..., None]
) -> None:
    """Whoever asks is told to collect again."""
    case = opened(chains)
    row_id = collected(case)
    with chains.unit(ACTOR) as unit:
        retention.request(unit, row_id, reason="x", force=True)
    run(timedelta(minutes=1))

    with chains.database.reading() as session, pytest.raises(NotFoundError, match=f"garant diagnose {case}"):
        service.latest(session, case)


def test_a_deletion_that_fails_is_tried_again_and_told(
    chains: Garant, collected: Callable[[str], str], run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses: the evidence is not said to be gone; the next day it goes."""
    case = opened(chains)
    row_id = collected(case)
    close(chains, case)

    def refused(_folder: Path) -> int:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(folder, "delete", refused)
        run(PERIOD + timedelta(hours=1))
        assert state(chains, row_id) == "collected"
        with chains.database.reading() as session:
            failed = session.query(EventRow).filter_by(kind="evidence", type="deletion_failed").all()
        assert ["Read-only file system" in (event.reason or "") for event in failed] == [True]
    run(2 * DAY)
    assert state(chains, row_id) == "deleted"


def test_a_collection_with_another_window_is_not_joined(chains: Garant) -> None:
    """Who asks for something else must not get what runs as if it were that; who asks for anything joins."""
    case = opened(chains)
    first = requested(chains, case)

    assert requested(chains, case) == first
    with pytest.raises(RefusedError, match=f"{first} is being collected with another window or recipe"):
        requested(chains, case, since=chains.clock() - timedelta(hours=2))
    with pytest.raises(RefusedError, match="another window or recipe"):
        requested(chains, case, bandwidth=100_000)
    with pytest.raises(RefusedError, match="the time in question is none"):
        requested(chains, opened(chains), since=chains.clock() + DAY)
