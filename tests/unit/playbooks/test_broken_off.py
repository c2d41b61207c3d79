"""Changes whose worker, caller or both die: finished or undone, never doubled, never left out of service."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_set import FakeHost

ROOT = Path(__file__).parents[3]
MOMENTS = ["before-stop", "after-stop", "before-start", "after-start"]

CALLER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from garant.layout import HostLayout
from garant.order import Order
from garant.session import run
root = Path(sys.argv[2])
(root / "parent.pid").write_text(str(os.getpid()))
print(json.dumps(run(HostLayout(root), Order(**json.loads(sys.stdin.read())))))
"""


def caller(host: FakeHost, desk: Any, release: Path, **arguments: Any) -> subprocess.Popen[str]:
    """Start the call in a process of its own, as SSH does with the module."""
    desk.stage(host, release)
    order = desk.order(release, action="update", **arguments)
    process = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(ROOT / "playbooks/module_utils"), str(host.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(vars(order)))
    process.stdin.close()
    return process


def wait_for_the_host(host: FakeHost) -> None:
    """Wait until nobody changes the host any more."""
    with (host.root / "var/lib/garant/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the call said at its end."""
    assert process.stdout is not None
    with process.stdout:
        said: dict[str, Any] = json.loads(process.stdout.read())
    process.wait()
    return said


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_worker_is_followed_by_one_that_settles(
    host_of: Any, release_of: Any, desk: Any, moment: str
) -> None:
    """kill -9 of the worker: the same call settles what it left and carries the update to its end."""
    host, release = host_of("server"), release_of("10.4.2.0")
    host.kill_at(moment, "worker")

    result = answer(caller(host, desk, release))

    host.wait_for_orphan()
    assert (result["state"], result["version_after"]) == ("done", "10.4.2.0"), result["reason"]
    assert host.version() == "10.4.2.0"
    assert not (host.root / "kill-at").exists()


@pytest.mark.parametrize("behaviour", ["good", "broken"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_second_call_finishes_what_a_power_cut_left(
    host_of: Any, release_of: Any, desk: Any, moment: str, behaviour: str
) -> None:
    """Worker and caller die at once: the same effect id finishes the change, or undoes it when it must."""
    host, release = host_of("server"), release_of("10.4.2.0", behaviour=behaviour)
    host.kill_at(moment, "both")
    process = caller(host, desk, release)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    assert desk.call(host, "probe")["probe"]["unfinished"] == ["e1"]

    result = desk.update(host, release, health_timeout=1.0)

    host.wait_for_orphan()
    expected = ("done", "10.4.2.0") if behaviour == "good" else ("rolled-back", "10.4.1.0")
    assert (result["state"], host.version()) == expected, result["reason"]
    assert host.linked() == host.version()
    assert desk.call(host, "probe")["probe"]["unfinished"] == []


@pytest.mark.parametrize("moment", ["after-stop", "after-start"])
def test_another_effect_settles_it_first(host_of: Any, release_of: Any, desk: Any, moment: str) -> None:
    """A change that nobody asks about again is settled before the next one touches the host."""
    host, release = host_of("server"), release_of("10.4.2.0")
    host.kill_at(moment, "both")
    process = caller(host, desk, release)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()

    result = desk.update(host, release_of("10.4.3.0"), effect_id="e2", lock_wait=30.0)

    assert (result["state"], host.version()) == ("done", "10.4.3.0"), result["reason"]
    before = desk.call(host, "probe", effect_id="e1")["probe"]["receipt"]
    assert (before["state"], before["final"]) == (("rolled-back" if moment == "after-stop" else "done"), True)


def test_shift_opened_after_a_power_cut_forbids(host_of: Any, release_of: Any, desk: Any) -> None:
    """What was asked before the cut is asked again after it: trade may have gone on since."""
    server = host_of("server", "10.4.2.0")
    host, release = host_of("register", server_url=server.url), release_of("10.4.2.0")
    host.kill_at("after-stop", "both")
    process = caller(host, desk, release)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    host.start()
    host.says(shift={"number": 8, "open": True})

    result = desk.update(host, release)

    assert (result["state"], host.version()) == ("refused", "10.4.1.0")
    assert "shift 8 is open" in result["reason"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_lost_caller_does_not_stop_the_change(
    host_of: Any, release_of: Any, desk: Any, number: signal.Signals
) -> None:
    """When the connection is cut in mid-change the worker goes on to the end, and its receipt tells."""
    host, release = host_of("server"), release_of("10.4.2.0")
    process = caller(host, desk, release)
    receipt = host.root / "var/lib/garant/receipts/e1.json"
    while not receipt.exists() or not json.loads(receipt.read_text())["phases"]:
        time.sleep(0.002)
    process.send_signal(number)
    if number is not signal.SIGKILL:  # a hang-up or a shutdown of the session reaches the worker too
        os.kill(json.loads(receipt.read_text())["worker_pid"], number)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    wait_for_the_host(host)

    found = desk.call(host, "probe", effect_id="e1")["probe"]

    assert (found["receipt"]["state"], found["version"], found["lock"]["held"]) == ("done", "10.4.2.0", False)
    assert desk.update(host, release)["changed"] is False


def test_second_call_attaches_to_the_first(host_of: Any, release_of: Any, desk: Any) -> None:
    """Two calls of one effect at once: one change, and both are told its outcome."""
    host, release = host_of("server"), release_of("10.4.2.0")
    calls = [caller(host, desk, release, lock_wait=0.0) for _ in range(3)]

    results = [answer(call) for call in calls]

    assert [result["state"] for result in results] == ["done"] * 3
    assert sum(result["changed"] for result in results) == 1
    assert host.starts_and_stops() == ["start", "stop", "start"]


def test_another_effect_finds_the_host_busy(host_of: Any, release_of: Any, desk: Any) -> None:
    """While one change holds the host another one is told so and touches nothing; probe names the holder."""
    host = host_of("server")
    lock = host.root / "var/lib/garant/lock"
    lock.write_text('{"effect_id": "other"}')
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        result = desk.update(host, release_of("10.4.2.0"))
        found = desk.call(host, "probe")["probe"]["lock"]

    assert (result["state"], result["failed"], result["changed"]) == ("busy", False, False)
    assert "effect other" in result["reason"]
    assert found == {"held": True, "effect_id": "other"}


def test_long_change_is_busy_for_its_caller_only(host_of: Any, release_of: Any, desk: Any) -> None:
    """When ``wait`` is over the caller is told busy; the change itself comes to its end."""
    host, release = host_of("server"), release_of("10.4.2.0", behaviour="broken")

    result = answer(caller(host, desk, release, wait=0.3, health_timeout=1.5))
    wait_for_the_host(host)

    assert result["state"] == "busy"
    assert desk.update(host, release)["state"] == "rolled-back"


def test_product_started_by_a_change_heeds_signals(host_of: Any, release_of: Any, desk: Any) -> None:
    """The worker's deafness is its own: what it starts ends on SIGTERM as ever."""
    host, release = host_of("server"), release_of("10.4.2.0")
    answer(caller(host, desk, release))

    os.kill(int((host.root / "product.pid").read_text()), signal.SIGTERM)

    while host.version() is not None:
        time.sleep(0.02)


def test_worker_leaves_no_process(host_of: Any, release_of: Any, desk: Any) -> None:
    """After a change nothing of ours runs: the receipt's worker is gone."""
    host, release = host_of("server"), release_of("10.4.2.0")

    answer(caller(host, desk, release))

    receipt = json.loads((host.root / "var/lib/garant/receipts/e1.json").read_text())
    status = Path(f"/proc/{receipt['worker_pid']}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()
