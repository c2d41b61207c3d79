"""The playbooks on real hosts: SSH, supervisors, the reference SET, the depot on the LAN."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.stores

OLD, NEW = "10.4.5.0", "10.4.6.0"
HOSTS = ["store1-server", "store1-r1", "store1-r2"]


def states(results: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {host: result["state"] for host, result in results.items()}


def phases(controller: Any, host: str) -> list[str]:
    receipt = controller.receipt(host)
    return [phase["name"] for phase in receipt["phases"]] if receipt else []


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look until it is so; the suite's own limit ends what never becomes so."""
    while not is_so():
        time.sleep(0.005)


def all_of(state: str) -> dict[str, str]:
    return dict.fromkeys(HOSTS, state)


def test_store_is_updated_once(controller_of: Callable[..., Any], release_of: Callable[..., Path]) -> None:
    """One run brings server and registers to the release; a second changes nothing; rollback returns them."""
    controller, release = controller_of(), release_of(NEW)

    ready = controller.run("preflight.yml", release_dir=str(release))
    assert states(ready) == {"store1-server": "ready", "store1-r1": "refused", "store1-r2": "refused"}
    assert "update the server first" in ready["store1-r1"]["reason"]

    first = controller.run("update.yml", release_dir=str(release))
    assert states(first) == all_of("done"), controller.said
    assert [controller.version(host) for host in HOSTS] == [NEW] * 3
    assert all(0 < result["out_of_service_seconds"] < 20 for result in first.values())
    assert all("manifest" not in result["invocation"]["module_args"] for result in first.values())

    second = controller.run("update.yml", release_dir=str(release))
    assert states(second) == all_of("done")
    assert not any(result["changed"] for result in second.values())
    third = controller.run("update.yml", release_dir=str(release), attempt=2)
    assert not any(result["changed"] for result in third.values())

    back = controller.run("rollback.yml")
    assert states(back) == all_of("done"), controller.said
    assert [controller.version(host) for host in HOSTS] == [OLD] * 3


def test_staging_ahead_leaves_one_short_stop(
    controller_of: Callable[..., Any], release_of: Callable[..., Path]
) -> None:
    """stage.yml brings the package to server and registers while they serve; the update finds it there."""
    controller, release = controller_of(registers=1), release_of(NEW)

    staged = controller.run("stage.yml", release_dir=str(release))
    assert states(staged) == {"store1-server": "staged", "store1-r1": "staged"}, controller.said
    assert controller.version("store1-r1") == OLD

    done = controller.run("update.yml", release_dir=str(release))
    assert states(done) == {"store1-server": "done", "store1-r1": "done"}
    details = {phase["name"]: phase["detail"] for phase in done["store1-r1"]["phases"]}
    assert details["unpack"] == "was in its place"


def test_wrong_or_unapproved_release_is_refused(
    controller_of: Callable[..., Any], release_of: Callable[..., Path]
) -> None:
    """A package with another digest and a release with one approval leave every host as it was."""
    controller = controller_of(registers=1)
    altered, unapproved = release_of(NEW), release_of(NEW, approvers=["anna", "denis"])
    with (altered / "package.tar.zst").open("ab") as package:
        package.write(b"\0")

    wrong = controller.run("update.yml", release_dir=str(altered))
    few = controller.run("update.yml", release_dir=str(unapproved), attempt=2)

    assert states(wrong) == states(few) == {"store1-server": "refused", "store1-r1": "refused"}
    assert "approved is sha256:" in wrong["store1-server"]["reason"]
    assert "denis: is the author" in few["store1-server"]["reason"]
    assert {result["event"] for result in wrong.values()} == {"runner_on_ok"}
    assert [controller.version(host) for host in HOSTS[:2]] == [OLD, OLD]


def test_unhealthy_version_is_rolled_back(
    controller_of: Callable[..., Any], release_of: Callable[..., Path]
) -> None:
    """A server that does not start with the new version serves the old one again; no register is touched."""

    def spoil(tree: Path) -> None:
        (tree / "bin/set-server").write_text("#!/bin/sh\nexit 1\n")

    controller, release = controller_of(registers=1), release_of(NEW, spoil)

    results = controller.run("update.yml", release_dir=str(release), set_host_health_timeout=2)

    # Ansible begins no further play when every host of one has failed: the registers are not even asked.
    assert states(results) == {"store1-server": "rolled-back"}, controller.said
    assert results["store1-server"]["event"] == "runner_on_failed"
    assert [controller.version(host) for host in HOSTS[:2]] == [OLD, OLD]


def test_open_shift_is_refused_and_trade_goes_on(
    controller_of: Callable[..., Any], release_of: Callable[..., Path]
) -> None:
    """A register with an open shift is left alone until its Z report; the other one is updated."""
    controller, release = controller_of(), release_of(NEW)
    opened = controller.act("store1-r1", {"type": "shift.open", "payload": {"tab_number": "1"}})
    assert opened[-1]["ok"], opened

    first = controller.run("update.yml", release_dir=str(release))
    assert states(first) == {"store1-server": "done", "store1-r1": "refused", "store1-r2": "done"}
    assert "is open: wait for its Z report" in first["store1-r1"]["reason"]

    closed = controller.act(
        "store1-r1", {"type": "shift.close", "payload": {}}, {"type": "sync", "payload": {}}
    )
    assert closed[0]["ok"], closed
    again = controller.run("update.yml", release_dir=str(release), limit="store1-r1")
    assert states(again) == {"store1-r1": "done"}, again
    assert controller.version("store1-r1") == NEW


def test_cut_in_mid_change_leaves_a_finished_host(
    controller_of: Callable[..., Any], release_of: Callable[..., Path]
) -> None:
    """The link goes down and the controller dies while the server changes: it finishes alone."""

    def slow(tree: Path) -> None:
        program = tree / "bin/set-server"
        program.rename(tree / "bin/set-server.real")
        program.write_text('#!/bin/sh\nsleep 1\nexec "${0}.real" "$@"\n')
        program.chmod(0o755)

    controller, release = controller_of(registers=1), release_of(NEW, slow)
    with controller.start(
        "update.yml", "-e", f"release_dir={release}", "--limit", "store1-server"
    ) as process:
        wait_until(lambda: "start" in phases(controller, "store1-server"))
        controller.stores.cut("store1")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    wait_until(lambda: controller.receipt("store1-server")["final"])
    controller.stores.restore("store1")

    probed = controller.run("probe.yml", limit="store1-server")["store1-server"]["probe"]
    assert (probed["version"], probed["healthy"], probed["unfinished"]) == (NEW, True, [])
    told = phases(controller, "store1-server")
    second = controller.run("update.yml", limit="store1-server", release_dir=str(release))["store1-server"]
    assert (second["state"], second["changed"]) == ("done", False)
    assert phases(controller, "store1-server") == told


def test_power_cut_in_mid_change_is_settled(
    controller_of: Callable[..., Any], release_of: Callable[..., Path]
) -> None:
    """A register that loses power while it is switched comes up, is probed as unfinished, and is finished."""

    def slow(tree: Path) -> None:
        # So that there is a mid-change to hit, however busy this machine is.
        program = tree / "bin/set-register"
        program.rename(tree / "bin/set-register.real")
        program.write_text('#!/bin/sh\nsleep 5\nexec "${0}.real" "$@"\n')
        program.chmod(0o755)

    controller, release = controller_of(registers=1), release_of(NEW, slow)
    assert states(controller.run("update.yml", limit="store1-server", release_dir=str(release))) == {
        "store1-server": "done"
    }
    arguments = ("update.yml", "-e", f"release_dir={release}", "--limit", "store1-r1")
    with controller.start(*arguments) as process:
        wait_until(lambda: "stop" in phases(controller, "store1-r1"))
        controller.stores.kill("store1-r1")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    controller.stores.start("store1-r1")

    probed = controller.run("probe.yml", limit="store1-r1")["store1-r1"]["probe"]
    result = controller.run("update.yml", limit="store1-r1", release_dir=str(release))["store1-r1"]

    assert len(probed["unfinished"]) == 1
    assert (result["state"], controller.version("store1-r1")) == ("done", NEW), result["reason"]


def test_people_use_the_same_playbooks(
    controller_of: Callable[..., Any], release_of: Callable[..., Path]
) -> None:
    """By hand: a table of what may be touched, a dry run, evidence in a folder, a register healed."""
    controller, release = controller_of(registers=1), release_of(NEW)

    code, table = controller.by_hand("preflight.yml", "-e", f"release_dir={release}")
    assert code == 0, table
    assert re.search(r"store1-server +10\.4\.5\.0 +ready", table), table
    assert re.search(r"store1-r1 +10\.4\.5\.0 +refused +order: .*update the server first", table), table

    code, said = controller.by_hand(
        "update.yml", "--check", "-e", f"release_dir={release}", "--limit", "store1-server"
    )
    assert (code, "ready: may be touched now" in said) == (0, True), said
    assert controller.receipt("store1-server") is None

    evidence = controller.folder / "evidence"
    code, said = controller.by_hand("collect.yml", "-e", f"evidence_dir={evidence}")
    assert code == 0, said
    found = {path.relative_to(evidence).as_posix() for path in evidence.rglob("*") if path.is_file()}
    assert {"store1-server/set.json", "store1-r1/set.log", "store1-r1/probe.json"} <= found

    assert controller.stores.run("store1-r1", "cash stop").returncode == 0
    code, said = controller.by_hand("heal.yml", "--limit", "store1-r1")
    assert (code, "was down and serves again" in said) == (0, True), said
    assert controller.version("store1-r1") == OLD


def test_unknown_host_key_is_refused(controller_of: Callable[..., Any]) -> None:
    """A host whose key is not the pinned one is unreachable: nothing is asked of it."""
    controller = controller_of(registers=1)
    known = Path(controller.ssh["known_hosts"])
    other = controller.folder / "other"
    other.write_text(known.read_text().replace("AAAAC3NzaC1lZDI1NTE5AAAAI", "AAAAC3NzaC1lZDI1NTE5AAAAJ"))
    controller.ssh["known_hosts"] = str(other)

    assert states(controller.run("probe.yml")) == {"store1-server": "unknown", "store1-r1": "unknown"}
