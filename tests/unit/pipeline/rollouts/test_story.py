"""Rollouts over a fleet in memory, on virtual time, with the real rules, rows, ticks and jobs."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from pipeline.engine.tables import JobRow
from pipeline.errors import NotFoundError, RefusedError
from pipeline.releases import service as releases
from pipeline.rollouts import reading
from pipeline.rollouts.policy import Policy


def test_everything_is_updated_server_first_and_within_the_budget(world: Any) -> None:
    """Two clients' stores end verified; the server comes before every register; one register at a time."""
    world.store("k-1")
    world.store("k-2")
    world.store("n-1", client="nord")
    world.release()
    rollout = world.plan(canary=("k-1",))
    world.start(rollout)
    world.pass_time(180)

    status = world.status(rollout)
    assert status["state"] == "completed"
    assert status["hosts_done"] == status["hosts_total"] == 15
    assert {host.version for host in world.hosts.values()} == {"10.4.2"}
    assert all(len(host.updates) == 1 for host in world.hosts.values())
    assert set(world.out_most.values()) == {1}
    assert status["max_registers_down_per_store"] == 1
    with world.app.database.reading() as session:
        steps = reading.history(session, rollout)
    done = {step["host"]: index for index, step in enumerate(steps) if step["to"] == "done"}
    begun = {step["host"]: index for index, step in enumerate(steps) if step["to"] == "applying"}
    for host in begun:
        store = host.rpartition("-")[0]
        assert host.endswith("server") or begun[host] > done[f"{store}-server"]


def test_the_second_wave_waits_for_the_first_one_and_its_soak(world: Any) -> None:
    """Nothing of wave 2 is touched while wave 1 soaks."""
    world.store("k-1")
    world.store("k-2")
    world.release()
    rollout = world.plan(canary=("k-1",))
    world.start(rollout)
    world.pass_time(25)

    states = world.states(rollout)
    assert states["k-1"] == "verified"
    assert states["k-2-server"] == "planned"
    assert world.status(rollout)["waves"][0]["state"] == "soaking"


def test_clients_are_told_in_order_and_once(world: Any) -> None:
    """Scheduled, started, done: each once for each client."""
    world.store("k-1")
    world.store("k-2")
    world.store("n-1", client="nord")
    world.release()
    rollout = world.plan(canary=("k-1",))
    world.start(rollout)
    world.pass_time(180)

    told = world.told()
    assert sorted(told) == sorted(
        (f"update_{kind}", client)
        for kind in ("scheduled", "started", "done")
        for client in ("kupets", "nord")
    )


def test_a_register_that_fails_is_rolled_back_and_done_after_a_retry(world: Any) -> None:
    """The store is held with the reason; the retry is a new attempt; the rollout completes."""
    world.store("k-1")
    world.store("k-2")
    world.release()
    world.hosts["k-2-r3"].failures.append("rolled-back")
    rollout = world.plan(canary=("k-1",))
    world.start(rollout)
    world.pass_time(180)

    status = world.status(rollout)
    assert status["state"] == "completed-with-exceptions"
    assert world.states(rollout)["k-2-r3"] == "rolled-back"
    assert "k-2-r3" in status["waves"][1]["stores"][0]["detail"]
    assert ("update_failed", "kupets") in world.told()

    assert world.act("retry", rollout, "k-2-r3") == ["k-2-r3"]
    world.pass_time(180)

    assert world.status(rollout)["state"] == "completed"
    assert world.hosts["k-2-r3"].updates == [f"{rollout}.k-2-r3.2"]
    assert ("update_done", "kupets") in world.told()


def test_a_failure_in_the_canary_wave_pauses(world: Any) -> None:
    """The first failure of the first wave stops everything that has not begun; resume goes on."""
    world.store("k-1")
    world.store("k-2")
    world.release()
    world.hosts["k-1-r1"].failures.append("rolled-back")
    rollout = world.plan(canary=("k-1",))
    world.start(rollout)
    world.pass_time(180)

    status = world.status(rollout)
    assert status["state"] == "paused"
    assert status["waves"][0]["state"] == "failed"
    assert world.hosts["k-2-server"].version == "10.4.1"
    assert ("update_postponed", "kupets") in world.told()

    world.act("retry", rollout)
    world.act("resume", rollout)
    world.pass_time(180)

    assert world.status(rollout)["state"] == "completed"


def test_an_offline_store_catches_up(world: Any) -> None:
    """It holds no wave up, is shown as offline, and is updated when it answers again."""
    world.store("k-1")
    world.store("k-2")
    world.store("k-3")
    world.release()
    for name in ("k-2-server", "k-2-r1", "k-2-r2", "k-2-r3", "k-2-r4"):
        world.hosts[name].online = False
    rollout = world.plan(canary=("k-1",))
    world.start(rollout)
    world.pass_time(240)

    status = world.status(rollout)
    offline = next(store for store in status["waves"][1]["stores"] if store["store"] == "k-2")
    assert (status["state"], offline["state"], offline["waiting"]) == ("running", "waiting", "offline")
    assert "catching up" in status["reason"]
    assert ("update_postponed", "kupets") in world.told()

    for host in world.hosts.values():
        host.online = True
    world.pass_time(60)

    assert world.status(rollout)["state"] == "completed"


def test_an_open_shift_is_waited_for(world: Any) -> None:
    """The register refuses, the store waits for the shift, and goes on when it is closed."""
    world.store("k-1", registers=2)
    world.release()
    world.hosts["k-1-r2"].shift_open = True
    rollout = world.plan()
    world.start(rollout)
    world.pass_time(60)

    store = world.status(rollout)["waves"][0]["stores"][0]
    assert (store["state"], store["waiting"]) == ("registers", "shift")
    assert "shift 1 is open" in store["detail"]

    world.hosts["k-1-r2"].shift_open = False
    world.pass_time(60)

    assert world.status(rollout)["state"] == "completed"


@pytest.mark.parametrize("what", ["lost", "cut"])
def test_an_unknown_host_is_probed_and_never_changed_twice(world: Any, what: str) -> None:
    """A lost connection in mid-change: the probe finds the receipt; an interrupted change is ended, once."""
    world.store("k-1")
    world.release()
    world.hosts["k-1-r1"].failures.append(what)
    rollout = world.plan()
    world.start(rollout)
    world.pass_time(180)

    assert world.status(rollout)["state"] == "completed"
    assert world.hosts["k-1-r1"].updates == [f"{rollout}.k-1-r1.1"]
    with world.app.database.reading() as session:
        steps = [step["to"] for step in reading.history(session, rollout) if step["host"] == "k-1-r1"]
    assert "unknown" in steps


def test_after_a_crash_the_hosts_of_the_slice_are_probed_first(world: Any) -> None:
    """The worker dies in mid-run: the second attempt changes nothing, hosts are probed, then it goes on."""
    world.store("k-1")
    world.release()
    died: list[str] = []

    def crash(order: Any, host: str) -> None:
        if order.action == "update" and host == "k-1-r1" and not died:
            died.append(host)
            raise SystemError("killed")

    world.crash = crash
    rollout = world.plan()
    world.start(rollout)
    world.pass_time(180)

    assert died
    assert world.status(rollout)["state"] == "completed"
    assert world.hosts["k-1-r1"].updates == [f"{rollout}.k-1-r1.1"]
    with world.app.database.reading() as session:
        steps = [s for s in reading.history(session, rollout) if s["host"] == "k-1-r1"]
        attempts = session.scalars(select(JobRow.attempts).where(JobRow.kind == "rollout.slice")).all()
    assert [step["to"] for step in steps][:3] == ["leased", "pre-ok", "unknown"]
    assert max(attempts) == 2


def test_signatures_refused_by_the_host_end_as_failed(world: Any) -> None:
    """What the host's own check refuses is not tried for ever, and nothing was touched."""
    world.store("k-1")
    world.release()
    world.hosts["k-1-server"].failures += ["unapproved"] * 5
    rollout = world.plan()
    world.start(rollout)
    world.pass_time(60)

    store = world.status(rollout)["waves"][0]["stores"][0]
    assert store["state"] == "held"
    assert store["hosts"][0]["state"] == "failed"
    assert "1 of 2 approvals" in store["hosts"][0]["reason"]
    assert not any(host.updates for host in world.hosts.values())


def test_an_edited_package_is_not_sent_to_anybody(world: Any) -> None:
    """Approvals hold for the content: a package that was changed after the start stops every slice."""
    world.store("k-1")
    world.release()
    rollout = world.plan()
    world.start(rollout)
    with world.app.database.reading() as session:
        package = releases.folder(session, "10.4.2") / "package.tar.zst"
    package.write_bytes(package.read_bytes() + b"x")
    world.pass_time(30)

    assert not any(host.updates for host in world.hosts.values())
    assert world.states(rollout)["k-1-server"] == "planned"
    status = world.status(rollout)
    assert status["state"] == "paused"
    assert "may not be applied" in status["reason"]


def test_what_is_not_approved_is_neither_planned_nor_started(world: Any) -> None:
    """One of two approvals is not enough; a recalled release cannot be planned."""
    world.store("k-1")
    world.release(approvers=("boris",))
    with pytest.raises(RefusedError, match="1 of 2 approvals"):
        world.plan()

    world.approve("10.4.2", "clara")
    rollout = world.plan()
    with world.app.unit("person:olga") as unit:
        assert releases.recall(unit, "10.4.2", "receipts are lost") == [rollout]
    with pytest.raises(RefusedError, match="recalled"):
        world.start(rollout)


def test_a_recall_stops_a_running_rollout_at_once(world: Any) -> None:
    """Hosts not touched are skipped, the half-way store is shown as such, clients are told."""
    world.store("k-1")
    world.store("k-2")
    world.release()
    rollout = world.plan(canary=("k-1",), policy=Policy())
    world.start(rollout)
    world.pass_time(1)
    with world.app.unit("person:olga") as unit:
        releases.recall(unit, "10.4.2", "receipts are lost")
    world.pass_time(60)

    status = world.status(rollout)
    states = world.states(rollout)
    assert status["state"] == "recalled"
    assert states["k-2-server"] == "skipped"
    assert "update_postponed" in {kind for kind, _ in world.told()}
    assert all(
        state in ("done", "skipped") for host, state in states.items() if "-r" in host or "server" in host
    )


def test_two_rollouts_share_one_budget(world: Any) -> None:
    """A second release in mid-rollout: never more registers out than the store's budget, over both."""
    world.store("k-1", registers=8)
    world.release()
    world.release("10.4.3")
    first = world.plan()
    second = world.plan(version="10.4.3")
    world.start(first)
    world.start(second)
    world.pass_time(240)

    assert max(world.out_most.values()) <= 2
    assert {host.version for host in world.hosts.values()} == {"10.4.3"}
    assert world.status(second)["state"] == "completed"
    assert world.status(first)["state"] == "completed"


def test_a_single_register_waits_for_consent(world: Any) -> None:
    """N = 1: only a closed store or the client's recorded consent."""
    world.store("k-1", registers=1)
    world.release()
    rollout = world.plan()
    world.start(rollout)
    world.pass_time(60)

    store = world.status(rollout)["waves"][0]["stores"][0]
    assert (store["state"], store["waiting"]) == ("registers", "consent")

    world.act("consent", rollout, "k-1", "I. Petrova")
    world.pass_time(60)

    assert world.status(rollout)["state"] == "completed"


def test_a_pause_begins_nothing_new(world: Any) -> None:
    """What is planned stays planned until the rollout is resumed."""
    world.store("k-1")
    world.release()
    rollout = world.plan()
    world.start(rollout)
    world.act("pause", rollout, "the client asks")
    world.pass_time(60)

    assert set(world.states(rollout).values()) == {"planned", "waiting"}

    world.act("resume", rollout)
    world.pass_time(120)

    assert world.status(rollout)["state"] == "completed"


def test_a_window_is_waited_for(world: Any) -> None:
    """Nothing is touched by day; at night everything is, within the window."""
    night = [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "23:00", "to": "05:00"}]
    world.store("k-1", windows=night)
    world.release()
    rollout = world.plan()
    world.start(rollout)
    world.pass_time(60 * 13)  # 09:00 to 22:00 in Moscow

    store = world.status(rollout)["waves"][0]["stores"][0]
    assert (store["state"], store["waiting"]) == ("waiting", "window")
    assert not world.runner.orders

    world.pass_time(60 * 4)

    assert world.status(rollout)["state"] == "completed"


def test_what_does_not_exist_is_named_with_a_command_that_does(world: Any) -> None:
    """The next action in a message can be typed as it stands."""
    with pytest.raises(NotFoundError, match="garant rollout plan"):
        world.act("pause", "R-000009", "why")
    world.store("k-1")
    world.release()
    rollout = world.plan()
    with pytest.raises(RefusedError, match="garant rollout start"):
        world.act("pause", rollout, "why")
    with pytest.raises(RefusedError, match="draft: plan a new one"):
        world.act("retry", rollout)
