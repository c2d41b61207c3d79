"""``garant case``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.clocks.cli import time_span
from pipeline.clocks.document import instant
from pipeline.clocks.service import client_zone
from pipeline.clocks.tariff import GARANT
from pipeline.errors import GarantError
from pipeline.intake import progress, reading, rules, service
from pipeline.intake.tables import CaseRow


def _instant(value: str) -> datetime:
    try:
        return instant(value, "instant")
    except ValueError as error:
        raise click.BadParameter(str(error).removeprefix("`instant`: ")) from None


@click.group()
def case() -> None:
    """Clients' requests: register, classify, watch the clocks, restore, close.

    \b
    A day's work:
      garant case open --client kupets --store kupets-12 --channel phone \\
          --subject "Кассы не пробивают скидку" --text "С утра на всех кассах"
      garant case classify G-000001 register_typical_ops --software-defect
      garant case list
      garant case restore G-000001
      garant case close G-000001 --reason "Исправлено в 1.4.2"
    """


@case.command("open")
@click.option("--client", required=True, help="Client id (`garant fleet list`).")
@click.option("--store", help="Store id, when the request is about one store.")
@click.option("--channel", required=True, type=click.Choice(rules.CHANNELS), help="How it reached us.")
@click.option(
    "--received-at",
    type=_instant,
    help="When it reached us, with a zone: 2026-03-12T09:00:00+03:00.  [default: now]",
)
@click.option("--subject", default="", help="One line; the first words of the text when not given.")
@click.option("--text", help="What the client says; `-` reads it from stdin.")
@click.option("--text-file", type=click.Path(path_type=Path, dir_okay=False), help="A file with it (UTF-8).")
@click.option("--contact", help="Who asked: an e-mail address (answered) or a telephone number.")
@click.option("--source-key", help="Message-ID or another key: the same key twice is one case.")
@json_option
@click.pass_obj
def open_(
    home: Path,
    client: str,
    store: str | None,
    channel: str,
    received_at: datetime | None,
    subject: str,
    text: str | None,
    text_file: Path | None,
    contact: str | None,
    source_key: str | None,
    json_: bool,
) -> None:
    """Register a request; prints its number.

    \b
    Example:
      garant case open --client kupets --store kupets-12 --channel phone \\
          --received-at 2026-03-12T09:00:00+03:00 --text "Касса 3 не печатает чеки"
    """
    body = _text(text, text_file)
    with opened(home) as app, app.unit(actor()) as unit:
        row = service.open_case(
            unit,
            client_id=client,
            store_id=store,
            channel=channel,
            received_at=received_at or unit.now,
            subject=subject,
            text=body,
            contact=contact,
            source_key=source_key,
        )
        answer = reading.document(unit.session, row, unit.now)
    if json_:
        as_json(answer)
        return
    click.echo(row.id)
    if not row.eligible:
        click.echo(f"client {row.client_id} is not under the tariff: no clocks run for {row.id}", err=True)


@case.command("list")
@click.option("--client", help="Only this client's.")
@click.option("--store", help="Only this store's.")
@click.option(
    "--state",
    default="open",
    show_default=True,
    type=click.Choice(["open", "all", *rules.STATES]),
    help="Only those in this state; open: not yet closed.",
)
@json_option
@click.pass_obj
def list_(home: Path, client: str | None, store: str | None, state: str, json_: bool) -> None:
    """List cases; those with the least time left come first.

    \b
    Example:
      garant case list
      garant case list --client kupets --state all --json
    """
    with opened(home) as app, app.database.reading() as session:
        now = app.clock()
        answer = reading.by_time_left(
            session, now, client_id=client, store_id=store, state=None if state == "all" else state
        )
    if json_:
        as_json({"cases": answer})
        return
    if not answer:
        click.echo("no such cases")
        return
    table = Table("case", "client", "store", "state", "classes", "next clock", "left", "subject")
    for one in answer:
        breached = ", ".join(one["breached"])
        table.add_row(
            one["id"],
            one["client"],
            one["store"] or "-",
            one["state"],
            ", ".join(one["classes"]) or "-",
            one["next_clock"] or (f"breached: {breached}" if breached else "-"),
            time_span(one["remaining_s"]),
            Text(one["subject"]),  # a stranger wrote it: no markup
            style="bold red" if breached and one["state"] != "closed" else None,
        )
    _console().print(table)


@case.command()
@click.argument("case_id", metavar="CASE")
@json_option
@click.pass_obj
def show(home: Path, case_id: str, json_: bool) -> None:
    """Show a case: its clocks with the time left, and what happened.

    \b
    Example:
      garant case show G-000001
    """
    with opened(home) as app, app.database.reading() as session:
        row = service.case(session, case_id)
        answer = reading.with_events(session, row, app.clock())
        zone = client_zone(session, row)
    if json_:
        as_json(answer)
        return
    click.echo(f"{row.id}  {row.state}  client {row.client_id}, store {row.store_id or '-'}, {row.channel}")
    click.echo(f"{row.subject}")
    click.echo(f"classes: {', '.join(row.classes) or 'not classified yet'}; defect: {row.defect_id or '-'}")
    if not row.eligible:
        click.echo("not under the tariff: no clocks run")
    table = Table("clock", "state", f"due ({zone.key})", "left", "elapsed", "breached")
    for clock in answer["clocks"]:
        if clock["state"] != "absent":
            table.add_row(
                clock["clock"],
                clock["state"],
                clock.get("due_local") or "-",
                time_span(clock.get("remaining_s")),
                time_span(clock.get("elapsed_s")),
                clock.get("breached_at") or "-",
                style="bold red" if clock["state"] == "breached" else None,
            )
    _console().print(table)
    for event in answer["events"]:
        click.echo(f"{event['at']}  {event['type']}  {event['actor']}  {event['reason'] or ''}".rstrip())


@case.command()
@click.argument("case_id", metavar="CASE")
@click.argument("classes", nargs=-1, metavar="[CLASS]...")
@click.option("--software-defect", is_flag=True, help="It is a defect of SET: the ETA promise runs from now.")
@click.option("--approved-by", help="The second person who approves a longer term after a breach.")
@json_option
@click.pass_obj
def classify(
    home: Path,
    case_id: str,
    classes: tuple[str, ...],
    software_defect: bool,
    approved_by: str | None,
    json_: bool,
) -> None:
    """Say what kind of trouble it is: one or several classes, the shortest term counts.

    Classes: see the end of this page. Terms count from the registration, also after a reclassification.

    \b
    Example:
      garant case classify G-000001 loyalty
      garant case classify G-000001 register_typical_ops --software-defect
    """
    _change(
        home,
        json_,
        lambda unit: service.classify(
            unit, case_id, classes, software_defect=software_defect, approved_by=approved_by
        ),
    )


classify.epilog = "Classes: " + ", ".join(GARANT.classes)


@case.command()
@click.argument("case_id", metavar="CASE")
@click.option("--at", type=_instant, help="When it worked again, with a zone.  [default: now]")
@json_option
@click.pass_obj
def restore(home: Path, case_id: str, at: datetime | None, json_: bool) -> None:
    """The system works again: the restore clock stops.

    \b
    Example:
      garant case restore G-000001 --at 2026-03-12T11:40:00+03:00
    """
    _change(home, json_, lambda unit: service.restore(unit, case_id, at=at))


@case.command()
@click.argument("case_id", metavar="CASE")
@json_option
@click.pass_obj
def reopen(home: Path, case_id: str, json_: bool) -> None:
    """The trouble came back within 24 hours: the same clock goes on.

    \b
    Example:
      garant case reopen G-000001
    """
    _change(home, json_, lambda unit: service.reopen(unit, case_id))


@case.command()
@click.argument("case_id", metavar="CASE")
@click.option("--reason", required=True, help="Why, in the client's language: the client is told it.")
@json_option
@click.pass_obj
def close(home: Path, case_id: str, reason: str, json_: bool) -> None:
    """The case is over; the client is told.

    \b
    Example:
      garant case close G-000001 --reason "Исправлено в 1.4.2"
    """
    _change(home, json_, lambda unit: service.close(unit, case_id, reason))


@case.command()
@click.argument("case_id", metavar="CASE")
@click.option("--reason", required=True, help="waiting_client, third_party or agreed_window.")
@json_option
@click.pass_obj
def pause(home: Path, case_id: str, reason: str, json_: bool) -> None:
    """We can do nothing for a while: restore and consultation stand still.

    \b
    Example:
      garant case pause G-000001 --reason waiting_client
    """
    _change(home, json_, lambda unit: progress.pause(unit, case_id, reason))


@case.command()
@click.argument("case_id", metavar="CASE")
@json_option
@click.pass_obj
def resume(home: Path, case_id: str, json_: bool) -> None:
    """Work goes on after a pause.

    \b
    Example:
      garant case resume G-000001
    """
    _change(home, json_, lambda unit: progress.resume(unit, case_id))


@case.command()
@click.argument("case_id", metavar="CASE")
@json_option
@click.pass_obj
def answer(home: Path, case_id: str, json_: bool) -> None:
    """The consultation was given: its clock stops.

    \b
    Example:
      garant case answer G-000001
    """
    _change(home, json_, lambda unit: progress.answer(unit, case_id))


@case.command("agree-term")
@click.argument("case_id", metavar="CASE")
@click.argument("until", type=_instant)
@click.option("--approved-by", help="The second person who approves a new term after a breach.")
@json_option
@click.pass_obj
def agree_term(home: Path, case_id: str, until: datetime, approved_by: str | None, json_: bool) -> None:
    """The client agreed to a term for a data discrepancy: UNTIL, with a zone.

    \b
    Example:
      garant case agree-term G-000001 2026-03-14T18:00:00+03:00
    """
    _change(home, json_, lambda unit: progress.agree_term(unit, case_id, until, approved_by=approved_by))


def _change(home: Path, json_: bool, action: Callable[[Any], CaseRow]) -> None:
    with opened(home) as app, app.unit(actor()) as unit:
        row = action(unit)
        unit.session.flush()
        found = reading.document(unit.session, row, unit.now)
    if json_:
        as_json(found)
        return
    left = f", {found['next_clock']}: {time_span(found['remaining_s'])} left" if found["next_clock"] else ""
    click.echo(f"{row.id} is {row.state}{left}")


def _text(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise click.UsageError("give --text or --text-file, not both")
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except OSError as error:
            raise GarantError(f"{file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise GarantError(f"{file} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    return sys.stdin.read() if text == "-" else text or ""


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160)
