"""``garant fleet``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import select

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.errors import GarantError
from pipeline.fleet import service
from pipeline.fleet.check import HostCheck, check_hosts, record_checks
from pipeline.fleet.errors import FleetFileError
from pipeline.fleet.export import exported
from pipeline.fleet.importer import ImportResult, import_fleet
from pipeline.fleet.keys import fingerprint
from pipeline.fleet.reading import read_fleet
from pipeline.fleet.rules import weekly_text
from pipeline.fleet.tables import HostRow


class _DryRunError(Exception):
    """Rolls the import back."""


@click.group()
def fleet() -> None:
    """Clients, stores and hosts; how hosts are reached.

    \b
    Begin with:
      garant fleet import inventory/example-fleet.yaml --dry-run
      garant fleet import fleet.yaml
      garant fleet check
    """


@fleet.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.option(
    "--accept-new-key",
    "accept",
    multiple=True,
    metavar="HOST",
    help="Replace the pinned key of this host by the file's. Verify the new key on the spot first.",
)
@click.option(
    "--retire-missing", is_flag=True, help="Retire hosts of the file's stores that it does not name."
)
@json_option
@click.pass_obj
def import_(
    home: Path, file: Path, dry_run: bool, accept: tuple[str, ...], retire_missing: bool, json_: bool
) -> None:
    """Import clients, stores and hosts from FILE: all of it, or nothing when anything is wrong.

    YAML holds clients with their stores with their hosts (inventory/example-fleet.yaml,
    inventory/fleet.schema.json). CSV holds one row a host, comma or semicolon, with a header; columns:
    client, store, host, role, address, host_key (needed); client_name, language, client_zone, tariff,
    contract, service_manager, contact_name, contact_address, store_name, store_zone, windows,
    trading_hours, tags (`;` between several), register, port, user, lan_address, jump. What belongs to a
    client or a store may be given in one of its rows only. Each host's key is pinned.

    \b
    Example:
      garant fleet import fleet.yaml --dry-run
      garant fleet import fleet.csv
      garant fleet import fleet.yaml --accept-new-key kupets-12-r3
    """
    result = ImportResult()
    try:
        read = read_fleet(file)
        with opened(home) as app:
            try:
                with app.unit(actor()) as unit:
                    result = import_fleet(unit, read, accept_new_keys=accept, retire_missing=retire_missing)
                    if dry_run:
                        raise _DryRunError
            except _DryRunError:
                pass
    except FleetFileError as error:
        if json_:
            as_json({"ok": False, "dry_run": dry_run, "faults": [fault.as_dict() for fault in error.faults]})
        raise
    if json_:
        as_json({"ok": True, "dry_run": dry_run, **result.as_dict()})
        return
    _show_import(result, dry_run)


@fleet.command("list")
@click.option("--client", help="Only this client's stores.")
@json_option
@click.pass_obj
def list_(home: Path, client: str | None, json_: bool) -> None:
    """List clients and their stores.

    \b
    Example:
      garant fleet list
      garant fleet list --client kupets
    """
    with opened(home) as app, app.database.reading() as session:
        rows = [service.client(session, client)] if client else service.clients(session)
        answer = [_client_document(session, row) for row in rows]
    if json_:
        as_json({"clients": answer})
        return
    if not answer:
        click.echo("no clients yet: `garant fleet import FILE` brings them in")
        return
    table = Table("client", "store", "zone", "hosts", "registers", "in service", "versions", "tariff")
    for one in answer:
        table.add_row(
            one["id"], Text(one["name"]), one["zone"], "", str(one["registers"]), "", "", one["eligibility"]
        )
        for store in one["stores"]:
            table.add_row(
                "",
                store["id"],
                store["zone"],
                str(store["hosts"]),
                str(store["registers"]),
                str(store["in_service"]),
                ", ".join(store["versions"]),
                "",
            )
    _console().print(table)


@fleet.command()
@click.argument("store")
@json_option
@click.pass_obj
def show(home: Path, store: str, json_: bool) -> None:
    """Show a store: its hosts, windows and pinned keys.

    \b
    Example:
      garant fleet show kupets-12
    """
    with opened(home) as app, app.database.reading() as session:
        row = service.store(session, store)
        hosts = service.hosts_of_store(session, store)
        answer: dict[str, Any] = {
            "id": row.id,
            "client": row.client_id,
            "name": row.name,
            "zone": row.zone,
            "windows": [weekly_text(window) for window in row.windows],
            "trading_hours": [weekly_text(hours) for hours in row.trading_hours],
            "tags": row.tags,
            "state": row.state,
            "hosts": [_host_document(host) for host in hosts],
        }
    if json_:
        as_json(answer)
        return
    click.echo(f"{row.id}  {row.name}  (client {row.client_id}, {row.zone}, {row.state})")
    click.echo(f"windows: {'; '.join(answer['windows']) or 'none: no update may touch it'}")
    click.echo(f"trading hours: {'; '.join(answer['trading_hours']) or 'not known'}")
    table = Table("host", "role", "address", "version", "verified", "state", "key")
    for host in hosts:
        table.add_row(
            host.id,
            host.role if host.register is None else f"register {host.register}",
            f"{host.address}:{host.port}" + (f" via {host.jump}" if host.jump else ""),
            Text(host.version or "-"),
            f"{host.verified_at:%Y-%m-%d %H:%M} UTC" if host.verified_at else "never",
            host.state,
            fingerprint(host.host_key),
        )
    _console().print(table)


@fleet.command()
@click.argument("store", required=False)
@click.option("--timeout", default=10.0, show_default=True, help="Seconds for connecting and for logging in.")
@json_option
@click.pass_obj
def check(home: Path, store: str | None, timeout: float, json_: bool) -> None:
    """Ask the hosts of STORE, or of the whole fleet, and record what they say.

    Each host is reached by SSH with its pinned key: unreachable, host-key-changed, login-refused, no-product,
    not-answering, or ok with the version that runs. Exit code 1 when any is not ok.

    \b
    Example:
      garant fleet check
      garant fleet check kupets-12 --json
    """
    with opened(home) as app:
        identity = app.settings.ssh_identity
        if identity is None:
            raise GarantError(f"no SSH identity: set `ssh_identity: /path/to/key` in {home / 'garant.yaml'}")
        with app.database.reading() as session:
            every = {row.id: row for row in session.scalars(select(HostRow).order_by(HostRow.id))}
            hosts = (
                service.hosts_of_store(session, store)
                if store
                else [row for row in every.values() if row.state != "retired"]
            )
        with _console(err=True).status(f"asking {len(hosts)} hosts") as status:
            count = 0

            def done(_check: HostCheck) -> None:
                nonlocal count
                count += 1
                status.update(f"asking {len(hosts)} hosts: {count} answered")

            checks = check_hosts(
                hosts,
                identity=identity,
                python=app.settings.host_python,
                jumps=every,
                timeout_s=timeout,
                done=done,
            )
        with app.unit(actor()) as unit:
            record_checks(unit, checks)
    bad = [one for one in checks if one.result != "ok"]
    if json_:
        as_json({"ok": not bad, "hosts": [one.as_dict() for one in checks]})
    else:
        _show_checks(checks)
    if bad:
        click.echo(f"{len(bad)} of {len(checks)} hosts are not as they should be", err=True)
        sys.exit(1)


@fleet.command()
@json_option
@click.pass_obj
def export(home: Path, json_: bool) -> None:
    """Write the whole fleet to stdout in the form that `import` reads.

    \b
    Example:
      garant fleet export > fleet.yaml
    """
    with opened(home) as app, app.database.reading() as session:
        answer = exported(session)
    if json_:
        as_json(answer)
    else:
        click.echo(yaml.safe_dump(answer, allow_unicode=True, sort_keys=False, width=120), nl=False)


def _client_document(session: Any, row: Any) -> dict[str, Any]:
    eligibility = service.client_eligibility(session, row.id)
    stores = []
    for store in service.stores_of_client(session, row.id):
        hosts = service.hosts_of_store(session, store.id)
        stores.append(
            {
                "id": store.id,
                "name": store.name,
                "zone": store.zone,
                "hosts": len(hosts),
                "registers": sum(host.role == "register" for host in hosts),
                "in_service": sum(host.state == "in-service" for host in hosts),
                "versions": sorted({host.version for host in hosts if host.version}),
            }
        )
    return {
        "id": row.id,
        "name": row.name,
        "language": row.language,
        "zone": row.zone,
        "tariff": row.tariff,
        "eligible": eligibility.eligible,
        "eligibility": ("under the tariff: " if eligibility.eligible else "not under the tariff: ")
        + eligibility.reason,
        "service_manager": row.service_manager,
        "registers": service.registers_of_client(session, row.id),
        "stores": stores,
    }


def _host_document(host: HostRow) -> dict[str, Any]:
    return {
        "name": host.id,
        "role": host.role,
        "register": host.register,
        "address": host.address,
        "port": host.port,
        "user": host.user,
        "lan_address": host.lan_address,
        "jump": host.jump,
        "host_key": host.host_key,
        "fingerprint": fingerprint(host.host_key),
        "version": host.version,
        "verified_at": host.verified_at.isoformat() if host.verified_at else None,
        "state": host.state,
    }


def _show_import(result: ImportResult, dry_run: bool) -> None:
    for name in result.created:
        click.echo(f"created  {name}")
    for name, fields in result.changed.items():
        click.echo(f"changed  {name}: {', '.join(fields)}")
    for name in result.retired:
        click.echo(f"retired  host {name}")
    for name in result.missing:
        click.echo(f"not in the file, kept: host {name} (`--retire-missing` retires it)", err=True)
    click.echo(
        f"{len(result.created)} created, {len(result.changed)} changed, {result.unchanged} unchanged, "
        f"{len(result.retired)} retired" + (": a dry run, nothing was written" if dry_run else "")
    )


def _show_checks(checks: list[HostCheck]) -> None:
    table = Table("host", "store", "result", "version", "recorded", "what to do")
    for one in checks:
        table.add_row(
            one.host,
            one.store,
            one.result,
            Text(one.version or "-"),  # the host said it: no markup
            Text(one.recorded or "-"),
            Text(one.reason or ""),
            style=None if one.result == "ok" else "bold red",
        )
    _console().print(table)


def _console(*, err: bool = False) -> Console:
    stream = sys.stderr if err else sys.stdout
    return Console(stderr=err, width=None if stream.isatty() else 160)
