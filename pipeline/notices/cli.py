"""``garant notices``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.errors import GarantError
from pipeline.notices import service
from pipeline.notices.params import checked
from pipeline.notices.rendering import LANGUAGES, Reader, kinds, render
from pipeline.notices.samples import SAMPLES
from pipeline.notices.tables import NoticeRow


def as_dict(row: NoticeRow, *, whole: bool = False) -> dict[str, Any]:
    """A notice for programs; ``whole``: with what was told and what the channel answered."""
    told: dict[str, Any] = {
        "id": row.id,
        "key": row.key,
        "kind": row.kind,
        "client": row.client_id,
        "about": {"kind": row.about_kind, "id": row.about_id},
        "language": row.language,
        "channel": row.channel,
        "address": row.address or row.recipient,
        "state": row.state,
        "attempts": row.attempts,
        "queued_at": row.created_at.isoformat(),
        "accepted_at": row.accepted_at.isoformat() if row.accepted_at else None,
        "message_id": row.message_id,
        "subject": row.subject,
    }
    if whole:
        told |= {"text": row.text, "html": row.html, "params": row.params, "evidence": row.evidence}
    return told


@click.group()
def notices() -> None:
    """What clients and our own people were told.

    \b
    Example:
      garant notices list --client kupets
      garant notices show ID
      garant notices preview eta_changed --language ru
    """


@notices.command("list")
@click.option("--client", help="Only this client's.")
@click.option("--kind", type=click.Choice(kinds()), help="Only this kind.", metavar="KIND")
@click.option(
    "--state",
    type=click.Choice(["queued", "sent", "accepted", "bounced", "failed", "superseded"]),
    help="Only those in this state.",
)
@json_option
@click.pass_obj
def list_(home: Path, client: str | None, kind: str | None, state: str | None, json_: bool) -> None:
    """List notices, oldest first.

    \b
    Example:
      garant notices list --state failed
    """
    with opened(home) as app, app.database.reading() as session:
        rows = [as_dict(row) for row in service.notices(session, client_id=client, kind=kind, state=state)]
    if json_:
        as_json(rows)
        return
    # What is typed again (kind, state, id) is shown whole on any width of terminal.
    whole = {name: Column(name, no_wrap=True) for name in ("kind", "state", "id")}
    table = Table("queued", whole["kind"], "to", "subject", whole["state"], whole["id"])
    for row in rows:
        to = f"{row['client'] or 'internal'} <{row['address'] or '?'}>"
        subject = escape(row["subject"] or "")
        table.add_row(row["queued_at"][:16], row["kind"], escape(to), subject, row["state"], row["id"])
    Console().print(table)


@notices.command()
@click.argument("notice")
@json_option
@click.pass_obj
def show(home: Path, notice: str, json_: bool) -> None:
    """Show a notice as it was told, and what the mail server answered. NOTICE is its id or its key.

    \b
    Example:
      garant notices show eta/D-000001/kupets/1/1
    """
    with opened(home) as app, app.database.reading() as session:
        row = as_dict(service.notice(session, notice), whole=True)
    if json_:
        as_json(row)
        return
    for name in ("id", "key", "kind", "client", "address", "state", "accepted_at", "message_id"):
        click.echo(f"{name + ':':13}{row[name] if row[name] is not None else '-'}")
    for answer in row["evidence"]:
        click.echo(f"{'answer:':13}{answer['at']} {answer['code']} {answer['text']}")
    click.echo(f"\n{row['subject'] or '(not sent yet)'}\n\n{row['text'] or ''}", nl=False)


@notices.command()
@click.argument("notice")
@json_option
@click.pass_obj
def resend(home: Path, notice: str, json_: bool) -> None:
    """Send a notice that failed or bounced again, to the client's present address.

    One that was accepted is refused: nobody is told twice.

    \b
    Example:
      garant notices resend 0f3a9c1d5b7e42a6c8d0e1f2
    """
    with opened(home) as app, app.unit(actor()) as unit:
        row = as_dict(service.resend(unit, notice))
    as_json(row) if json_ else click.echo(f"notice {row['id']} ({row['kind']}) is queued again")


@notices.command()
@click.argument("kind", type=click.Choice(kinds()), metavar="KIND")
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default="ru",
    show_default=True,
    help="As for a client with this language.",
)
@click.option("--zone", default="Europe/Moscow", show_default=True, help="Zone that times are told in.")
@json_option
def preview(kind: str, language: str, zone: str, json_: bool) -> None:
    """Show what a kind of notice reads like, with made-up content. KIND is one of `garant notices list`'s.

    \b
    Example:
      garant notices preview update_scheduled --language en --zone Asia/Omsk
    """
    reader = Reader(
        language=language,
        zone=zone,
        client="Купец",
        store="Тверская, 12",
        manager="manager@support.invalid",
        support="+7 800 000-00-00",
    )
    try:
        told = render(kind, checked(kind, SAMPLES[kind]), reader)
    except (KeyError, ValueError) as error:
        raise GarantError(f"zone {zone!r} is not known: use an IANA name, for example Asia/Omsk") from error
    if json_:
        as_json({"kind": kind, "language": language, **vars(told)})
    else:
        click.echo(f"{told.subject}\n\n{told.text}", nl=False)
