"""Defects: recorded once per signature, filed once, fixed, and closed client by client."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from pipeline.defects import rules
from pipeline.defects.queries import case_numbers, cases_of, clients_of, first_case
from pipeline.defects.tables import ClientDefectRow, DefectCaseRow, DefectRow
from pipeline.engine.tables import JobRow
from pipeline.engine.unit import UnitOfWork
from pipeline.errors import RefusedError
from pipeline.intake.tables import CaseRow

KIND = "defect"
TRACKER_QUEUE = "tracker"


def record(
    unit: UnitOfWork,
    *,
    product: str,
    signature: str,
    title: str,
    verdict: str,
    version: str,
    case_id: str | None = None,
    rate: float | None = None,
    interval: tuple[float, float] | list[float] | None = None,
    runs: int | None = None,
    first_bad_release: str | None = None,
    first_bad_commit: str | None = None,
    parent_commit: str | None = None,
    culprit: dict[str, Any] | None = None,
    events_before: int | None = None,
    events_after: int | None = None,
    bundle: str | None = None,
    bundle_digest: str | None = None,
    steps: dict[str, list[str]] | None = None,
) -> tuple[DefectRow, bool]:
    """Record a reproduced fault, or join the defect that is already known by this product and signature.

    A known defect keeps its findings and its bundle; what it lacked is filled in. The case, if given, is
    linked: its client is told, its promise runs.

    Args:
        version: the product's version on which it was reproduced.
        interval: 95 % interval of ``rate``.
        culprit: {"author", "date", "subject"} of the first bad commit; None when only a range is known.
        bundle: the bundle's folder.
        steps: {"ru": [...], "en": [...]}, minimal steps in words.

    Returns:
        The defect, and whether it was known before.
    """
    findings: dict[str, Any] = {
        "rate": rate,
        "interval": list(interval) if interval is not None else None,
        "runs": runs,
        "first_bad_release": first_bad_release,
        "first_bad_commit": first_bad_commit,
        "parent_commit": parent_commit,
        "culprit": culprit,
        "events_before": events_before,
        "events_after": events_after,
        "bundle": bundle,
        "bundle_digest": bundle_digest,
    }
    row = unit.session.scalars(
        select(DefectRow)
        .where(DefectRow.product == product, DefectRow.signature == signature)
        .with_for_update()
    ).one_or_none()
    joined = row is not None
    if row is None:
        row = _new(unit, product, signature, title, verdict, version, findings, steps or {})
    else:
        _seen_again(unit, row, version, findings)
    if case_id is not None:
        link_case(unit, row.id, case_id, recorded=not joined)
    return row, joined


def _new(
    unit: UnitOfWork,
    product: str,
    signature: str,
    title: str,
    verdict: str,
    version: str,
    findings: dict[str, Any],
    steps: dict[str, list[str]],
) -> DefectRow:
    # Two at once take the same number: the second one's insert fails and its whole unit is done again.
    last = unit.session.scalar(select(func.max(DefectRow.id)))
    number = int(last.removeprefix("D-")) + 1 if last else 1
    row = DefectRow(
        id=f"D-{number:06}",
        product=product,
        signature=signature,
        title=title,
        verdict=verdict,
        version=version,
        steps=steps,
        state="recorded",
        created_at=unit.now,
        updated_at=unit.now,
        **findings,
    )
    unit.session.add(row)
    unit.session.flush()
    unit.record(KIND, row.id, "recorded", signature=signature, version=version, verdict=verdict)
    return row


def _seen_again(unit: UnitOfWork, row: DefectRow, version: str, findings: dict[str, Any]) -> None:
    for name, value in findings.items():
        if getattr(row, name) is None and value is not None:
            setattr(row, name, value)
    sighting = rules.seen_again(row.state, row.fixed_in, version)
    row.updated_at = unit.now
    if sighting.came_back:
        _reopen(unit, row, version)
    elif sighting.state != row.state:
        unit.record(KIND, row.id, "joined", version=version, was=row.state)
        row.state = sighting.state


def came_back(unit: UnitOfWork, defect_id: str, version: str) -> DefectRow:
    """The bundle fails on a version that should have the fix: the defect is open again, everybody is told.

    Known already, or below the version of the fix, nothing changes.
    """
    row = unit.get(DefectRow, defect_id, called=KIND)
    if rules.seen_again(row.state, row.fixed_in, version).came_back:
        row.updated_at = unit.now
        _reopen(unit, row, version)
    return row


def _reopen(unit: UnitOfWork, row: DefectRow, version: str) -> None:
    from pipeline.promises import service as promises

    reason = f"seen again in {version}, said to be fixed in {row.fixed_in}"
    unit.record(KIND, row.id, "reopened", reason=reason, version=version, fixed_in=row.fixed_in)
    row.state, row.fixed_in, row.version = "reopened", None, version
    # The fix did not hold for anybody: the date told is void, every client waits for a new one.
    promises.void_etas(unit, row.id)
    for part in clients_of(unit.session, row.id):
        _reopen_for(unit, row, part, unit.now)
    _reopen_issue(unit, row, f"reopened:{version}", f"The defect came back: {reason}.")


def link_case(unit: UnitOfWork, defect_id: str, case_id: str, *, recorded: bool = False) -> None:
    """Link a client's case to the defect, tell the client, and let its promise run; twice changes nothing.

    Args:
        recorded: True when this very case led to the defect's record.

    Raises:
        NotFoundError: there is no such defect or case.
    """
    from pipeline.intake import service as intake

    defect = unit.get(DefectRow, defect_id, called=KIND)
    case = unit.get(CaseRow, case_id, called="case")
    if unit.session.get(DefectCaseRow, (defect_id, case_id)) is not None:
        return
    unit.session.add(
        DefectCaseRow(
            defect_id=defect_id,
            case_id=case_id,
            client_id=case.client_id,
            store_id=case.store_id,
            linked_at=unit.now,
        )
    )
    unit.session.flush()
    unit.record(KIND, defect_id, "case_linked", case=case_id, client=case.client_id)
    # The 3 days run from the classification as a software defect, not from our record (DESIGN section 8).
    since = case.software_defect_at or unit.now
    intake.link_defect(unit, case_id, defect_id, recorded=recorded)
    part = unit.session.get(ClientDefectRow, (defect_id, case.client_id))
    if part is None:
        part = ClientDefectRow(
            defect_id=defect_id, client_id=case.client_id, turn=1, started_at=since, closed_at=None
        )
        unit.session.add(part)
        unit.session.flush()
        _promise(unit, defect, part)
    elif part.closed_at is not None:
        _reopen_for(unit, defect, part, since)
    if not recorded:
        comment(unit, defect, f"case:{case_id}", _one_more(unit, defect_id))


def _one_more(unit: UnitOfWork, defect_id: str) -> str:
    clients, cases = len(clients_of(unit.session, defect_id)), len(cases_of(unit.session, defect_id))
    hit = f"{clients} {'client' if clients == 1 else 'clients'}"
    return f"One more case shows this defect: {cases} cases of {hit} now."


def _reopen_for(unit: UnitOfWork, defect: DefectRow, part: ClientDefectRow, since: datetime) -> None:
    part.turn += 1
    part.started_at, part.closed_at = since, None
    unit.session.flush()
    _promise(unit, defect, part)


def _promise(unit: UnitOfWork, defect: DefectRow, part: ClientDefectRow) -> None:
    from pipeline.notices import service as notices
    from pipeline.promises import service as promises

    promise = promises.open_promise(unit, defect.id, part.client_id, part.started_at, turn=part.turn)
    case = first_case(unit.session, defect.id, part.client_id)
    notices.queue(
        unit,
        kind="defect_recorded",
        client_id=part.client_id,
        key=f"defect_recorded/{defect.id}/{part.client_id}/{part.turn}",
        params={
            "defect": defect.id,
            "cases": case_numbers(unit.session, defect.id, part.client_id),
            "subject": case.subject,
            "due": promise.due,
        },
        about=(KIND, defect.id),
        store_id=case.store_id,
    )


def filing_effect(defect_id: str) -> str:
    """The effect id of the defect's filing: one for ever."""
    return f"tracker.file:{defect_id}"


def file(unit: UnitOfWork, defect_id: str) -> JobRow:
    """Hand the defect to development's tracker, bundle attached; asked for again, it is the same one issue.

    Raises:
        NotFoundError: there is no such defect.
        RefusedError: it has no bundle to replay, so development could not see it.
    """
    row = unit.get(DefectRow, defect_id, called=KIND)
    if row.bundle is None:
        raise RefusedError(
            f"defect {defect_id} has no bundle: reproduce it first with `garant reproduce CASE`, then file it"
        )
    effect = filing_effect(defect_id)
    job = unit.session.get(JobRow, effect, with_for_update=True)
    if job is not None and job.state == "failed":
        # A person asks again after the attempts were used up; the handler looks for the label first.
        job.state, job.attempts, job.updated_at = "queued", 0, unit.now
        unit.session.flush()
        unit.record(KIND, defect_id, "filing_asked_again", reason=job.error)
        unit.wake("job", effect, queue=job.queue)
        return job
    if job is None:
        unit.record(KIND, defect_id, "filing_asked")
    return unit.start_job(
        "tracker.file",
        effect,
        {"defect": defect_id},
        owner=(KIND, defect_id),
        queue=TRACKER_QUEUE,
        max_attempts=5,
    )


def comment(unit: UnitOfWork, row: DefectRow, what: str, text: str) -> None:
    """Tell development something about a filed defect, once per ``what``; nothing while it is not filed."""
    if row.tracker_key is not None:
        unit.start_job(
            "tracker.comment",
            f"tracker.comment:{row.id}:{what}",
            {"defect": row.id, "key": row.tracker_key, "marker": f"{row.id}:{what}", "text": text},
            queue=TRACKER_QUEUE,
            max_attempts=5,
        )


def _reopen_issue(unit: UnitOfWork, row: DefectRow, what: str, text: str) -> None:
    """Bring a filed defect's issue back to work, with a comment; once per ``what``."""
    if row.tracker_key is not None:
        unit.start_job(
            "tracker.reopen",
            f"tracker.reopen:{row.id}:{what}",
            {"defect": row.id, "key": row.tracker_key, "marker": f"{row.id}:{what}", "text": text},
            queue=TRACKER_QUEUE,
            max_attempts=5,
        )


def mark_filed(unit: UnitOfWork, row: DefectRow, outcome: dict[str, Any]) -> None:
    """The tracker has the issue (``outcome`` is the job ``tracker.file``'s); it is followed from now on."""
    from pipeline.trackers import service as trackers

    if row.tracker_key is not None:
        return
    row.tracker, row.tracker_key, row.tracker_url = outcome["tracker"], outcome["key"], outcome.get("url")
    if row.state in ("recorded", "reopened"):
        row.state = "filed"
    row.updated_at = unit.now
    unit.record(KIND, row.id, "filed", tracker=row.tracker, key=row.tracker_key, url=row.tracker_url)
    if row.tracker == "jira":
        trackers.follow(unit)


def mark_filing_failed(unit: UnitOfWork, row: DefectRow, reason: str) -> None:
    """The tracker said no for good: a person must mend the settings and file again."""
    unit.record(KIND, row.id, "filing_failed", reason=reason)


def mark_fixed(unit: UnitOfWork, defect_id: str, version: str) -> DefectRow:
    """A version passed the two-sided rule (DESIGN section 7): say so to development and to the clients.

    Marked again with the same or a newer version, it stays fixed in the version known.

    Raises:
        NotFoundError: there is no such defect.
        RefusedError: it is closed.
    """
    row = unit.get(DefectRow, defect_id, called=KIND)
    if row.state == "closed":
        raise RefusedError(f"defect {defect_id} is closed (fixed in {row.fixed_in}): nothing to mark")
    if row.fixed_in is not None and rules.at_least(version, row.fixed_in):
        return row
    row.state, row.fixed_in, row.updated_at = "fixed", version, unit.now
    unit.record(KIND, defect_id, "fixed", version=version)
    comment(unit, row, f"fixed:{version}", f"Fixed in {version}: the bundle passes there and fails before.")
    for part in clients_of(unit.session, defect_id):
        if part.closed_at is None:
            _tell_fix(unit, row, part)
    return row


def _tell_fix(unit: UnitOfWork, row: DefectRow, part: ClientDefectRow) -> None:
    from pipeline.notices import service as notices

    notices.queue(
        unit,
        kind="fix_released",
        client_id=part.client_id,
        key=f"fix_released/{row.id}/{part.client_id}/{part.turn}/{row.fixed_in}",
        params={
            "defect": row.id,
            "cases": case_numbers(unit.session, row.id, part.client_id),
            "version": row.fixed_in,
        },
        about=(KIND, row.id),
        urgent=False,
    )


def store_verified(unit: UnitOfWork, store_id: str, version: str) -> list[str]:
    """A rollout verified the store on ``version``: close what its client no longer has.

    A client's defect closes, with its cases and one notice, when no host of any of its stores can show it;
    a host whose version is not known still can. Repeating it changes nothing.

    Returns:
        The defects closed for the store's client now.
    """
    from pipeline.fleet import service as fleet

    client_id = fleet.store(unit.session, store_id).client_id
    stores = fleet.stores_of_client(unit.session, client_id)
    versions: dict[str, list[str | None]] = {}
    for store in stores:
        known = [host.version for host in fleet.hosts_of_store(unit.session, store.id)]
        versions[store.id] = [version] * len(known) if store.id == store_id else known
    hosts = [version for of_store in versions.values() for version in of_store]
    closed = []
    for defect, part in _open_and_fixed(unit, client_id):
        assert defect.fixed_in is not None
        if rules.client_is_clean(hosts, first_bad=defect.first_bad_release, fixed_in=defect.fixed_in):
            fixed = [
                all(v and rules.at_least(v, defect.fixed_in) for v in known) for known in versions.values()
            ]
            _close_for(unit, defect, part, stores=max(sum(fixed), 1))
            closed.append(defect.id)
    return closed


def _open_and_fixed(unit: UnitOfWork, client_id: str) -> list[tuple[DefectRow, ClientDefectRow]]:
    found = unit.session.execute(
        select(DefectRow, ClientDefectRow)
        .join(ClientDefectRow, ClientDefectRow.defect_id == DefectRow.id)
        .where(
            ClientDefectRow.client_id == client_id,
            ClientDefectRow.closed_at.is_(None),
            DefectRow.fixed_in.is_not(None),
        )
        .order_by(DefectRow.id)
        .with_for_update()
    )
    return [(defect, part) for defect, part in found]


def _close_for(unit: UnitOfWork, defect: DefectRow, part: ClientDefectRow, *, stores: int) -> None:
    from pipeline.intake import service as intake
    from pipeline.notices import service as notices
    from pipeline.promises import service as promises

    client_id, reason = part.client_id, f"fixed in {defect.fixed_in}, verified in all stores of the client"
    part.closed_at = unit.now
    unit.record(KIND, defect.id, "closed_for_client", client=client_id, version=defect.fixed_in)
    notices.queue(
        unit,
        kind="fixed_in_your_stores",
        client_id=client_id,
        key=f"fixed_in_your_stores/{defect.id}/{client_id}/{part.turn}",
        params={
            "defect": defect.id,
            "cases": case_numbers(unit.session, defect.id, client_id),
            "version": defect.fixed_in,
            "stores": stores,
        },
        about=(KIND, defect.id),
    )
    for case in cases_of(unit.session, defect.id, client_id):
        if case.state in ("registered", "classified"):
            intake.restore(unit, case.id)  # now, not earlier: nobody said that it worked again before
        if case.state != "closed":
            intake.close(unit, case.id, reason, tell=False)  # the notice above says it
    promises.close(unit, defect.id, client_id, reason=reason)
    unit.session.flush()
    if all(other.closed_at is not None for other in clients_of(unit.session, defect.id)):
        defect.state, defect.updated_at = "closed", unit.now
        unit.record(
            KIND, defect.id, "closed", reason=f"no client's store can show it since {defect.fixed_in}"
        )
