"""Promises on virtual time: warned of, kept, broken, and each client told once per change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.application import Garant
from pipeline.clocks.service import case_clocks
from pipeline.database.base import EventRow
from pipeline.defects import service as defects
from pipeline.errors import NotFoundError, RefusedError
from pipeline.fleet.tables import ClientRow
from pipeline.intake import service as intake
from pipeline.intake.tables import CaseRow
from pipeline.notices import service as notices
from pipeline.notices.rules import Delivery
from pipeline.notices.tables import NoticeRow
from pipeline.promises import service
from pipeline.promises.tables import PromiseRow
from pipeline.settings import PromiseSettings

DEFECT = "D-000001"
HOUR = timedelta(hours=1)


@pytest.fixture
def promised(chains: Garant) -> Garant:
    """A defect with one case of each client; both promises run from now."""
    for client, store in (("kupets", "k-tverskaya"), ("norden", "n-main")):
        with chains.unit("person:test") as unit:
            case = intake.open_case(
                unit,
                client_id=client,
                store_id=store,
                channel="phone",
                received_at=unit.now,
                subject="Чек не сходится",
                text="текст",
            )
            intake.classify(unit, case.id, ["register_typical_ops"], software_defect=True)
            defects.record(
                unit,
                product="set10",
                signature="receipt-total",
                title="receipt does not add up",
                verdict="reproduced",
                version="10.4.2",
                case_id=case.id,
            )
    return chains


def set_eta(app: Garant, day: date, reason: str = "planned") -> None:
    with app.unit("person:dev") as unit:
        service.set_eta(unit, DEFECT, day, reason)


def promise(app: Garant, client: str = "kupets") -> PromiseRow:
    with app.database.reading() as session:
        return session.get_one(PromiseRow, f"{DEFECT}/{client}/1")


def sent(app: Garant, *kinds: str, client: str | None = "kupets") -> list[NoticeRow]:
    with app.database.reading() as session:
        return [
            row
            for row in notices.notices(session)
            if row.client_id == client and (not kinds or row.kind in kinds)
        ]


def fail(app: Garant, row: NoticeRow) -> None:
    """The client's server refuses it."""
    with app.unit("worker:mail") as unit:
        refusal = Delivery(accepted=False, code=550, text="no such user", permanent=True)
        notices.note_attempt(unit, row.id, refusal)


def test_the_first_date_tells_every_client_once(promised: Garant, run: Callable[..., None]) -> None:
    """One notice a client in its language; the promise is kept when the channel has accepted it."""
    set_eta(promised, date(2026, 3, 24))
    assert promise(promised).state == "running"
    set_eta(promised, date(2026, 3, 24), "said again")
    run()

    assert [row.subject for row in sent(promised, "eta")] == [
        "G-000001: ошибка D-000001 будет исправлена 24 марта 2026 года"
    ]
    assert [row.language for row in sent(promised, "eta", client="norden")] == ["en"]
    assert promise(promised).state == "met"
    assert promise(promised).told_at == sent(promised, "eta")[0].accepted_at


def test_each_change_is_told_once_with_its_reason(promised: Garant, run: Callable[..., None]) -> None:
    """Another date says the date before and why; back and forth are changes too."""
    for day in (24, 27, 24):
        set_eta(promised, date(2026, 3, day), f"reason {day}")
        run(HOUR)

    told = [
        (row.kind, row.params["eta"], row.params.get("previous"))
        for row in sent(promised, "eta", "eta_changed")
    ]
    assert told == [
        ("eta", "2026-03-24", None),
        ("eta_changed", "2026-03-27", "2026-03-24"),
        ("eta_changed", "2026-03-24", "2026-03-27"),
    ]
    assert "Причина: reason 27" in (sent(promised, "eta_changed")[0].text or "")
    with promised.database.reading() as session:
        assert [row.revision for row in service.etas(session, DEFECT)] == [1, 2, 3]


def test_two_changes_before_the_first_mail_went_out(promised: Garant, run: Callable[..., None]) -> None:
    """One notice, of the last date: what was not told is not corrected either."""
    for day in (24, 27, 30):
        set_eta(promised, date(2026, 3, day))
    run()

    told = [(row.kind, row.params["eta"], row.state) for row in sent(promised, "eta", "eta_changed")]
    assert sorted(told) == [
        ("eta", "2026-03-24", "superseded"),
        ("eta", "2026-03-27", "superseded"),
        ("eta", "2026-03-30", "accepted"),
    ]
    assert promise(promised).state == "met"


def test_a_change_back_to_the_date_told_tells_nothing(promised: Garant, run: Callable[..., None]) -> None:
    """The queued change is withdrawn; a person who sends it again is refused."""
    set_eta(promised, date(2026, 3, 24))
    run()
    set_eta(promised, date(2026, 3, 27))
    set_eta(promised, date(2026, 3, 24))
    run()

    (changed,) = sent(promised, "eta_changed")
    assert (changed.state, changed.sent_at) == ("superseded", None)
    assert promise(promised).eta == date(2026, 3, 24)
    with pytest.raises(RefusedError, match="superseded"), promised.unit("person:test") as unit:
        notices.resend(unit, changed.id)


def test_a_notice_that_is_being_sent_is_not_withdrawn(promised: Garant, run: Callable[..., None]) -> None:
    """Nobody can call it back: the client will know it, so the next date is a change of it."""
    set_eta(promised, date(2026, 3, 24))
    with promised.unit("worker:mail") as unit:
        unit.get(NoticeRow, sent(promised, "eta")[0].id).state = "sent"
    set_eta(promised, date(2026, 3, 27))
    run()

    told = [(row.kind, row.params["eta"], row.state) for row in sent(promised, "eta", "eta_changed")]
    assert sorted(told) == [("eta", "2026-03-24", "accepted"), ("eta_changed", "2026-03-27", "accepted")]


def test_a_failed_notice_keeps_no_promise(promised: Garant, run: Callable[..., None], clock: Any) -> None:
    """Refused by the client's server it told nothing: the promise runs, and a new date is a first one."""
    set_eta(promised, date(2026, 3, 24))
    fail(promised, sent(promised, "eta")[0])
    run(HOUR)
    assert promise(promised).state == "running"
    assert promise(promised, "norden").state == "met"

    set_eta(promised, date(2026, 3, 27))
    run()

    assert [row.kind for row in sent(promised, "eta", "eta_changed")] == ["eta", "eta"]
    assert [row.kind for row in sent(promised, "eta", "eta_changed", client="norden")] == [
        "eta",
        "eta_changed",
    ]
    assert promise(promised).state == "met"
    assert promise(promised).told_at == clock.now


def test_resending_a_failed_notice_keeps_the_promise(promised: Garant, run: Callable[..., None]) -> None:
    """A person mends the address and sends again: that is the first notice."""
    set_eta(promised, date(2026, 3, 24))
    fail(promised, sent(promised, "eta")[0])
    run(HOUR)
    with promised.unit("person:test") as unit:
        notices.resend(unit, sent(promised, "eta")[0].id)
    run()

    assert promise(promised).state == "met"


def test_warnings_then_the_breach_and_an_honest_word(promised: Garant, run: Callable[..., None]) -> None:
    """50, 75 and 90 % go to the service manager; at the end the client is told that there is no date."""
    run(timedelta(hours=80))

    internal = [row for row in sent(promised, client=None) if f"{DEFECT}/kupets" in row.key]
    assert [(row.kind, row.params.get("percent")) for row in internal] == [
        ("promise_warning", 50),
        ("promise_warning", 75),
        ("promise_warning", 90),
        ("promise_breach", None),
    ]
    assert {row.address for row in internal} == {"manager-kupets@support.invalid"}
    assert len(sent(promised, "holding")) == 1
    row = promise(promised)
    assert (row.state, row.breached_at, row.warned) == ("breached", row.due, 90)
    assert row.held_at == row.due + timedelta(seconds=1)


def test_development_is_warned_too(promised: Garant, run: Callable[..., None]) -> None:
    """Each warning has a copy for development's owner, one only when it is the service manager."""
    owner = "manager-norden@support.invalid"
    settings = PromiseSettings(owner_email=owner)
    promised.settings = promised.settings.model_copy(update={"promises": settings})
    run(timedelta(hours=80))

    warned = [(row.params["percent"], row.address) for row in sent(promised, "promise_warning", client=None)]
    both = ["manager-kupets@support.invalid", owner, owner]
    assert sorted(warned) == [(percent, to) for percent in (50, 75, 90) for to in both]


def test_a_date_after_the_breach_is_told_and_the_breach_stays(
    promised: Garant, run: Callable[..., None], clock: Any
) -> None:
    """Late is late; the client still gets its date."""
    run(timedelta(hours=80))
    set_eta(promised, date(2026, 3, 24))
    run()

    row = promise(promised)
    assert (row.state, row.told_at) == ("breached", clock.now)
    assert len(sent(promised, "eta")) == 1


def test_after_an_outage_only_the_highest_warning(
    promised: Garant, run: Callable[..., None], clock: Any
) -> None:
    """Nobody is flooded with warnings that are history."""
    clock.advance(timedelta(hours=70))
    run()

    warnings = [row for row in sent(promised, "promise_warning", client=None) if "kupets" in row.key]
    assert [row.params["percent"] for row in warnings] == [90]


def test_kept_promises_are_not_warned_of(promised: Garant, run: Callable[..., None]) -> None:
    """Once told, the clock is still."""
    set_eta(promised, date(2026, 3, 24))
    run(timedelta(hours=100))

    assert not sent(promised, "promise_warning", "promise_breach", client=None)
    assert not sent(promised, "holding")


def test_a_client_that_joins_later_is_told_the_known_date(promised: Garant, run: Callable[..., None]) -> None:
    """Its own clock runs from its own link, and what is known is told at once."""
    set_eta(promised, date(2026, 3, 24))
    run(timedelta(days=5))
    with promised.unit("person:test") as unit:
        kupets = unit.get(ClientRow, "kupets")
        columns = {c.name: getattr(kupets, c.name) for c in ClientRow.__table__.columns}
        unit.session.add(ClientRow(**columns | {"id": "third", "name": "Third"}))
        unit.session.flush()
        case = intake.open_case(
            unit,
            client_id="third",
            store_id=None,
            channel="phone",
            received_at=unit.now,
            subject="s",
            text="t",
        )
        defects.link_case(unit, DEFECT, case.id)
        opened = unit.now
    run()

    with promised.database.reading() as session:
        row = session.get_one(PromiseRow, f"{DEFECT}/third/1")
    assert (row.started_at, row.state) == (opened, "met")
    assert [n.kind for n in sent(promised, client="third") if n.about_kind == "promise"] == ["eta"]


def test_the_case_clock_replays_to_the_same_end(
    promised: Garant, run: Callable[..., None], clock: Any
) -> None:
    """The clock of sla-cases.json, replayed from the case's events, is met at the instant of the promise."""
    run(5 * HOUR)
    set_eta(promised, date(2026, 3, 24))
    run()

    with promised.database.reading() as session:
        case = session.get_one(CaseRow, "G-000001")
        clocks = {c.kind: c for c in case_clocks(session, case, clock.now).clocks}
    shown = clocks["eta_notice"]
    assert (shown.state, shown.due) == ("met", promise(promised).due)


def test_refusals(promised: Garant, clock: Any) -> None:
    """A date that has passed, no reason, no defect: refused with the next action, nothing told."""
    with pytest.raises(RefusedError, match="has passed"):
        set_eta(promised, date(2026, 3, 11))
    with pytest.raises(RefusedError, match="--reason"):
        set_eta(promised, date(2026, 3, 24), "  ")
    with pytest.raises(NotFoundError, match="D-000009"), promised.unit("person:test") as unit:
        service.set_eta(unit, "D-000009", date(2026, 3, 24), "x")
    assert not sent(promised, "eta")


def test_a_promise_is_given_once(promised: Garant) -> None:
    """Opened again it is the same promise with the same term."""
    with promised.unit("person:test") as unit:
        later = unit.now + timedelta(days=1)
        again = service.open_promise(unit, DEFECT, "kupets", later)
        assert again.started_at < later

    with promised.database.reading() as session:
        opened = select(EventRow).where(EventRow.kind == "promise", EventRow.type == "opened")
        assert len(session.scalars(opened).all()) == 2


def test_a_tick_may_be_repeated(promised: Garant, run: Callable[..., None]) -> None:
    """Woken any number of times with nothing changed, nothing more is told or recorded."""
    run(timedelta(hours=80))

    def events() -> int:
        with promised.database.reading() as session:
            return len(session.scalars(select(EventRow)).all())

    before = events()
    for _ in range(3):
        with promised.unit("person:test") as unit:
            unit.wake(service.KIND, f"{DEFECT}/kupets/1")
        run()

    assert before == events()


def test_accepted_in_time_but_heard_of_late(promised: Garant, run: Callable[..., None], clock: Any) -> None:
    """The worker died after the server's 250 and before our tick: the breach is taken back."""
    set_eta(promised, date(2026, 3, 24))
    accepted: datetime = clock.now
    clock.advance(timedelta(hours=80))
    with promised.unit("person:test") as unit:
        row = unit.get(PromiseRow, f"{DEFECT}/kupets/1")
        row.state, row.breached_at = "breached", row.due
        notice = unit.get(NoticeRow, sent(promised, "eta")[0].id)
        notice.state, notice.accepted_at = "accepted", accepted
        unit.wake(service.KIND, row.id)
    run()

    assert (promise(promised).state, promise(promised).breached_at) == ("met", None)


def test_a_bounce_after_acceptance_takes_it_back(promised: Garant, run: Callable[..., None]) -> None:
    """The server said 250 and returned it later: the promise runs again, also on the case's clock."""
    set_eta(promised, date(2026, 3, 24))
    run()
    assert promise(promised).state == "met"
    with promised.unit("worker:mail") as unit:
        row = unit.get(NoticeRow, sent(promised, "eta")[0].id)
        notices.settle(unit, row, "bounced", reason="550 5.1.1")
    run()

    assert (promise(promised).state, promise(promised).told_at) == ("running", None)


def test_a_due_date_in_the_tracker_is_the_date(promised: Garant, run: Callable[..., None]) -> None:
    """Told to the clients at once, once; one that has passed is kept as refused and told to nobody."""
    for day in (date(2026, 3, 24), date(2026, 3, 24), date(2026, 3, 1)):
        with promised.unit("worker:tracker") as unit:
            service.eta_from_tracker(unit, DEFECT, day, issue="SET-1")
    run()

    assert [row.params["eta"] for row in sent(promised, "eta", "eta_changed")] == ["2026-03-24"]
    with promised.database.reading() as session:
        assert [(row.set_by, row.reason) for row in service.etas(session, DEFECT)] == [
            ("tracker", "due date of SET-1")
        ]
        refused = session.scalars(select(EventRow).where(EventRow.type == "eta_refused")).all()
    assert [row.payload["eta"] for row in refused] == ["2026-03-01"]
