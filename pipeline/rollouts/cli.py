"""``garant rollout``."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.errors import GarantError
from pipeline.rollouts.budgets import DEFAULT_CAP
from pipeline.rollouts.pictures import list_table, plan_table, status_table
from pipeline.rollouts.policy import Policy

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_OVER = ("completed", "completed-with-exceptions", "aborted", "recalled")
#: Seconds between two looks of ``watch``.
_LOOK = 0.5


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """``30m``, ``90s``, ``2h``, ``1d``."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value).strip())
        if not match:
            self.fail(f"{value!r} is no duration: write 90s, 30m, 2h or 1d", param, ctx)
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


class _Instant(click.ParamType[datetime]):
    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """ISO 8601 with its offset."""
        try:
            instant = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no instant: write 2026-03-14T22:00+03:00", param, ctx)
        if instant.tzinfo is None:
            self.fail(f"{value!r} has no offset: write 2026-03-14T22:00+03:00", param, ctx)
        return instant.astimezone(UTC)


@click.group()
def rollout() -> None:
    """Bring approved updates to the stores: in waves, in each store's window, within its budget.

    \b
    Example:
      garant rollout plan --release 10.4.2 --select client=kupets --canary kupets-1
      garant rollout start R-000001
      garant rollout watch R-000001
    """


@rollout.command()
@click.option("--release", "release_id", required=True, help="Version of an approved release.")
@click.option(
    "--select",
    "select_by",
    default="all",
    show_default=True,
    help="Which stores: `all`, or conditions of client, store, tag, version, zone: "
    "`client=kupets,tag=pilot|north`.",
)
@click.option("--canary", multiple=True, help="Store of the first wave (repeatable; default: the first one).")
@click.option("--wave", "sizes", type=click.IntRange(min=1), multiple=True, help="Stores of the next wave.")
@click.option(
    "--cap",
    type=click.FloatRange(0, 1),
    default=DEFAULT_CAP,
    show_default=True,
    help="Share of a store's registers that may be out of service at once.",
)
@click.option(
    "--soak", type=_Duration(), default="30m", show_default=True, help="How long a wave is watched."
)
@click.option(
    "--need",
    type=_Duration(),
    default="10m",
    show_default=True,
    help="Update plus rollback of one host; must fit before a window's end.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    default=Policy().max_failures,
    show_default=True,
    help="Pause when more hosts than this, and more than 5 % of those tried, have failed.",
)
@click.option(
    "--retry-after",
    type=_Duration(),
    default="2m",
    show_default=True,
    help="Wait after a refusal (open shift) or an unanswered call.",
)
@json_option
@click.pass_obj
def plan(
    home: Path,
    release_id: str,
    select_by: str,
    canary: tuple[str, ...],
    sizes: tuple[int, ...],
    cap: float,
    soak: timedelta,
    need: timedelta,
    max_failures: int,
    retry_after: timedelta,
    json_: bool,
) -> None:
    """Draft a rollout and show it: which store when, what does not fit and why. Nothing happens yet.

    \b
    Example:
      garant rollout plan --release 10.4.2 --select tag=pilot --canary kupets-1 --soak 1d
    """
    from pipeline.rollouts import reading, service

    policy = Policy(
        cap=cap,
        soak=soak,
        need=need,
        max_failures=max_failures,
        refusal_retry=retry_after,
        offline_retry=retry_after,
        unknown_retry=min(retry_after, Policy().unknown_retry),
    )
    with opened(home) as app, app.unit(actor()) as unit:
        row, preview = service.plan(
            unit, release_id=release_id, select_by=select_by, canary=canary, sizes=sizes, policy=policy
        )
        record = reading.preview_json(row, preview)
    if json_:
        as_json(record)
        return
    Console().print(plan_table(record))


@rollout.command()
@click.argument("rollout_id", metavar="ID")
@click.option("--at", "begins_at", type=_Instant(), help="Not before this instant (ISO 8601 with offset).")
@json_option
@click.pass_obj
def start(home: Path, rollout_id: str, begins_at: datetime | None, json_: bool) -> None:
    """Let a drafted rollout run. Signatures are verified anew; clients are told; windows hold.

    \b
    Example:
      garant rollout start R-000001
    """
    from pipeline.rollouts import service

    with opened(home) as app, app.unit(actor()) as unit:
        row = service.start(unit, app.settings, rollout_id, begins_at=begins_at)
        answer = {"id": row.id, "state": row.state, "begins_at": begins_at}
    _answer(json_, answer, f"rollout {rollout_id} is {answer['state']}; `garant rollout watch {rollout_id}`")


@rollout.command()
@click.argument("rollout_id", metavar="[ID]", required=False)
@click.option("--history", is_flag=True, help="Every step of every host, as JSON (with ID).")
@json_option
@click.pass_obj
def status(home: Path, rollout_id: str | None, history: bool, json_: bool) -> None:
    """Show one rollout (waves, stores, hosts, reasons, registers out of service), or list all.

    \b
    Example:
      garant rollout status
      garant rollout status R-000001 --json
    """
    from pipeline.rollouts import reading

    with opened(home) as app, app.database.reading() as session:
        if rollout_id is None:
            rows = reading.summaries(session)
            if json_:
                as_json(rows)
            else:
                Console().print(list_table(rows))
            return
        if history:
            as_json(reading.history(session, rollout_id))
            return
        record = reading.status(session, rollout_id, app.clock())
    if json_:
        as_json(_plain(record))
    else:
        Console().print(status_table(record))


@rollout.command()
@click.argument("rollout_id", metavar="ID")
@json_option
@click.pass_obj
def watch(home: Path, rollout_id: str, json_: bool) -> None:
    """Show a rollout live until it is over or paused; exit 0 when completed. Ctrl-C only stops watching.

    \b
    Example:
      garant rollout watch R-000001
    """
    from pipeline.rollouts import reading

    with opened(home) as app:

        def look() -> dict[str, Any]:
            with app.database.reading() as session:
                return reading.status(session, rollout_id, app.clock())

        record = look()
        console = Console(stderr=json_)
        with Live(status_table(record), console=console, refresh_per_second=4, transient=json_) as live:
            while record["state"] not in (*_OVER, "paused", "draft"):
                time.sleep(_LOOK)
                record = look()
                live.update(status_table(record))
    if json_:
        as_json(_plain(record))
    if record["state"] != "completed":
        why = f": {record['reason']}" if record["reason"] else ""
        raise GarantError(f"rollout {rollout_id} is {record['state']}{why}")


@rollout.command()
@click.argument("rollout_id", metavar="ID")
@click.option("--reason", required=True, help="Why; clients that wait are told.")
@json_option
@click.pass_obj
def pause(home: Path, rollout_id: str, reason: str, json_: bool) -> None:
    """Begin nothing new; what is being changed comes to its end.

    \b
    Example:
      garant rollout pause R-000001 --reason "the client asks us to wait"
    """
    from pipeline.rollouts import service

    with opened(home) as app, app.unit(actor()) as unit:
        state = service.pause(unit, rollout_id, reason).state
    _answer(json_, {"id": rollout_id, "state": state}, f"rollout {rollout_id} is paused")


@rollout.command()
@click.argument("rollout_id", metavar="ID")
@json_option
@click.pass_obj
def resume(home: Path, rollout_id: str, json_: bool) -> None:
    """Go on with a paused rollout; the failures so far count as seen.

    \b
    Example:
      garant rollout resume R-000001
    """
    from pipeline.rollouts import service

    with opened(home) as app, app.unit(actor()) as unit:
        state = service.resume(unit, rollout_id).state
    _answer(json_, {"id": rollout_id, "state": state}, f"rollout {rollout_id} goes on")


@rollout.command()
@click.argument("rollout_id", metavar="ID")
@click.argument("host", required=False)
@json_option
@click.pass_obj
def retry(home: Path, rollout_id: str, host: str | None, json_: bool) -> None:
    """Try failed or rolled-back hosts again, all or one; every gate holds as the first time.

    \b
    Example:
      garant rollout retry R-000001 kupets-1-r2
    """
    from pipeline.rollouts import service

    with opened(home) as app, app.unit(actor()) as unit:
        names = service.retry(unit, rollout_id, host)
    _answer(json_, {"id": rollout_id, "hosts": names}, f"tried again: {', '.join(names)}")


@rollout.command()
@click.argument("rollout_id", metavar="ID")
@click.option("--reason", required=True, help="Why; clients that wait are told.")
@json_option
@click.pass_obj
def abort(home: Path, rollout_id: str, reason: str, json_: bool) -> None:
    """End a rollout: hosts not touched stay as they are, what is being changed comes to its end.

    \b
    Example:
      garant rollout abort R-000001 --reason "replaced by 10.4.3"
    """
    from pipeline.rollouts import service

    with opened(home) as app, app.unit(actor()) as unit:
        state = service.abort(unit, rollout_id, reason).state
    _answer(json_, {"id": rollout_id, "state": state}, f"rollout {rollout_id} is aborted")


@rollout.command()
@click.argument("rollout_id", metavar="ID")
@click.argument("store")
@click.option("--by", required=True, help="Who at the client consented, and how.")
@json_option
@click.pass_obj
def consent(home: Path, rollout_id: str, store: str, by: str, json_: bool) -> None:
    """Record the client's consent to a store's only register being out of service.

    \b
    Example:
      garant rollout consent R-000001 kupets-9 --by "I. Petrova, by telephone"
    """
    from pipeline.rollouts import service

    with opened(home) as app, app.unit(actor()) as unit:
        service.consent(unit, rollout_id, store, by)
    _answer(json_, {"id": rollout_id, "store": store, "by": by}, f"{store}: consent of {by} recorded")


@rollout.command()
@click.option("--from", "starts_at", type=_Instant(), required=True, help="ISO 8601 with offset.")
@click.option("--to", "ends_at", type=_Instant(), required=True, help="ISO 8601 with offset.")
@click.option("--reason", required=True)
@click.option("--client", help="Only this client's stores.")
@click.option("--store", help="Only this store.")
@json_option
@click.pass_obj
def freeze(
    home: Path,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    client: str | None,
    store: str | None,
    json_: bool,
) -> None:
    """Forbid every change for a time: everywhere, at a client or in a store.

    \b
    Example:
      garant rollout freeze --from 2026-12-20T00:00+03:00 --to 2027-01-10T00:00+03:00 --reason "year's end"
    """
    from pipeline.rollouts import service

    with opened(home) as app, app.unit(actor()) as unit:
        row = service.freeze(
            unit, starts_at=starts_at, ends_at=ends_at, reason=reason, client_id=client, store_id=store
        )
        answer = {"id": row.id, "starts_at": starts_at, "ends_at": ends_at, "reason": reason}
    _answer(json_, answer, f"frozen from {starts_at} to {ends_at}: {reason}")


def _answer(json_: bool, record: dict[str, Any], text: str) -> None:
    if json_:
        as_json(record)
    else:
        click.echo(text)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
