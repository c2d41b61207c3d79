"""From the record of a defect to the last store that runs the fix, on virtual time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.application import Garant
from pipeline.database.base import EventRow
from pipeline.defects import queries, service
from pipeline.defects.tables import DefectRow
from pipeline.engine.tables import JobRow
from pipeline.errors import NotFoundError, RefusedError
from pipeline.fleet import service as fleet
from pipeline.intake import service as intake
from pipeline.intake.tables import CaseRow
from pipeline.notices import service as notices
from pipeline.promises import service as promises
from pipeline.trackers.jobs import open_tracker
from pipeline.trackers.tables import TrackerCommentRow, TrackerIssueRow

SIGNATURE = "receipt-total"


def open_case(app: Garant, client: str = "kupets", store: str = "k-tverskaya") -> str:
    with app.unit("person:test") as unit:
        case = intake.open_case(
            unit,
            client_id=client,
            store_id=store,
            channel="phone",
            received_at=unit.now,
            subject="Чек не сходится",
            text="После скидки чек не сходится",
        )
        intake.classify(unit, case.id, ["register_typical_ops"], software_defect=True)
        return case.id


def record(app: Garant, case: str | None, **more: Any) -> tuple[DefectRow, bool]:
    with app.unit("person:test") as unit:
        return service.record(
            unit,
            product="set10",
            signature=SIGNATURE,
            title="receipt does not add up after a discount",
            verdict="reproduced",
            case_id=case,
            **{"version": "10.4.2"} | more,
        )


def update(app: Garant, store: str, version: str) -> list[str]:
    """What a rollout does at the end of a store."""
    with app.unit("worker:rollout") as unit:
        for host in fleet.hosts_of_store(unit.session, store):
            fleet.record_version(unit, host.id, version, unit.now)
        return service.store_verified(unit, store, version)


def mark_fixed(app: Garant, version: str = "10.4.3") -> None:
    with app.unit("worker:bench") as unit:
        service.mark_fixed(unit, "D-000001", version)


def stored(app: Garant, defect: str = "D-000001") -> DefectRow:
    with app.database.reading() as session:
        return queries.defect(session, defect)


def told(app: Garant, client: str = "kupets") -> list[str]:
    with app.database.reading() as session:
        kinds = [row.kind for row in notices.notices(session, client_id=client)]
    return [kind for kind in kinds if not kind.startswith("case_")]


def events(app: Garant, kind: str, thing: str) -> list[str]:
    with app.database.reading() as session:
        chosen = select(EventRow.type).where(EventRow.kind == kind, EventRow.thing_id == thing)
        return list(session.scalars(chosen.order_by(EventRow.id)))


def test_record(chains: Garant) -> None:
    """A new signature is a new defect: the case is tied, the client told, the promise runs."""
    case = open_case(chains)
    row, joined = record(chains, case, rate=0.4, interval=(0.2, 0.6), first_bad_release="10.4.1")

    assert (row.id, row.state, joined) == ("D-000001", "recorded", False)
    assert row.interval == [0.2, 0.6]
    assert told(chains) == ["defect_recorded"]
    with chains.database.reading() as session:
        assert session.get_one(CaseRow, case).defect_id == row.id
        promise = promises.promises(session)[0]
    assert (promise.id, promise.state) == ("D-000001/kupets/1", "running")


def test_the_three_days_run_from_the_classification(chains: Garant, clock: Any) -> None:
    """A bench that needs a day takes it out of the client's three days (DESIGN section 8)."""
    classified = clock.now
    case = open_case(chains)
    clock.advance(timedelta(hours=20))
    record(chains, case)

    with chains.database.reading() as session:
        assert promises.promises(session)[0].due == classified + timedelta(hours=72)


def test_equal_signatures_join(chains: Garant) -> None:
    """A second case joins the defect: one defect, one promise a client, and what was missing is filled in."""
    record(chains, open_case(chains))
    row, joined = record(chains, open_case(chains), first_bad_release="10.4.1")
    record(chains, open_case(chains, "norden", "n-main"))

    assert (row.id, joined, row.first_bad_release) == ("D-000001", True, "10.4.1")
    with chains.database.reading() as session:
        assert len(queries.cases_of(session, row.id)) == 3
        assert len(queries.cases_of(session, row.id, "kupets")) == 2
        assert {p.client_id for p in promises.promises(session)} == {"kupets", "norden"}
    assert told(chains) == ["defect_recorded"]
    assert told(chains, "norden") == ["defect_recorded"]


def test_findings_are_not_overwritten(chains: Garant) -> None:
    """What is known of a defect, its bundle above all, stays when it is seen again."""
    record(chains, None, bundle="/first", first_bad_commit="abc")
    row, _ = record(chains, None, bundle="/second", first_bad_commit="def")

    assert (row.bundle, row.first_bad_commit) == ("/first", "abc")


def test_another_signature_or_product_is_another_defect(chains: Garant) -> None:
    """Numbers count up; nothing is joined that is not the same."""
    record(chains, None)
    with chains.unit("person:test") as unit:
        common: dict[str, Any] = {"title": "t", "verdict": "reproduced", "version": "1"}
        other, _ = service.record(unit, product="set10", signature="z-report", **common)
        third, _ = service.record(unit, product="other", signature=SIGNATURE, **common)

    assert [other.id, third.id] == ["D-000002", "D-000003"]


def test_linking_twice_changes_nothing(chains: Garant) -> None:
    """A repeated link tells nobody and promises nothing anew."""
    case = open_case(chains)
    record(chains, case)
    before = events(chains, "defect", "D-000001")
    with chains.unit("person:test") as unit:
        service.link_case(unit, "D-000001", case)

    assert before == events(chains, "defect", "D-000001")


def test_fixed_then_verified_store_by_store(chains: Garant, run: Callable[..., None]) -> None:
    """A client's defect and cases close with its last store on the fix, not before; it is told once."""
    case = open_case(chains)
    record(chains, case)
    mark_fixed(chains)
    mark_fixed(chains)
    assert update(chains, "k-tverskaya", "10.4.3") == []
    assert stored(chains).state == "fixed"

    assert update(chains, "k-leninskaya", "10.4.3") == ["D-000001"]
    assert update(chains, "k-leninskaya", "10.4.3") == []
    run()

    assert stored(chains).state == "closed"
    assert sorted(told(chains)) == ["defect_recorded", "fix_released", "fixed_in_your_stores"]
    with chains.database.reading() as session:
        assert session.get_one(CaseRow, case).state == "closed"
        assert [p.state for p in promises.promises(session)] == ["closed"]
        assert {n.state for n in notices.notices(session)} == {"accepted"}
        assert not notices.notices(session, kind="case_closed")


def test_another_client_keeps_the_defect_open(chains: Garant) -> None:
    """Each client's part closes by itself; the defect closes with the last one."""
    record(chains, open_case(chains))
    record(chains, open_case(chains, "norden", "n-main"))
    mark_fixed(chains)

    assert update(chains, "n-main", "10.5.0") == ["D-000001"]
    assert stored(chains).state == "fixed"
    assert "fixed_in_your_stores" in told(chains, "norden")
    assert "fixed_in_your_stores" not in told(chains)


def test_stores_older_than_the_defect_do_not_hold_it_open(chains: Garant) -> None:
    """A store that never had the fault needs no fix, and is not said to be updated."""
    update(chains, "k-leninskaya", "10.3.0")
    record(chains, open_case(chains), first_bad_release="10.4.1")
    mark_fixed(chains)

    assert update(chains, "k-tverskaya", "10.4.3") == ["D-000001"]
    with chains.database.reading() as session:
        assert notices.notices(session, kind="fixed_in_your_stores")[0].params["stores"] == 1


def test_verified_before_fixed_closes_nothing(chains: Garant) -> None:
    """Without a version that passed the two-sided rule there is nothing to close on."""
    record(chains, open_case(chains))

    assert update(chains, "k-tverskaya", "99.0") == []


def test_a_signature_that_comes_back_reopens(chains: Garant, run: Callable[..., None]) -> None:
    """The fix did not hold: the date is void, every client gets a new promise and is told anew."""
    case = open_case(chains)
    record(chains, case)
    with chains.unit("person:dev") as unit:
        promises.set_eta(unit, "D-000001", (unit.now + timedelta(days=9)).date(), "planned")
    mark_fixed(chains)
    update(chains, "k-tverskaya", "10.4.3")
    update(chains, "k-leninskaya", "10.4.3")
    run()
    row, joined = record(chains, open_case(chains), version="10.4.3")

    assert (row.state, row.fixed_in, joined) == ("reopened", None, True)
    assert told(chains).count("defect_recorded") == 2
    with chains.database.reading() as session:
        assert promises.current_eta(session, row.id) is None
        states = {p.id: p.state for p in promises.promises(session)}
    assert states == {"D-000001/kupets/1": "closed", "D-000001/kupets/2": "running"}


def test_a_closed_defect_seen_below_its_fix_did_not_come_back(chains: Garant) -> None:
    """A new client on the old version gets its own promise; nobody else hears of it."""
    record(chains, open_case(chains))
    mark_fixed(chains)
    update(chains, "k-tverskaya", "10.4.3")
    update(chains, "k-leninskaya", "10.4.3")
    row, _ = record(chains, open_case(chains, "norden", "n-main"))

    assert (row.state, row.fixed_in) == ("fixed", "10.4.3")
    assert told(chains).count("defect_recorded") == 1
    assert told(chains, "norden") == ["defect_recorded"]
    assert update(chains, "n-main", "10.4.3") == ["D-000001"]
    assert stored(chains).state == "closed"


def test_mark_fixed_keeps_the_earliest_version(chains: Garant) -> None:
    """A later version that passes too does not move the fix; an earlier one does; a closed one is refused."""
    record(chains, open_case(chains))
    mark_fixed(chains, "10.4.4")
    mark_fixed(chains, "10.5.0")
    assert stored(chains).fixed_in == "10.4.4"
    mark_fixed(chains, "10.4.3")
    assert stored(chains).fixed_in == "10.4.3"
    update(chains, "k-tverskaya", "10.5.0")
    update(chains, "k-leninskaya", "10.5.0")
    with pytest.raises(RefusedError, match="is closed"):
        mark_fixed(chains)
    with pytest.raises(NotFoundError), chains.unit("person:test") as unit:
        service.mark_fixed(unit, "D-000009", "1")


def bundle(tmp_path: Path) -> str:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "case.json").write_text("{}")
    return str(folder)


def test_file(chains: Garant, run: Callable[..., None], tmp_path: Path) -> None:
    """One issue with the bundle attached, however often it is asked for; later cases are told there."""
    record(chains, open_case(chains), bundle=bundle(tmp_path))
    for _ in range(2):
        with chains.unit("person:test") as unit:
            service.file(unit, "D-000001")
        run()
    record(chains, open_case(chains))
    mark_fixed(chains)
    run()

    row = stored(chains)
    assert (row.tracker, row.tracker_key) == ("local", "SET-1")
    issue = open_tracker(chains).state("SET-1")
    assert [file.name for file in issue.attachments] == ["D-000001.tar.gz"]
    with chains.database.reading() as session:
        assert len(session.scalars(select(TrackerIssueRow)).all()) == 1
        markers = [row.marker for row in session.scalars(select(TrackerCommentRow))]
    assert len(markers) == len(set(markers)) == 3
    assert "D-000001:fixed:10.4.3" in markers


def test_file_without_a_bundle_is_refused(chains: Garant) -> None:
    """Development gets nothing that it cannot replay."""
    record(chains, None)
    with pytest.raises(RefusedError, match="garant reproduce CASE"), chains.unit("person:test") as unit:
        service.file(unit, "D-000001")


def test_a_bundle_that_is_gone_fails_with_the_next_action(
    chains: Garant, run: Callable[..., None], tmp_path: Path
) -> None:
    """The filing fails by name, and a person may ask again once the bundle is back."""
    record(chains, open_case(chains), bundle=str(tmp_path / "bundle"))
    with chains.unit("person:test") as unit:
        service.file(unit, "D-000001")
    run(timedelta(hours=1))
    assert events(chains, "defect", "D-000001")[-1] == "filing_failed"
    with chains.database.reading() as session:
        assert "garant reproduce" in str(session.get_one(JobRow, "tracker.file:D-000001").error)

    bundle(tmp_path)
    with chains.unit("person:test") as unit:
        service.file(unit, "D-000001")
    run()

    assert stored(chains).state == "filed"
