"""Reproductions and fix checks as rows: joined, settled once, never stuck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.application import Garant
from pipeline.defects import queries
from pipeline.defects import service as defects
from pipeline.defects.tables import DefectCaseRow
from pipeline.diagnosis import folder
from pipeline.diagnosis import service as diagnosis
from pipeline.diagnosis.collector import Collected
from pipeline.diagnosis.errors import EvidenceChangedError
from pipeline.diagnosis.tables import EvidenceRow
from pipeline.engine.dispatch import RunningJob
from pipeline.engine.tables import JobRow
from pipeline.errors import GarantError, NotFoundError, RefusedError
from pipeline.intake import service as intake
from pipeline.reproduction import service
from pipeline.reproduction.jobs import jobs
from pipeline.reproduction.tables import FixCheckRow, ReproductionRow

ACTOR = "person:anna"


def case_with_evidence(app: Garant, version: str | None = "10.4.7.0") -> str:
    with app.unit(ACTOR) as unit:
        case = intake.open_case(
            unit,
            client_id="kupets",
            store_id="k-tverskaya",
            channel="web",
            received_at=app.clock(),
            subject="Чек",
            text="Чек не сходится",
        ).id
        row = diagnosis.request(unit, case)
        files = {"VERSION": b"" if version is None else version.encode(), "journal.jsonl": b""}
        target = app.settings.folder("evidence") / row.id
        written = folder.write(
            target,
            folder.About(
                store="k-tverskaya",
                zone="Europe/Moscow",
                product="set10",
                window_from=app.clock(),
                window_to=app.clock(),
                collected_at=app.clock(),
                collected_by=ACTOR,
            ),
            [Collected(host="k-tverskaya-server", role="server", register=None, files=files)],
            b"k" * 32,
        )
        outcome = {
            "folder": str(target), "digest": written.digest, "version": written.version, "missing": [],
            "figures": {"hosts": 1, "files": written.files, "bytes": written.bytes},
        }  # fmt: skip
        diagnosis.settle(unit, unit.get(EvidenceRow, row.id), outcome, None)
    return case


@pytest.fixture
def case(chains: Garant) -> str:
    """A case whose evidence was collected."""
    return case_with_evidence(chains)


def requested(app: Garant, case: str, **options: Any) -> str:
    with app.unit(ACTOR) as unit:
        return service.request(unit, case, **options).id


def saw(
    verdict: str = "reproduced", signature: str = "alive/crash", bundle: str = "/b/R-1"
) -> dict[str, Any]:
    """What the bench answers."""
    return {
        "product": "set10",
        "version": "v10.4.7.0",
        "verdict": {
            "verdict": verdict, "signature": signature, "rate": 1.0, "interval": [0.8, 1.0],
            "runs": 20,
            "bad": 20,
            "reason": "",
        },
        "title": "SET fails while it works",
        "reduced": {"before": 100, "after": 3},
        "culprit": {"release": "v10.4.6.0", "first_bad": "a" * 40, "parent": "b" * 40},
        "culprit_reason": "",
        "commit": {"author": "A", "date": "2026-01-01", "subject": "S"},
        "steps": {"ru": ["открыть смену"], "en": ["open the shift"]},
        "bundle": bundle,
        "bundle_digest": f"sha256:{bundle}",
    }  # fmt: skip


def settled(app: Garant, reproduction: str, outcome: dict[str, Any] | None, error: str | None = None) -> Any:
    with app.unit("worker:w") as unit:
        service.settle(unit, unit.get(ReproductionRow, reproduction), outcome, error)
    with app.database.reading() as session:
        return service.reproduction(session, reproduction)


def test_a_reproduction_is_asked_for_once(chains: Garant, case: str) -> None:
    """The newest evidence on the store's version; who asks for the same again joins."""
    first = requested(chains, case)

    assert requested(chains, case) == first == "REP-000001"
    with chains.database.reading() as session:
        row = service.reproduction(session, first)
        job = session.get(JobRow, service.job_id(first))
    assert (row.version, row.evidence_id, row.state) == ("10.4.7.0", "E-000001", "running")
    assert job is not None
    assert job.queue == "bench"


def test_another_version_is_not_joined_to_the_one_at_work(chains: Garant, case: str) -> None:
    """Who asks for 10.4.6.0 must not be answered for 10.4.7.0."""
    requested(chains, case)

    with pytest.raises(RefusedError, match=r"on 10.4.7.0 already \(REP-000001\)"):
        requested(chains, case, version="v10.4.6.0")
    with pytest.raises(RefusedError, match="wait"):
        requested(chains, case, runs=7)


def test_what_cannot_be_reproduced_is_refused(chains: Garant, case: str) -> None:
    """No evidence, no known version, a closed case: with the next action."""
    with chains.unit(ACTOR) as unit:
        intake.close(unit, case, "решено")
        bare = intake.open_case(
            unit, client_id="kupets", store_id="k-tverskaya", channel="web",
            received_at=chains.clock(), subject="a", text="b",
        ).id  # fmt: skip

    with pytest.raises(RefusedError, match="is closed"):
        requested(chains, case)
    with pytest.raises(NotFoundError, match=f"garant diagnose {bare}"):
        requested(chains, bare)
    unknown = case_with_evidence(chains, version=None)
    with pytest.raises(RefusedError, match="--version"):
        requested(chains, unknown)
    assert requested(chains, unknown, version="v10.4.7.0") == "REP-000001"


def test_what_was_seen_becomes_a_defect_of_the_case(chains: Garant, case: str) -> None:
    """Recorded with its findings, linked to the case."""
    row = settled(chains, requested(chains, case), saw())

    assert (row.state, row.verdict, row.defect_id, row.error) == ("done", "reproduced", "D-000001", None)
    with chains.database.reading() as session:
        defect = queries.defect(session, "D-000001")
        assert intake.case(session, case).defect_id == "D-000001"
    assert (defect.version, defect.first_bad_release, defect.bundle) == ("10.4.7.0", "v10.4.6.0", "/b/R-1")
    assert (defect.events_before, defect.events_after) == (100, 3)


@pytest.mark.parametrize("verdict", ["not-reproduced", "inconclusive", "cannot-run"])
def test_what_was_not_seen_is_no_defect(chains: Garant, case: str, verdict: str) -> None:
    """The verdict is kept with its reason; the case stays without a defect and may be tried again."""
    outcome = {"version": "v10.4.7.0", "verdict": {"verdict": verdict, "reason": "none"}, "bundle": None}
    row = settled(chains, requested(chains, case), outcome)

    assert (row.state, row.verdict, row.defect_id) == ("done", verdict, None)
    with chains.database.reading() as session:
        assert queries.defects(session) == []
    assert requested(chains, case) == "REP-000002"


def test_a_known_defect_is_joined_and_keeps_its_bundle(chains: Garant, case: str) -> None:
    """One defect for a signature: the second case is linked, the first bundle stays."""
    settled(chains, requested(chains, case), saw())
    other = case_with_evidence(chains)
    row = settled(chains, requested(chains, other), saw(bundle="/b/R-2"))

    assert row.defect_id == "D-000001"
    with chains.database.reading() as session:
        assert queries.defect(session, "D-000001").bundle == "/b/R-1"
        assert sorted(link.case_id for link in session.query(DefectCaseRow)) == [case, other]


def test_a_case_that_was_closed_meanwhile_does_not_hold_the_reproduction(chains: Garant, case: str) -> None:
    """The defect is recorded, the case is left as it is, and it is said."""
    reproduction = requested(chains, case)
    with chains.unit(ACTOR) as unit:
        intake.close(unit, case, "решено")
    row = settled(chains, reproduction, saw())

    assert (row.state, row.defect_id) == ("done", "D-000001")
    assert row.error == f"case {case} is not linked to D-000001: it is closed"


def test_a_case_of_another_defect_is_not_torn_from_it(chains: Garant, case: str) -> None:
    """Another signature on another version is another defect; the case keeps its own."""
    settled(chains, requested(chains, case), saw())
    row = settled(chains, requested(chains, case, version="v10.4.6.0"), saw(signature="z-report/sum"))

    assert (row.state, row.defect_id) == ("done", "D-000002")
    assert row.error == f"case {case} is not linked to D-000002: it is tied to D-000001"


def test_a_failed_job_is_a_failed_reproduction(chains: Garant, case: str) -> None:
    """Its reason is kept, and another may be asked for."""
    row = settled(chains, requested(chains, case), None, "VersionError: no tag v9")

    assert (row.state, row.error, row.verdict) == ("failed", "VersionError: no tag v9", None)
    assert requested(chains, case) == "REP-000002"


def running(kind: str, **args: Any) -> RunningJob:
    return RunningJob(
        effect_id="x", kind=kind, args=args, attempt=1, token=1, deadline=folder.datetime.max,
        note=lambda *_args: None,
    )  # fmt: skip


def test_changed_evidence_is_not_reproduced_from(chains: Garant, case: str) -> None:
    """The changed file is named; nothing is concluded from it."""
    reproduction = requested(chains, case)
    journal = chains.settings.home / "evidence/E-000001/files/k-tverskaya-server/journal.jsonl"
    journal.chmod(0o600)
    journal.write_text("{}\n")

    with pytest.raises(EvidenceChangedError, match=r"files/k-tverskaya-server/journal.jsonl was changed"):
        jobs(chains)["reproduction.run"](running("reproduction.run", reproduction=reproduction))


def test_a_product_must_be_set(chains: Garant, case: str) -> None:
    """The setting is named."""
    with pytest.raises(GarantError, match="product: PATH"):
        jobs(chains)["reproduction.run"](running("reproduction.run", reproduction=requested(chains, case)))


def fix_requested(app: Garant, version: str = "v10.4.8.0") -> FixCheckRow:
    with app.unit(ACTOR) as unit:
        row = service.request_fix_check(unit, "D-000001", version)
        job = unit.session.get(JobRow, service.fix_job_id(row))
        assert job is not None
        unit.session.flush()
        unit.session.expunge(row)
    return row


def fix_settled(app: Garant, outcome: dict[str, Any] | None, version: str = "v10.4.8.0") -> FixCheckRow:
    with app.unit("worker:w") as unit:
        row = unit.get(FixCheckRow, ("D-000001", version))
        service.settle_fix_check(unit, row, outcome, None if outcome else "gone")
    with app.database.reading() as session:
        return service.fix_check(session, "D-000001", version)


def test_a_fix_that_both_sides_show_is_the_defects(chains: Garant, case: str) -> None:
    """Fixed in the version that hosts report; asked again it stands."""
    settled(chains, requested(chains, case), saw())
    fix_requested(chains)
    fix_settled(chains, {"verdict": "fixed", "reason": ""})

    with chains.database.reading() as session:
        assert queries.defect(session, "D-000001").fixed_in == "10.4.8.0"
    assert fix_requested(chains).round == 1


@pytest.mark.parametrize("outcome", [None, {"verdict": "not-fixed"}, {"verdict": "inconclusive"}])
def test_a_fix_that_is_not_shown_changes_nothing(chains: Garant, case: str, outcome: Any) -> None:
    """The defect stays; asked again, it is a new round and a new job."""
    settled(chains, requested(chains, case), saw())
    assert fix_requested(chains).round == fix_requested(chains).round == 1
    row = fix_settled(chains, outcome)

    assert row.state == (outcome["verdict"] if outcome else "failed")
    with chains.database.reading() as session:
        assert queries.defect(session, "D-000001").fixed_in is None
    assert fix_requested(chains).round == 2


def test_a_defect_without_bundle_cannot_be_checked(chains: Garant) -> None:
    """The next action is named."""
    with chains.unit(ACTOR) as unit:
        defects.record(
            unit, product="set10", signature="s", title="t", verdict="reproduced", version="10.4.7.0"
        )

    with pytest.raises(RefusedError, match="reproduce one of its cases first"):
        fix_requested(chains)


def test_a_bundle_that_is_gone_is_said(chains: Garant, case: str) -> None:
    """The check fails with the way out."""
    settled(chains, requested(chains, case), saw(bundle="/nowhere/R-1"))

    with pytest.raises(GarantError, match="is not there any more: reproduce a case of it again"):
        jobs(chains)["reproduction.verify"](running("reproduction.verify", defect="D-000001", version="v1"))


def test_a_second_attempt_has_a_place_of_its_own(tmp_path: Path) -> None:
    """What earlier attempts left is removed; an overtaken one never writes over the one that counts."""
    from pipeline.reproduction.jobs import _place

    first = _place(tmp_path, "R-1", 1)
    first.mkdir()
    (tmp_path / "R-1.partial").mkdir()
    second = _place(tmp_path, "R-1", 2)

    assert (first.name, second.name) == ("R-1", "R-1.2")
    assert list(tmp_path.iterdir()) == []
