"""`garant demo` as programs and people meet it: its answer, its bundle alone, every way to end it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import traces
from packaging.requirements import Requirement

import testbench
from testbench.stores import detect_mode

pytestmark = [pytest.mark.stores, pytest.mark.timeout(1200)]

GARANT = Path(sys.executable).with_name("garant")
SMALL = ("--stores", "1", "--registers", "2")
#: Environment variable that every process of one demo inherits; the hosts' own processes do not.
MARK = "GARANT_ACCEPTANCE"


class Demo:
    """One `garant demo` in a folder, started as a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.mark = uuid.uuid4().hex
        self.log = Path(tempfile.mkdtemp(prefix="demo-log-", dir=folder.parent))
        with (self.log / "out").open("wb") as out, (self.log / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [GARANT, "demo", "--folder", folder, *options],
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env={**os.environ, MARK: self.mark},
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return (self.log / "out").read_text()

    @property
    def err(self) -> str:
        return (self.log / "err").read_text()

    def wait_until(self, seen: Callable[[], bool]) -> None:
        """Until something of it is seen; a demo that ends before fails the test with what it said."""
        while not seen():
            assert self.process.poll() is None, self.err[-4000:]
            time.sleep(0.05)

    def end_by(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(120)

    def family(self) -> list[str]:
        """Processes that were started by it, however they were handed on."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "status"]):
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
            except psutil.Error:
                continue
        return found

    def runs(self, name: str) -> bool:
        return any(name in line for line in self.family())


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder outside of pytest's own: a killed demo leaves mounts in it until it is cleaned."""
    if os.geteuid() != 0 or detect_mode().best is None:
        pytest.skip("local stores need root here: see `garant doctor`")
    made = Path(tempfile.mkdtemp(prefix="garant-demo-test-"))
    yield made
    subprocess.run([GARANT, "demo", "--clean", "--folder", made / "demo"], check=True, capture_output=True)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def played(place: Path) -> Iterator[dict[str, Any]]:
    """A small story that was played to its end."""
    demo = Demo(place / "played", "--json", *SMALL)
    assert demo.process.wait() == 0, demo.err[-4000:]
    assert demo.family() == []
    yield json.loads(demo.out)
    shutil.rmtree(place / "played")


def test_the_answer_has_the_promised_fields(played: dict[str, Any]) -> None:
    """Programs outside read these names; a field more may come, none may go or change its kind."""
    fields: dict[str, dict[str, type | tuple[type, ...]]] = {
        "defect": {
            "verdict": str,
            "version": str,
            "first_bad_release": str,
            "first_bad_commit": str,
            "events_before": int,
            "events_after": int,
            "bundle": str,
        },
        "tracker": {"kind": str, "key": str, "attachments": list},
        "promise": {"due": str, "eta": str, "told_at": str},
        "release": {"version": str, "digest": str, "approvals": list},
        "rollout": {
            "id": str,
            "state": str,
            "hosts_total": int,
            "hosts_done": int,
            "max_registers_down_per_store": int,
        },
    }
    lists: dict[str, dict[str, type | tuple[type, ...]]] = {
        "steps": {"name": str, "ok": bool, "seconds": (int, float)},
        "notices": {"kind": str, "client": str, "language": str, "state": str},
    }

    assert played.keys() == {"ok", *fields, *lists, "folder"}
    for name, kinds in fields.items():
        wrong = {key for key, kind in kinds.items() if not isinstance(played[name][key], kind)}
        assert wrong == set()
    for name, kinds in lists.items():
        assert played[name]
        for row in played[name]:
            assert row.keys() == kinds.keys()
            assert all(isinstance(row[key], kind) for key, kind in kinds.items())


def test_the_tracker_holds_the_bundle(place: Path, played: dict[str, Any]) -> None:
    """What is attached to the issue is the bundle itself, whole: a developer needs nothing of ours."""
    stored = [file for file in (place / "played/home/tracker").rglob("*") if file.is_file()]
    bundle = Path(played["defect"]["bundle"])

    assert len(stored) == 1
    with tarfile.open(stored[0]) as archive:
        attached = {
            member.name.partition("/")[2]: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
            if member.isfile()
        }
    assert attached == {str(f.relative_to(bundle)): f.read_bytes() for f in bundle.rglob("*") if f.is_file()}


def test_the_places_told_at_the_end_are_there(place: Path, played: dict[str, Any]) -> None:
    """After the story its rows can be read by the ordinary commands, and say what the answer says."""

    def ask(*words: str) -> Any:
        command = [GARANT, "--home", place / "played/home", *words, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert ask("defect", "show", played["defect"]["id"])["state"] == "closed"
    assert [case["state"] for case in ask("case", "list", "--state", "all")["cases"]] == ["closed"]
    assert ask("release", "verify", played["release"]["version"])["ok"] is True
    assert ask("rollout", "status", played["rollout"]["id"])["state"] == "completed"
    told = {(notice["kind"], notice["state"]) for notice in ask("notices", "list")}
    assert {(notice["kind"], notice["state"]) for notice in played["notices"]} <= told


def test_the_bundle_needs_the_bench_only(place: Path, played: dict[str, Any]) -> None:
    """On a developer's desk, without `pipeline` and what only it needs: fails, and passes on the fix."""
    python = _bench_alone(place / "desk")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def pytest_of(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", played["defect"]["bundle"], *options],
            capture_output=True,
            text=True,
            check=False,
            cwd=place / "desk",
            env={**environment, "TESTBENCH_HOME": str(place / "desk/bench")},
        )

    absent = "from importlib.util import find_spec; print(find_spec('pipeline'), find_spec('sqlalchemy'))"
    found = subprocess.check_output([python, "-c", absent], text=True, cwd=place / "desk", env=environment)
    assert found == "None None\n"
    bad, good = pytest_of(), pytest_of("--set-version", "v10.4.8.0")
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert "receipt-arithmetic/lines-sum" in bad.stdout
    assert good.returncode == 0, good.stdout + good.stderr


def _bench_alone(folder: Path) -> Path:
    """An environment as `pip install --no-deps` of the bench and of its base dependencies would make it.

    Linked from this one, so that nothing is downloaded. Returns its interpreter.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python3*/site-packages"))
    (site / "testbench").symlink_to(Path(testbench.__file__).parent)
    for name in _base_dependencies("garant", set()):
        distribution = importlib.metadata.distribution(name)
        tops = {Path(file.parts[0]) for file in distribution.files or () if ".." not in file.parts}
        for top in tops - {Path("__pycache__")}:
            own = name == "garant" and not top.name.endswith(".dist-info")
            source = Path(str(distribution.locate_file(top)))
            if not own and source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)
    return folder / "bin/python"


def _base_dependencies(name: str, seen: set[str]) -> set[str]:
    """The distribution and all that it needs without its extras."""
    seen.add(name)
    for line in importlib.metadata.requires(name) or ():
        need = Requirement(line)
        wanted = need.marker is None or need.marker.evaluate({"extra": ""})
        if wanted and need.name.lower() not in seen:
            _base_dependencies(need.name.lower(), seen)
    return seen


def test_a_kill_while_stores_come_up_is_cleaned(place: Path) -> None:
    """kill -9 between two hosts: --clean takes away processes, mounts, links, routes, cgroups, the folder."""
    folder = place / "demo"
    before = traces.look(str(folder))
    demo = Demo(folder, "--stores", "3", "--registers", "3")
    demo.wait_until(lambda: len(list((folder / "stores/hosts").glob("*/pid"))) >= 1)
    demo.end_by(signal.SIGKILL)
    left = traces.left_behind(str(folder), before)
    assert {"mounts", "links", "register"} <= left.keys(), "killed too early: nothing was there to be cleaned"

    done = subprocess.run(
        [GARANT, "demo", "--clean", "--json", "--folder", folder], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert f"folder {folder}" in json.loads(done.stdout)["removed"]
    assert traces.left_behind(str(folder), before) == {}
    assert demo.family() == []
    assert not folder.exists()


def test_a_kill_in_a_rollout_does_not_hinder_the_next_run(place: Path) -> None:
    """kill -9 while Ansible works: the next run just begins anew; Ctrl-C in that leaves its folder only."""
    folder = place / "demo"
    before = traces.look(str(folder))
    killed = Demo(folder, *SMALL)
    killed.wait_until(lambda: killed.runs("ansible-playbook"))
    killed.end_by(signal.SIGKILL)

    following = Demo(folder, "--json", *SMALL)
    # The longest step, and so the one that is most likely to be interrupted.
    following.wait_until(lambda: any((folder / "bench/runs").glob("*")))
    assert killed.family() == []
    code = following.end_by(signal.SIGINT)

    assert code == 130, following.err[-4000:]
    assert "interrupted in step reproduction; the stores are down" in following.err
    assert "Traceback" not in following.err
    assert json.loads(following.out)["ok"] is False
    assert following.family() == []
    assert list((folder / "bench/runs").glob("*")) == []
    assert traces.left_behind(str(folder), before) == {}


def test_clean_while_a_demo_plays_is_refused(place: Path) -> None:
    """--clean does not pull the stores from under a story: it names the process that plays it."""
    folder = place / "demo"
    before = traces.look(str(folder))
    demo = Demo(folder, *SMALL)
    demo.wait_until(lambda: (folder / "demo.pid").exists())
    refused = subprocess.run(
        [GARANT, "demo", "--clean", "--json", "--folder", folder], capture_output=True, text=True, check=False
    )
    code = demo.end_by(signal.SIGTERM)

    assert refused.returncode == 1
    assert f"process {demo.process.pid}" in refused.stderr
    assert refused.stdout == ""
    assert code == 130, demo.err[-4000:]
    assert traces.left_behind(str(folder), before) == {}
    assert demo.family() == []
