"""``garant release``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pipeline.cli import actor, as_json, json_option, opened
from pipeline.errors import GarantError


@click.group()
def release() -> None:
    """Build, sign, approve and recall updates.

    \b
    Example:
      garant release build 10.4.2 --product product.yaml --author anna@vendor.example
      garant release submit 10.4.2
      garant release approve 10.4.2 --key ~/.ssh/id_ed25519 --as boris@vendor.example
    """


@release.command()
@click.argument("version")
@click.option(
    "--product",
    "product_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="product.yaml.  [default: `product` of garant.yaml]",
)
@click.option("--author", help="Principal who makes it; his own approval does not count.  [default: login]")
@click.option("--from", "from_versions", multiple=True, help="May follow only this version (repeatable).")
@click.option("--floor", help="No rollback goes below this version afterwards.")
@click.option("--allow-open-shift", is_flag=True, help="Registers may be updated while a shift is open.")
@click.option("--fixes", multiple=True, help="Defect that it fixes (repeatable; default: those marked so).")
@click.option("--note-ru", default="", help="What is new, in Russian; goes into the clients' notices.")
@click.option("--note-en", default="", help="What is new, in English.")
@json_option
@click.pass_obj
def build(
    home: Path,
    version: str,
    product_file: Path | None,
    author: str | None,
    from_versions: tuple[str, ...],
    floor: str | None,
    allow_open_shift: bool,
    fixes: tuple[str, ...],
    note_ru: str,
    note_en: str,
    json_: bool,
) -> None:
    """Build VERSION from the product's tag into a package; the same tag gives the same digest.

    \b
    Example:
      garant release build 10.4.2 --product product.yaml --note-en "Discounts add up again"
    """
    from pipeline.releases.building import BuildRequest, build_release

    with opened(home) as app:
        chosen = product_file or app.settings.product
        if chosen is None:
            raise GarantError("no product: give --product FILE, or set `product` in garant.yaml")
        request = BuildRequest(
            version=version,
            product_file=chosen,
            author=author or actor().removeprefix("person:"),
            from_versions=from_versions or None,
            floor=floor,
            allow_open_shift=allow_open_shift,
            fixed_defects=fixes or None,
            notes={"ru": note_ru, "en": note_en},
        )
        row, new = build_release(app, request)
        record = {**_record(row), "new": new}
    said = "built" if new else "was built before, with the same content"
    _answer(json_, record, f"release {row.id} {said}: {row.digest} ({row.size} bytes)")


@release.command()
@click.argument("version")
@click.option("--no-wait", is_flag=True, help="Only ask for it; a worker plays the bundles.")
@json_option
@click.pass_obj
def submit(home: Path, version: str, no_wait: bool, json_: bool) -> None:
    """Have the bundles of all past defects played on the release; only what passes can be approved.

    Waits with progress; stopped and called again, it goes on where it was: no bundle is played twice. Exit
    code 1 when the gate blocks the release; the reason names each defect and the clients that it would hit.

    \b
    Example:
      garant release submit 10.4.2
    """
    from pipeline.engine.watch import wait_for_job
    from pipeline.releases import service

    with opened(home) as app:
        with app.unit(actor()) as unit:
            row = service.submit(unit, version, joining=True)
            record, effect = _record(row), service.gate_effect(row)
        if not no_wait:
            title = f"gate of {version}"
            wait_for_job(app, effect, title, show=not json_, until=lambda: not _running(app, version))
            with app.database.reading() as session:
                record = _record(service.release(session, version))
    text = f"release {version} is submitted; `garant release show {version}` has the gate"
    if record["gate"]["state"] == "passed":
        text = f"release {version}: {len(record['gate']['results'])} past bundles played, the gate has passed"
    if record["gate"]["state"] != "failed" or json_:
        _answer(json_, record, text)
    if record["gate"]["state"] == "failed":
        raise GarantError(f"release {version} is {record['state']}: {record['reason']}")


def _running(app: Any, version: str) -> bool:
    from pipeline.releases import service

    with app.database.reading() as session:
        return bool(service.release(session, version).gate.get("state") == "running")


@release.command()
@click.argument("version")
@click.argument("defect")
@click.option("--as", "principal", required=True, help="Who answers for it: a name, not the author's.")
@click.option(
    "--reason", required=True, help="Why the release may go on without an answer; it stays on record."
)
@json_option
@click.pass_obj
def waive(home: Path, version: str, defect: str, principal: str, reason: str, json_: bool) -> None:
    """Let the release go on although the bundle of DEFECT gave no answer on it (inconclusive, cannot-run).

    A defect that shows can't be waived. Who waived what and why is shown with the release for ever.

    \b
    Example:
      garant release waive 10.4.2 D-000003 --as boris@vendor.example --reason "needs a scanner; tried by hand"
    """
    from pipeline.releases import verdicts

    with opened(home) as app, app.unit(actor()) as unit:
        record = _record(verdicts.waive(unit, version, defect, principal=principal, reason=reason))
    _answer(json_, record, f"release {version}: {defect} is waived by {principal}; {record['state']}")


@release.command()
@click.argument("version")
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Your private key (ssh-keygen asks for its passphrase), or the public key of one in your agent.",
)
@click.option("--as", "principal", required=True, help="Your name in allowed_signers.")
@json_option
@click.pass_obj
def approve(home: Path, version: str, key: Path, principal: str, json_: bool) -> None:
    """Sign the release's manifest with your own key. The key stays yours: only the signature is kept.

    \b
    Example:
      garant release approve 10.4.2 --key ~/.ssh/id_ed25519 --as boris@vendor.example
    """
    from pipeline.releases import service
    from pipeline.releases.signatures import OpenSshSignatures

    with opened(home) as app:
        with app.database.reading() as session:
            row = service.release(session, version)
            service.demand_approvable(row)
            content = service.demand_content(row)
        # Outside any transaction: a person may be typing a passphrase.
        signature = OpenSshSignatures(app.settings.releases.allowed_signers).sign(content, key)
        with app.unit(actor()) as unit:
            row = service.approve(unit, app.settings, version, principal, signature)
            count = sum(a.state == "valid" for a in service.approvals(unit.session, version))
            record = {**_record(row), "approvals": count}
    text = f"release {version}: approved by {principal}, {count} of {row.approvals_required}; {row.state}"
    _answer(json_, record, text)


@release.command()
@click.argument("version")
@json_option
@click.pass_obj
def verify(home: Path, version: str, json_: bool) -> None:
    """Check everything from the disk: manifest, package, each file, and m of n signatures.

    \b
    Example:
      garant release verify 10.4.2
    """
    from pipeline.releases import service

    with opened(home) as app, app.database.reading() as session:
        found = service.verify(session, app.settings, version)
    if json_:
        as_json(found.as_json())
    if not found.ok:
        raise GarantError(f"release {version} is not valid: {'; '.join(found.problems)}")
    if not json_:
        click.echo(
            f"release {version} is valid: {found.digest}, approved by {', '.join(found.approvals.valid)}"
        )


@release.command()
@click.argument("version")
@click.option("--reason", required=True, help="Why; clients that wait for it are told.")
@json_option
@click.pass_obj
def recall(home: Path, version: str, reason: str, json_: bool) -> None:
    """Give the release to nobody any more; every rollout of it stops at once.

    \b
    Example:
      garant release recall 10.4.2 --reason "receipts are lost on returns"
    """
    from pipeline.releases import service

    with opened(home) as app, app.unit(actor()) as unit:
        stopped = service.recall(unit, version, reason)
    record = {"version": version, "state": "recalled", "rollouts_stopped": stopped}
    _answer(
        json_, record, f"release {version} is recalled; stopped: {', '.join(stopped) or 'no rollout ran'}"
    )


@release.command("list")
@json_option
@click.pass_obj
def list_(home: Path, json_: bool) -> None:
    """List all releases.

    \b
    Example:
      garant release list
    """
    from pipeline.releases import service

    with opened(home) as app, app.database.reading() as session:
        records = [_record(row) for row in service.releases(session)]
    if json_:
        as_json(records)
        return
    table = Table("version", "state", "author", "digest", "reason")
    for record in records:
        reason = record["reason"] or ""
        table.add_row(record["version"], record["state"], record["author"], record["digest"][:19], reason)
    Console().print(table)


@release.command()
@click.argument("version")
@json_option
@click.pass_obj
def show(home: Path, version: str, json_: bool) -> None:
    """Show one release: where it lies, its gate bundle by bundle, its approvals.

    \b
    Example:
      garant release show 10.4.2
    """
    from pipeline.products.service import fix_checks_on
    from pipeline.releases import service

    with opened(home) as app, app.database.reading() as session:
        row = service.release(session, version)
        record = _record(row)
        record["approved_by"] = [
            {"principal": a.principal, "key": a.key, "state": a.state, "at": a.at.isoformat()}
            for a in service.approvals(session, version)
        ]
        record["fix_checks"] = {check.defect_id: check.state for check in fix_checks_on(session, version)}
    if json_:
        as_json(record)
        return
    console = Console()
    for name in ("version", "state", "reason", "digest", "commit", "author", "folder"):
        console.print(f"{name:10} {record[name] or '-'}", markup=False, highlight=False)
    console.print(f"gate       {record['gate'].get('state', 'not run')}")
    for one in record["gate"].get("results", []):
        console.print(f"  {one['defect']} {one['verdict']} ({one['weight']}): {one['title']}", markup=False)
        if one["blocks"]:
            clients = ", ".join(one["clients"]) or "no client yet"
            console.print(f"    BLOCKS; would hit {clients}: {one['reason']}", markup=False, highlight=False)
        if one.get("waived"):
            waived = one["waived"]
            console.print(f"    waived by {waived['by']}: {waived['reason']}", markup=False, highlight=False)
    for defect, state in record["fix_checks"].items():
        console.print(f"fix check  {defect} {state}", markup=False)
    for approval in record["approved_by"]:
        console.print(
            f"approval   {approval['principal']} {approval['key']} {approval['state']}", markup=False
        )


def _record(row: Any) -> dict[str, Any]:
    return {
        "version": row.version,
        "product": row.product,
        "state": row.state,
        "reason": row.reason,
        "digest": row.digest,
        "size": row.size,
        "commit": row.commit,
        "author": row.author,
        "approvals_required": row.approvals_required,
        "fixed_defects": row.fixed_defects,
        "folder": row.folder,
        "gate": row.gate,
    }


def _answer(json_: bool, record: dict[str, Any], text: str) -> None:
    if json_:
        as_json(record)
    else:
        click.echo(text)
