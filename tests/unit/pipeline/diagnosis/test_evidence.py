"""Evidence as rows: asked for once, joined while it is collected, settled once, started unasked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.application import Garant
from pipeline.database.base import EventRow
from pipeline.diagnosis import folder, service
from pipeline.diagnosis.collector import Collected
from pipeline.diagnosis.jobs import jobs
from pipeline.diagnosis.tables import EvidenceRow
from pipeline.engine.dispatch import RunningJob
from pipeline.engine.tables import JobRow
from pipeline.errors import NotFoundError, RefusedError
from pipeline.fleet.errors import IdentityError
from pipeline.intake import service as intake

ACTOR = "person:anna"
OUTCOME = {
    "folder": "/e/E-000001", "digest": "sha256:1", "version": "10.4.7.0", "missing": [],
    "figures": {"hosts": 2, "files": 3, "bytes": 4},
}  # fmt: skip


@pytest.fixture
def case(chains: Garant) -> str:
    """A case of kupets about its store in Tverskaya."""
    return opened(chains)


def opened(app: Garant, store: str | None = "k-tverskaya") -> str:
    with app.unit(ACTOR) as unit:
        return intake.open_case(
            unit,
            client_id="kupets",
            store_id=store,
            channel="web",
            received_at=app.clock(),
            subject="Чек",
            text="Чек не сходится",
        ).id


def requested(app: Garant, case: str, actor: str = ACTOR, **options: Any) -> str:
    with app.unit(actor) as unit:
        return service.request(unit, case, service.Asked(**options)).id


def settled(
    app: Garant, evidence: str, outcome: dict[str, Any] | None, error: str | None = None
) -> EvidenceRow:
    with app.unit("worker:w") as unit:
        row = unit.get(EvidenceRow, evidence)
        service.settle(unit, row, outcome, error)
    with app.database.reading() as session:
        return service.evidence(session, evidence)


def test_evidence_is_asked_for(chains: Garant, case: str) -> None:
    """The row, its window, who asked, and one job."""
    evidence = requested(chains, case, look_back=timedelta(hours=2))

    with chains.database.reading() as session:
        row = service.evidence(session, evidence)
        job = session.get(JobRow, service.job_id(evidence))
    assert (row.id, row.state, row.requested_by, row.store_id) == (
        "E-000001",
        "collecting",
        ACTOR,
        "k-tverskaya",
    )
    assert row.window_from == chains.clock() - timedelta(hours=2)
    assert job is not None
    assert (job.kind, job.queue) == ("diagnosis.collect", "diagnosis")


def test_who_asks_while_it_is_collected_joins(chains: Garant, case: str) -> None:
    """One collection at a time for a case; when that is over, a new one is made."""
    first = requested(chains, case)

    assert requested(chains, case, actor="person:boris") == first
    settled(chains, first, OUTCOME)
    assert requested(chains, case) == "E-000002"
    assert requested(chains, opened(chains)) == "E-000003"


def test_what_cannot_be_diagnosed_is_refused(chains: Garant, case: str) -> None:
    """An unknown case, a closed one, one without a store, a store without hosts; the next action is named."""
    homeless, closed = opened(chains, None), opened(chains)
    with chains.unit(ACTOR) as unit:
        intake.close(unit, closed, "решено")
        for host in service.fleet.hosts_of_store(unit.session, "k-leninskaya"):
            host.state = "retired"

    with pytest.raises(NotFoundError):
        requested(chains, "G-999999")
    with pytest.raises(RefusedError, match="open a new one"):
        requested(chains, closed)
    with pytest.raises(RefusedError, match="--store"):
        requested(chains, homeless)
    with pytest.raises(RefusedError, match="has no hosts"):
        requested(chains, opened(chains, "k-leninskaya"))


@pytest.mark.parametrize(
    ("missing", "files", "state"),
    [
        ([], 3, "collected"),
        ([{"host": "h", "what": "log", "reason": "none"}], 3, "partial"),
        ([], 0, "failed"),
    ],
)
def test_the_outcome_is_taken_in(
    chains: Garant, case: str, missing: list[Any], files: int, state: str
) -> None:
    """Whole, partial or nothing: the row and the case's history say so."""
    figures = {"hosts": 2, "files": files, "bytes": 1}
    row = settled(chains, requested(chains, case), {**OUTCOME, "missing": missing, "figures": figures})

    assert (row.state, row.missing, row.collected_at) == (state, missing, chains.clock())
    with chains.database.reading() as session:
        told = [e for e in intake.events(session, case) if e.type == "diagnosed"]
    assert [event.payload for event in told] == [{"evidence": row.id, "state": state}]


def test_a_job_that_failed_is_a_failed_collection(chains: Garant, case: str) -> None:
    """Its reason is kept, and it is no evidence to reproduce from."""
    row = settled(chains, requested(chains, case), None, "IdentityError: no key")

    assert row.state == "failed"
    assert row.missing == [{"host": "", "what": "everything", "reason": "IdentityError: no key"}]
    with chains.database.reading() as session, pytest.raises(NotFoundError, match=f"garant diagnose {case}"):
        service.latest(session, case)


def test_the_newest_usable_evidence_is_the_one(chains: Garant, case: str) -> None:
    """A failed collection does not hide the good one before it."""
    good = requested(chains, case)
    settled(chains, good, OUTCOME)
    settled(chains, requested(chains, case), None, "gone")

    with chains.database.reading() as session:
        assert service.latest(session, case).id == good


def test_a_missing_identity_fails_the_collection_with_the_way_out(
    chains: Garant, case: str, run: Callable[..., None]
) -> None:
    """No host is asked, and the reason names the key, not thirty hosts."""
    evidence = requested(chains, case)
    run(timedelta(minutes=5))

    with chains.database.reading() as session:
        row = service.evidence(session, evidence)
    assert row.state == "failed"
    assert len(row.missing) == 1
    assert "ssh-keygen -t ed25519" in row.missing[0]["reason"]


def running(evidence: str, attempt: int) -> RunningJob:
    return RunningJob(
        effect_id=service.job_id(evidence),
        kind="diagnosis.collect",
        args={"evidence": evidence},
        attempt=attempt,
        token=attempt,
        deadline=folder.datetime.max,
        note=lambda *_args: None,
    )


def test_a_second_attempt_takes_what_the_first_one_wrote(chains: Garant, case: str) -> None:
    """The first died between writing the folder and saying so: the store is not asked again."""
    evidence = requested(chains, case)
    written = folder.write(
        chains.settings.folder("evidence") / evidence,
        folder.About(
            store="k-tverskaya",
            zone="Europe/Moscow",
            product="set10",
            window_from=chains.clock(),
            window_to=chains.clock(),
            collected_at=chains.clock(),
            collected_by=ACTOR,
            recipe="set10",
        ),
        [Collected(host="k-tverskaya-server", role="server", register=None, files={"VERSION": b"10.4.2"})],
        b"k" * 32,
    )
    outcome = jobs(chains)["diagnosis.collect"](running(evidence, 2))

    assert (outcome["digest"], outcome["version"]) == (written.digest, "10.4.2")
    assert outcome["figures"] == {"hosts": 2, "files": 1, "bytes": 6}
    assert [path.name for path in Path(outcome["folder"]).parent.iterdir() if path.name != ".objects"] == [
        evidence
    ]


def test_without_a_key_of_ours_nobody_is_asked(chains: Garant, case: str) -> None:
    """One clear error for the whole job."""
    with pytest.raises(IdentityError, match="does not exist"):
        jobs(chains)["diagnosis.collect"](running(requested(chains, case), 1))


def classified(app: Garant, case: str, *, defect: bool = True) -> None:
    with app.unit("person:boris") as unit:
        intake.classify(unit, case, ["register_data_discrepancy"], software_defect=defect)


def all_evidence(app: Garant) -> list[EvidenceRow]:
    with app.database.reading() as session:
        return list(session.query(EvidenceRow).order_by(EvidenceRow.id))


def test_a_software_defect_is_diagnosed_unasked(chains: Garant, case: str) -> None:
    """Classification begins the collection, once; who asks for one meanwhile joins it."""
    classified(chains, case)
    classified(chains, case)

    assert [(row.case_id, row.requested_by) for row in all_evidence(chains)] == [(case, "person:boris")]
    assert requested(chains, case) == "E-000001"


def test_what_is_no_software_defect_is_not_diagnosed_unasked(chains: Garant, case: str) -> None:
    """The store is left alone until somebody asks."""
    classified(chains, case, defect=False)

    assert all_evidence(chains) == []


def test_what_cannot_be_diagnosed_is_classified_all_the_same(chains: Garant, case: str) -> None:
    """No store, or evidence that is there already: nothing is started, nothing is refused."""
    settled(chains, requested(chains, case), OUTCOME)
    homeless = opened(chains, None)
    classified(chains, case)
    classified(chains, homeless)

    assert [row.id for row in all_evidence(chains)] == ["E-000001"]
    with chains.database.reading() as session:
        assert intake.case(session, homeless).state == "classified"
        assert session.query(EventRow).filter_by(kind="evidence", type="requested").count() == 1
