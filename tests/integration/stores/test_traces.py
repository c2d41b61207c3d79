"""What a fleet leaves behind: nothing, however it ended."""

import os
import signal
import subprocess
import sys
import time

import pytest

from testbench.stores import StartError, StateError, StorePlan, Stores, down, plain_plans

pytestmark = pytest.mark.stores

MAKER = (
    "import sys, pathlib; from testbench.stores import Stores, plain_plans; "
    "print('go', flush=True); "
    "Stores.up(plain_plans(3, 2, [], None), pathlib.Path(sys.argv[1]), sys.argv[2]); "
    "print('up', flush=True)"
)


@pytest.mark.parametrize("mode", ["systemd", "runit"])
def test_down_leaves_nothing(tmp_path, traces, left_behind, mode):
    """Processes, links, routes, namespaces, mounts, cgroups, settings are as before; the folder is gone."""
    before = traces(str(tmp_path))
    fleet = Stores.up(plain_plans(1, 1, [], None), tmp_path / "a", mode)

    made = left_behind(str(tmp_path), before)
    assert {"links", "routes", "mounts", "cgroups", "register"} <= made.keys()
    fleet.down()
    assert left_behind(str(tmp_path), before) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["systemd", "runit"])
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6])
def test_down_clears_what_a_killed_maker_left(tmp_path, traces, left_behind, mode, delay):
    """kill -9 at any moment of up: down removes whatever was made by then."""
    before = traces(str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", MAKER, str(tmp_path / "a"), mode], stdout=subprocess.PIPE
    ) as maker:
        maker.stdout.readline()
        time.sleep(delay)
        os.kill(maker.pid, signal.SIGKILL)
    down(tmp_path / "a")

    assert left_behind(str(tmp_path), before) == {}
    assert list(tmp_path.iterdir()) == []


def test_after_a_kill_up_says_what_to_do_and_works_after_down(tmp_path):
    """A killed run's rest is never taken for a fleet, nor built over."""
    with subprocess.Popen(
        [sys.executable, "-c", MAKER, str(tmp_path / "a"), "runit"], stdout=subprocess.PIPE
    ) as maker:
        maker.stdout.readline()
        while not (tmp_path / "a/fleet.json").exists():
            assert maker.poll() is None
        os.kill(maker.pid, signal.SIGKILL)

    with pytest.raises(StateError, match="stores down"):
        Stores.up(plain_plans(1, 1, [], None), tmp_path / "a", "runit")
    down(tmp_path / "a")
    Stores.up(plain_plans(1, 1, [], None), tmp_path / "a", "runit").down()


def test_a_maker_that_fails_cleans_up_itself(tmp_path, traces, left_behind):
    """A product that never answers: the error shows its own words, and nothing is left."""
    before = traces(str(tmp_path))
    build = tmp_path / "build"
    (build / "bin").mkdir(parents=True)
    (build / "VERSION").write_text("0.1")
    for name in ("set-server", "set-register"):
        (build / "bin" / name).write_text("#!/bin/sh\necho no such table: goods\nexit 1\n")
        (build / "bin" / name).chmod(0o755)

    with pytest.raises(StartError, match="no such table: goods"):
        Stores.up([StorePlan(name="a", registers=1, product=build)], tmp_path / "a", timeout_s=1.5)
    assert left_behind(str(tmp_path), before) == {}
    assert not (tmp_path / "a").exists()


def test_two_fleets_live_and_go_apart(tmp_path, traces, left_behind):
    """A demo beside the tests: own addresses; taking one down leaves the other untouched."""
    before = traces(str(tmp_path))
    first = Stores.up(plain_plans(1, 1, [], None), tmp_path / "a")
    second = Stores.up(plain_plans(1, 1, [], None), tmp_path / "b")

    assert first.site.network != second.site.network
    first.down()
    assert second.run("store1-r1", "echo here").stdout == "here\n"
    assert Stores.open(tmp_path / "b").host_state("store1-server") == "up"
    second.down()
    assert left_behind(str(tmp_path), before) == {}


def test_down_on_nothing_is_no_error(tmp_path):
    """down may be called at any time, twice too."""
    assert down(tmp_path / "none") == []
    assert down(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
