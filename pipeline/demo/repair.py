"""From the filed defect to the approved update in every store, and the closed case."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.defects import service as defects
from pipeline.demo import shops
from pipeline.demo.observer import ServiceObserver
from pipeline.demo.people import AUTHOR, Person
from pipeline.demo.plan import FIXED
from pipeline.demo.stage import ACTOR, Stage
from pipeline.demo.steps import NotAsToldError
from pipeline.demo.trouble import run_bundle
from pipeline.errors import RefusedError
from pipeline.intake import service as intake
from pipeline.promises import service as promises
from pipeline.releases import service as releases
from pipeline.releases.building import BuildRequest, build_release
from pipeline.releases.package import MANIFEST
from pipeline.releases.signatures import OpenSshSignatures
from pipeline.reproduction import service as reproduction
from pipeline.rollouts import reading
from pipeline.rollouts import service as rollouts
from pipeline.rollouts.policy import Policy
from testbench.reference import build_history

#: A careful rollout, hurried: a story does not soak for half an hour, and a broken register shows at once.
POLICY = Policy(
    soak=timedelta(seconds=2),
    probe_fresh=timedelta(minutes=5),
    offline_retry=timedelta(seconds=5),
    unknown_retry=timedelta(seconds=3),
    refusal_retry=timedelta(seconds=5),
    health_timeout=timedelta(seconds=8),
)
VERSION = FIXED.removeprefix("v")
#: Only a step that hangs takes so long; on a busy machine the longest takes some minutes.
_ROLLOUT_WAIT_S = 600.0


def file_defect(stage: Stage) -> None:
    """The defect goes to development with the bundle attached; filed again it is still one issue."""
    for _ in range(2):
        with stage.app.unit(ACTOR) as unit:
            defects.file(unit, stage.told.defect_id)
        stage.wait(lambda: stage.defect().tracker_key is not None, "the tracker's issue")
    defect = stage.defect()
    issue = stage.tracker.look(stage.app, defect.id)
    if len(issue["attachments"]) != 1 or issue["issues"] != 1:
        raise NotAsToldError(f"the tracker has {issue}")
    stage.told.tracker = {
        "kind": stage.tracker.kind,
        "key": defect.tracker_key,
        "attachments": issue["attachments"],
    }
    stage.narrator.say(f"{defect.id} filed as {defect.tracker_key}, with {issue['attachments'][0]} attached")


def promise_date(stage: Stage) -> None:
    """Within 3 days the client is told when it will be fixed: the date is set, the notice goes out."""
    stage.await_notice("defect_recorded")
    eta = (stage.app.clock() + timedelta(days=5)).date()
    with stage.app.unit(ACTOR) as unit:
        promises.set_eta(unit, stage.told.defect_id, eta, "the fix is being tested")
    stage.await_notice("eta")
    stage.wait(lambda: _promise(stage).state == "met", "the promise to be met")
    promise = _promise(stage)
    stage.told.promise = {
        "due": promise.due.isoformat(),
        "eta": eta.isoformat(),
        "told_at": promise.told_at.isoformat(),
    }
    stage.narrator.say(
        f"the client was told {eta}; the 3-day promise was due {promise.due:%Y-%m-%d %H:%M} UTC"
    )


def _promise(stage: Stage) -> Any:
    with stage.app.database.reading() as session:
        found = promises.promises(session, defect_id=stage.told.defect_id)
    return found[0]


def fix(stage: Stage) -> None:
    """Development publishes a new tag; the bundle is played on it, and on the bad one beside it."""
    build_history(stage.folder / "set10.git", upto=FIXED)
    with stage.app.unit(ACTOR) as unit:
        job = reproduction.fix_job_id(reproduction.request_fix_check(unit, stage.told.defect_id, FIXED))
    stage.work(job)
    stage.wait(lambda: stage.defect().fixed_in is not None, "the fix to be verified")
    run_bundle(stage, expected=0, version=FIXED)
    stage.narrator.say(f"{FIXED} appeared; the bundle passes on it: fixed in {stage.defect().fixed_in}")


def release(stage: Stage) -> None:
    """Built, tested against every past bundle, approved by two of three, verified on a store's host."""
    app, say = stage.app, stage.narrator.say
    people = {person.principal: person for person in stage.people}
    notes = {"ru": "Скидка на чек распределяется по строкам точно.", "en": "A discount is spread exactly."}
    request = BuildRequest(version=FIXED, product_file=stage.product, author=AUTHOR, notes=notes)
    row, _ = build_release(app, request)
    with app.unit(f"person:{AUTHOR}") as unit:
        effect = releases.gate_effect(releases.submit(unit, row.id))
    stage.work(effect)
    stage.wait(lambda: _release(stage, row.id).gate.get("state") == "passed", "the regression gate")
    say(f"release {row.id} built, {row.digest[:19]}…; every past bundle passes on it")
    _refused(stage, row.id, people[AUTHOR])
    for approver in stage.people[:2]:
        _approve(stage, row.id, approver)
    with app.database.reading() as session:
        verified = releases.verify(session, app.settings, row.id)
    if not verified.ok:
        raise NotAsToldError("; ".join(verified.problems))
    approvals = sorted(verified.approvals.valid)
    stage.told.release = {"version": row.id, "digest": row.digest, "approvals": approvals}
    say(f"approved by {' and '.join(approvals)}; the author's own approval was refused")


def _release(stage: Stage, version: str) -> Any:
    with stage.app.database.reading() as session:
        return releases.release(session, version)


def _approve(stage: Stage, version: str, approver: Person) -> None:
    """What the approver does at his desk: sign the manifest with his own key, hand in the signature."""
    manifest = (Path(_release(stage, version).folder) / MANIFEST).read_bytes()
    signature = OpenSshSignatures(None).sign(manifest, approver.key)
    with stage.app.unit(f"person:{approver.principal}") as unit:
        releases.approve(unit, stage.app.settings, version, approver.principal, signature)


def _refused(stage: Stage, version: str, author: Person) -> None:
    try:
        _approve(stage, version, author)
    except RefusedError:
        return
    raise NotAsToldError("the author's own approval was taken")


def roll_out(stage: Stage) -> None:
    """One canary store, then the rest; a register fails and is retried; an offline store catches up."""
    plan, say = stage.plan, stage.narrator.say
    canary = plan.troubled
    faulty = f"{plan.faulty.id}-r{plan.faulty.registers}"
    with stage.app.unit(ACTOR) as unit:
        row, _ = rollouts.plan(
            unit, release_id=stage.told.release["version"], canary=[canary.id], policy=POLICY
        )
        rollout_id = row.id
    with ServiceObserver(stage.stores) as observer:
        if plan.offline is not None:
            observer.look_away(plan.offline.id)
            stage.stores.cut(plan.offline.id)
            say(f"the link to {plan.offline.id} is down")
        shops.break_version(stage.stores, faulty, VERSION)
        with stage.app.unit(ACTOR) as unit:
            rollouts.start(unit, stage.app.settings, rollout_id)
        _await_rollback(stage, rollout_id, faulty)
        say(f"{faulty}: {VERSION} did not get healthy; it went back by itself and serves")
        shops.mend_version(stage.stores, faulty)
        _retry(stage, rollout_id, faulty)
        if plan.offline is not None:
            _await_others(stage, rollout_id, plan.offline.id)
            stage.stores.restore(plan.offline.id)
            observer.look_again(plan.offline.id)
            say(f"every other store is verified; the link to {plan.offline.id} is back")
        _await_end(stage, rollout_id)
        most = observer.most_down
        if observer.looks == 0:
            raise NotAsToldError("nobody looked at the registers")
    _check_hosts(stage, rollout_id, most)


def _status(stage: Stage, rollout_id: str) -> dict[str, Any]:
    with stage.app.database.reading() as session:
        found = reading.status(session, rollout_id, stage.app.clock())
    stage.narrator.doing(_summary(found))
    return found


def _summary(status: dict[str, Any]) -> str:
    stores = [store for wave in status["waves"] for store in wave["stores"]]
    return f"{status['state']}; " + ", ".join(f"{store['store']} {store['state']}" for store in stores)


def _hosts(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        host["host"]: host for wave in status["waves"] for store in wave["stores"] for host in store["hosts"]
    }


def _await_rollback(stage: Stage, rollout_id: str, host: str) -> None:
    def rolled_back() -> bool:
        return bool(_hosts(_status(stage, rollout_id))[host]["state"] == "rolled-back")

    stage.wait(rolled_back, f"the rollback of {host}", _ROLLOUT_WAIT_S)
    if not shops.status(stage.stores, host)["state"] == "ready":
        raise NotAsToldError(f"{host} does not serve after its rollback")


def _retry(stage: Stage, rollout_id: str, host: str) -> None:
    """A person looks, and lets it be tried again; a rollout that was halted by it goes on."""
    with stage.app.unit(ACTOR) as unit:
        rollouts.retry(unit, rollout_id, host)
    if _status(stage, rollout_id)["state"] == "paused":
        with stage.app.unit(ACTOR) as unit:
            rollouts.resume(unit, rollout_id)


def _await_others(stage: Stage, rollout_id: str, offline: str) -> None:
    def others_done() -> bool:
        status = _status(stage, rollout_id)
        stores = [store for wave in status["waves"] for store in wave["stores"]]
        return all(store["state"] == "verified" for store in stores if store["store"] != offline)

    stage.wait(others_done, "the other stores", _ROLLOUT_WAIT_S)


def _await_end(stage: Stage, rollout_id: str) -> None:
    stage.wait(
        lambda: _status(stage, rollout_id)["state"].startswith("completed"),
        "the rollout's end",
        _ROLLOUT_WAIT_S,
    )


def _check_hosts(stage: Stage, rollout_id: str, most_down: dict[str, int]) -> None:
    """Ask every host itself, over SSH."""
    status = _status(stage, rollout_id)
    hosts = [host.name for site in stage.stores.site.stores for host in site.hosts]
    seen = {host: shops.status(stage.stores, host) for host in hosts}
    wrong = [host for host, said in seen.items() if said["version"] != VERSION or said["state"] != "ready"]
    if wrong:
        raise NotAsToldError(f"not on {VERSION}: {', '.join(wrong)}")
    budget = {store.id: max(1, store.registers // 4) for store in stage.plan.stores}
    over = [store for store, most in most_down.items() if most > budget[store]]
    if over:
        raise NotAsToldError(f"too many registers out of service at once in {', '.join(over)}: {most_down}")
    stage.told.rollout = {
        "id": rollout_id,
        "state": status["state"],
        "hosts_total": len(hosts),
        "hosts_done": len(hosts) - len(wrong),
        "max_registers_down_per_store": max(most_down.values()),
    }
    stage.narrator.say(
        f"{len(hosts)} of {len(hosts)} hosts say {VERSION}; "
        f"never more than {max(most_down.values())} register of a store out of service"
    )


def close_case(stage: Stage) -> None:
    """Every client was told before, during and after; the case is closed when its last store runs the fix."""
    for client in stage.plan.clients:
        for kind in ("update_scheduled", "update_started", "update_done"):
            stage.await_notice(kind, client=client)
    stage.await_notice("fixed_in_your_stores")

    def closed() -> bool:
        with stage.app.database.reading() as session:
            return bool(intake.case(session, stage.told.case).state == "closed")

    stage.wait(closed, "the case to be closed")
    stage.narrator.say(f"case {stage.told.case} is closed; its client was told that its stores run the fix")
