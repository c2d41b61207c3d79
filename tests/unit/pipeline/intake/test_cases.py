"""A case's life through the services."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from pipeline.application import Garant
from pipeline.clocks.service import case_clocks
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import GarantError, NotFoundError, RefusedError
from pipeline.fleet.tables import ClientRow, StoreRow
from pipeline.intake import progress, rules, service
from pipeline.intake.tables import CaseRow
from pipeline.notices.tables import NoticeRow


@pytest.fixture(autouse=True)
def fleet(app: Garant) -> None:
    """Two clients with a store each: one by contract, one too small."""
    with app.unit("test") as unit:
        at = {"created_at": unit.now, "updated_at": unit.now}
        for name, tariff in (("kupets", "contract"), ("baltmart", "standard")):
            unit.session.add(
                ClientRow(
                    id=name,
                    name=name,
                    language="ru",
                    zone="Europe/Moscow",
                    tariff=tariff,
                    contacts=[],
                    state="active",
                    **at,
                )
            )
            unit.session.flush()
            unit.session.add(
                StoreRow(
                    id=f"{name}-1",
                    client_id=name,
                    name=name,
                    zone="Asia/Omsk",
                    windows=[],
                    trading_hours=[],
                    tags=[],
                    state="active",
                    **at,
                )
            )


def opened(app: Garant, **changes: Any) -> CaseRow:
    with app.unit("person:anna") as unit:
        request = {
            "client_id": "kupets",
            "store_id": "kupets-1",
            "channel": "phone",
            "received_at": unit.now,
            "subject": "Касса",
            "text": "не работает",
        }
        return service.open_case(unit, **{**request, **changes})


def act(
    app: Garant, action: Callable[..., CaseRow], *args: Any, by: str = "person:anna", **named: Any
) -> CaseRow:
    with app.unit(by) as unit:
        return action(unit, *args, **named)


def types(app: Garant, case_id: str) -> list[str]:
    with app.database.reading() as session:
        return [event.type for event in service.events(session, case_id)]


def test_numbers_run_on(app: Garant) -> None:
    """Cases are numbered without gaps, also after a refused one."""
    first = opened(app)
    with pytest.raises(NotFoundError):
        opened(app, client_id="nobody")

    assert (first.number, opened(app).number) == ("G-000001", "G-000002")


def test_same_message_is_one_case(app: Garant, clock: Any) -> None:
    """A mail that is delivered again makes no second case, and the first arrival counts."""
    first = opened(app, channel="email", source_key="<a@client>")
    came = clock.now
    clock.advance(timedelta(minutes=7))
    again = opened(app, channel="email", source_key="<a@client>")

    assert again.id == first.id
    assert again.received_at == came
    with app.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(CaseRow)) == 1
        assert session.scalar(select(func.count()).select_from(NoticeRow)) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"client_id": "kupet"}, "Did you mean kupets"),
        ({"store_id": "kupets-2"}, "Did you mean kupets-1"),
        ({"store_id": "baltmart-1"}, "has no store 'baltmart-1'"),
        ({"channel": "pigeon"}, "phone, email, web, monitoring"),
        ({"subject": " ", "text": "\n"}, "neither subject nor text"),
        ({"text": "x" * (rules.MAX_TEXT + 1)}, "more than"),
        ({"received_at": datetime(2030, 1, 1, tzinfo=UTC)}, "in the future"),
        ({"received_at": datetime(2026, 1, 1)}, "without a zone"),  # noqa: DTZ001 - what is refused
    ],
)
def test_wrong_request_leaves_nothing(app: Garant, changes: dict[str, Any], says: str) -> None:
    """Each is refused with what to do, and neither case nor notice exists."""
    with pytest.raises(GarantError, match=says):
        opened(app, **changes)

    with app.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(CaseRow)) == 0
        assert session.scalar(select(func.count()).select_from(NoticeRow)) == 0


def test_subject_is_one_line(app: Garant) -> None:
    """A line break in a subject cannot become a header of our answer."""
    assert opened(app, subject="Касса\r\nBcc: x@y.z").subject == "Касса Bcc: x@y.z"


def test_small_client_is_helped_without_clocks(app: Garant) -> None:
    """A client below 100 registers gets its case, and no clock runs."""
    row = opened(app, client_id="baltmart", store_id="baltmart-1")

    assert row.eligible is False
    with app.database.reading() as session:
        assert {c.state for c in case_clocks(session, row, app.clock()).clocks} == {"absent"}


def test_way_to_the_end(app: Garant, clock: Any) -> None:
    """Registered, classified, restored, reopened, restored, closed: the events tell it."""
    number = opened(app).id
    act(app, service.classify, number, ["loyalty"])
    clock.advance(timedelta(hours=1))
    act(app, service.restore, number)
    clock.advance(timedelta(hours=23))
    act(app, service.reopen, number)
    act(app, service.restore, number)
    row = act(app, service.close, number, "исправлено")

    assert row.state == "closed"
    assert types(app, number) == [
        "received",
        "registered",
        "classified",
        "restored",
        "reopened",
        "restored",
        "closed",
    ]
    with app.database.reading() as session:
        restore = case_clocks(session, row, clock.now).clock("restore")
        kinds = session.scalars(select(NoticeRow.kind).order_by(NoticeRow.kind)).all()
    assert (restore.state, restore.elapsed) == ("met", timedelta(hours=1))
    assert kinds == ["case_classified", "case_closed", "case_registered"]


def test_what_a_state_forbids(app: Garant, clock: Any) -> None:
    """Each refusal names the state and the way out."""
    number = opened(app).id
    with pytest.raises(RefusedError, match="is registered, so it cannot be reopened"):
        act(app, service.reopen, number)
    act(app, service.restore, number)
    with pytest.raises(RefusedError, match="garant case reopen"):
        act(app, service.restore, number)
    clock.advance(timedelta(hours=24, seconds=1))
    with pytest.raises(RefusedError, match="open a new case"):
        act(app, service.reopen, number)
    act(app, service.close, number, "готово")
    with pytest.raises(RefusedError, match="is closed"):
        act(app, service.classify, number, ["loyalty"])
    with pytest.raises(NotFoundError, match="G-000001"):
        act(app, service.close, "G-000007", "x")


def test_restoration_is_neither_before_nor_to_come(app: Garant, clock: Any) -> None:
    """A wrong time is refused, it would move a clock."""
    number = opened(app).id
    for wrong in (clock.now - timedelta(hours=1), clock.now + timedelta(hours=1)):
        with pytest.raises(RefusedError, match="correct the time"):
            act(app, service.restore, number, at=wrong)


def test_unknown_class(app: Garant) -> None:
    """A class that the tariff does not know is refused with the near one."""
    number = opened(app).id
    with pytest.raises(NotFoundError, match="Did you mean loyalty"):
        act(app, service.classify, number, ["loyalti"])
    with pytest.raises(RefusedError, match="no class given"):
        act(app, service.classify, number, [])


def test_own_approval_does_not_count(app: Garant) -> None:
    """Nobody approves the own downgrade."""
    number = opened(app).id
    with pytest.raises(RefusedError, match="second person"):
        act(app, service.classify, number, ["loyalty"], approved_by="anna")


def test_software_defect_starts_the_promise_once(app: Garant, clock: Any) -> None:
    """The 3 days run from the classification; neither saying it again nor the later link moves them."""
    number = opened(app).id
    since = clock.now
    act(app, service.classify, number, ["loyalty"], software_defect=True)
    with app.database.reading() as session:
        assert [row.id for row in service.awaiting_diagnosis(session)] == [number]
    clock.advance(timedelta(hours=5))
    act(app, service.classify, number, ["loyalty"], software_defect=True)
    act(app, service.link_defect, number, "D-000001", recorded=False)
    row = act(app, service.link_defect, number, "D-000001", recorded=False)

    assert row.software_defect_at == since
    assert types(app, number).count("defect_recorded") == 1
    assert types(app, number).count("defect_linked") == 1
    with app.database.reading() as session:
        assert case_clocks(session, row, clock.now).clock("eta_notice").start == since
        assert service.awaiting_diagnosis(session) == []
    with pytest.raises(RefusedError, match="tied to D-000001"):
        act(app, service.link_defect, number, "D-000002", recorded=True)


def test_pause_and_term(app: Garant, clock: Any) -> None:
    """Only the reasons of the conventions pause; a term is agreed only where the tariff says so."""
    number = opened(app).id
    with pytest.raises(RefusedError, match="pauses no clock"):
        act(app, progress.pause, number, "waiting_development")
    until = clock.now + timedelta(days=2)
    with pytest.raises(RefusedError, match="register_data_discrepancy"):
        act(app, progress.agree_term, number, until)
    act(app, service.classify, number, ["register_data_discrepancy"])
    row = act(app, progress.agree_term, number, until)

    with app.database.reading() as session:
        assert case_clocks(session, row, clock.now).clock("agreed_term").due == until


def test_registers_down_make_it_critical(app: Garant) -> None:
    """Monitoring's report of more than half shortens the term to 2 hours."""
    number = opened(app).id
    row = act(app, progress.report_registers, number, total=4, down=3)

    with app.database.reading() as session:
        assert case_clocks(session, row, app.clock()).clock("restore").target == timedelta(hours=2)


def test_registered_notice_answers_the_mail(app: Garant) -> None:
    """Who asked gets the number, threaded to the request."""
    opened(app, channel="email", source_key="<a@client>", contact="shop@kupets.invalid")

    with app.database.reading() as session:
        notice = session.scalars(select(NoticeRow)).one()
    assert (notice.recipient, notice.in_reply_to) == ("shop@kupets.invalid", "<a@client>")


def test_failed_transaction_leaves_nothing(app: Garant) -> None:
    """Case, events and notice are one: when the caller fails afterwards none is there."""

    def fails_afterwards(unit: UnitOfWork) -> CaseRow:
        row = service.open_case(
            unit,
            client_id="kupets",
            store_id=None,
            channel="phone",
            received_at=unit.now,
            subject="x",
            text="y",
        )
        raise ZeroDivisionError(row.id)

    with pytest.raises(ZeroDivisionError, match="G-000001"):
        act(app, fails_afterwards)

    assert types(app, "G-000001") == []
