"""run, minimise, bundle, replay: one defect from verdict to `pytest BUNDLE`."""

import json
import os
import signal
import subprocess
import time
import xml.etree.ElementTree as ET  # our own pytest's output
from datetime import UTC, datetime

import psutil
import pytest

from testbench.api import Bench
from testbench.bundles.replaying import replay
from testbench.bundles.writing import write_bundle
from testbench.errors import TestbenchError
from testbench.products.cache import BuildCache
from testbench.products.errors import BuildFailedError, BuildInfraError
from testbench.verification import FixWord

PRODUCT = ("--product", "product.yaml")


@pytest.fixture
def product(desk):
    """v1 is right, v2 has the defect, v3 does not build, v4 has it fixed."""
    for behaviour, tag in (("", "v1"), ("drops", "v2"), ("x", "v3"), ("y", "v4")):
        desk.history.commit(behaviour, broken=tag == "v3", tag=tag)
    return desk.write(prices=[*range(100), 13, 77])


@pytest.fixture
def bench(product):
    return Bench.open(product.folder / "product.yaml", home=product.folder / "home")


def test_run_gives_the_promised_fields(product):
    """verdict, version, runs, bad, rate, interval, outcomes, signature; exit 0 for any verdict."""
    answer = product.run("run", "scenario", *PRODUCT, "--version", "v2", "--runs", "3", "--json")

    assert (answer["verdict"], answer["version"], answer["runs"], answer["bad"]) == ("reproduced", "v2", 3, 3)
    assert (answer["rate"], answer["interval"][1], answer["signature"]) == (1.0, 1.0, "exit 1: wrong total")
    assert len(answer["outcomes"]) == 3
    clean = product.run("run", "scenario", *PRODUCT, "--version", "v1", "--json")
    assert (clean["verdict"], clean["runs"]) == ("not-reproduced", 22)


def test_version_that_does_not_build_cannot_be_run(product):
    """The verdict is cannot-run, exit 1, with the build's own words; it is not built a second time."""
    command = ("run", "scenario", *PRODUCT, "--version", "v3")

    assert "test ! -e broken" in product.run(*command, code=1)
    assert "building" not in product.run(*command, code=1)


def test_minimise_finds_the_two_prices(product):
    """102 prices become the two that matter; the small scenario is a scenario again."""
    answer = product.run("minimise", "scenario", *PRODUCT, "--version", "v2", "--out", "small", "--json")

    assert (answer["before"], answer["after"], answer["verified"]) == (102, 2, True)
    assert answer["oracle_calls"] < 40
    assert sorted(json.loads((product.folder / "small" / "prices.json").read_text())) == [13, 77]
    assert "not empty" in product.run(
        "minimise", "scenario", *PRODUCT, "--version", "v2", "--out", "small", code=2
    )
    assert "nothing to minimise" in product.run(
        "minimise", "scenario", *PRODUCT, "--version", "v1", "--out", "other", code=1
    )
    assert not (product.folder / "other").exists()


def test_bundle_fails_on_the_bad_version_and_passes_on_the_fixed_one(product, bench):
    """`pytest BUNDLE` alone: failure with a readable report, JUnit output, success on --set-version v4."""
    scenario = bench.load(product.folder / "scenario")
    verdict = bench.run(scenario, "v2")
    bundle = write_bundle(
        bench,
        scenario,
        product.folder / "bundle",
        title="The total is 13 too low",
        version="v2",
        verdict=verdict,
        created_at=datetime(2024, 5, 1, tzinfo=UTC),
        matrix=bench.matrix(scenario, ["v4"], signature=verdict.signature),
    )
    junit = product.folder / "junit.xml"
    failed = product.pytest(bundle, f"--junit-xml={junit}")
    passed = product.pytest(bundle, "--set-version", "v4")
    untestable = product.pytest(bundle, "--set-version", "v3")

    assert (failed.returncode, passed.returncode, untestable.returncode) == (1, 0, 1)
    for part in ("The total is 13 too low", "till v2", "expected:", "seen:", "wrong total"):
        assert part in failed.stdout
    assert "cannot be told" in untestable.stdout
    case = ET.parse(junit).getroot().find(".//testcase")
    assert case.get("name") == "test_reproduction"
    assert "13 too low" in case.find("failure").text
    assert "the defect shows" in product.run("replay", bundle, code=1)
    assert product.run("replay", bundle, "--version", "v4", "--json")["present"] is False
    rows = json.loads((bundle / "matrix.json").read_text())
    assert [(row["version"], row["verdict"]) for row in rows] == [
        ("v2", "reproduced"),
        ("v4", "not-reproduced"),
    ]


def test_changed_bundle_is_not_played(product, bench):
    """A program slipped into a bundle is found before anything runs."""
    scenario = bench.load(product.folder / "scenario")
    bundle = write_bundle(
        bench,
        scenario,
        product.folder / "bundle",
        title="x",
        version="v2",
        verdict=bench.run(scenario, "v2", runs=2),
        created_at=datetime(2024, 5, 1, tzinfo=UTC),
    )
    (bundle / "scenario" / "check.py").write_text("import os; os._exit(0)")

    assert "scenario/check.py was changed" in product.run("replay", bundle, code=1)
    with pytest.raises(TestbenchError, match="exists already"):
        write_bundle(
            bench,
            scenario,
            bundle,
            title="x",
            version="v2",
            verdict=bench.run(scenario, "v2", runs=2),
            created_at=datetime(2024, 5, 1, tzinfo=UTC),
        )
    with pytest.raises(TestbenchError, match="no bundle"):
        write_bundle(
            bench,
            scenario,
            product.folder / "none",
            title="x",
            version="v1",
            verdict=bench.run(scenario, "v1", runs=2),
            created_at=datetime(2024, 5, 1, tzinfo=UTC),
        )


def test_fix_is_verified_on_both_sides(product, bench):
    """v4 is fixed, v2 is not, v3 cannot be told."""
    scenario = bench.load(product.folder / "scenario")
    words = [
        bench.verify_fix(scenario, bad="v2", new=new, rate=1.0, signature="exit 1: wrong total").word
        for new in ("v4", "v2", "v3")
    ]

    assert words == [FixWord.FIXED, FixWord.NOT_FIXED, FixWord.INCONCLUSIVE]


def test_bundle_of_another_product_is_refused(product, bench):
    """--product must describe the same product."""
    scenario = bench.load(product.folder / "scenario")
    bundle = write_bundle(
        bench,
        scenario,
        product.folder / "bundle",
        title="x",
        version="v2",
        verdict=bench.run(scenario, "v2", runs=2),
        created_at=datetime(2024, 5, 1, tzinfo=UTC),
    )
    other = product.folder / "other.yaml"
    other.write_text("name: other\nsource: {git: repo}\ndriver: command\n")

    with pytest.raises(TestbenchError, match="describes 'other'"):
        replay(bundle, product=other, home=product.folder / "home")


def test_builds_are_shared_remembered_and_evicted(product, bench):
    """One build for many users; a failed one is remembered; the oldest goes when there is no room."""
    told = []
    cache = BuildCache.of(
        bench.product, product.folder / "cache", progress=lambda step: told.append(step.text)
    )
    with cache.use("v1") as one, cache.use("v1") as same:
        assert one.path == same.path
        assert (one.version, len(one.resolved)) == ("v1", 40)
    for _ in range(2):
        with pytest.raises(BuildFailedError, match="fails in build"), cache.use("v3"):
            pass
    assert told == ["building till v1", "building till v3"]

    small = BuildCache(cache.product, cache.home, cache.source, size_limit=0)
    with small.use("v2"):
        assert not one.path.exists()
        with small.use("v4"):
            assert small.log_of("v2").exists()  # in use: never evicted


def test_full_disk_is_the_machines_fault(product, bench):
    """ "No space left" is named with its folder and the next action, and the version is built again later."""
    marker = product.folder / "full"
    marker.touch()
    product.write(build=[f"test ! -e {marker} || {{ echo 'No space left on device'; exit 1; }}"])
    cache = BuildCache.of(Bench.open(product.folder / "product.yaml").product, product.folder / "cache")
    with pytest.raises(BuildInfraError, match=r"disk is full.*free some space"), cache.use("v1"):
        pass
    marker.unlink()

    with cache.use("v1") as build:
        assert (build.path / "sum.py").exists()


def test_parallel_builders_build_once(product):
    """Four programs at once on an empty cache: one build, four answers."""
    log = product.folder / "built"
    product.write(build=[f"echo built >> {log}", "sleep 0.5"])
    arguments = ["run", "scenario", *PRODUCT, "--version", "v1", "--runs", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [product.start(*arguments, **quiet) for _ in range(4)]

    assert [process.wait(timeout=120) for process in started] == [0] * 4
    assert log.read_text() == "built\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_ends_its_children(desk, number, code):
    """Ctrl-C and SIGTERM leave no process and no workspace behind."""
    desk.history.commit("hangs", tag="v1")
    desk.write(timeout=300)
    arguments = ["run", "scenario", *PRODUCT, "--version", "v1", "--timeout", "300"]
    process = desk.start(*arguments, stderr=subprocess.PIPE)
    children = []
    deadline = time.monotonic() + 60
    while not any("sum.py" in _command_line(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, number)
    process.communicate(timeout=60)

    assert process.returncode == code
    _gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert not list((desk.folder / "home" / "runs").iterdir())


def _command_line(process):
    """Its words; none when it has ended between the look at the list and this one."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_daemon_of_a_run_does_not_outlive_it(desk):
    """A process that left the group and its parent is ended; what it waits for tells it from all others."""
    desk.history.commit("", tag="v1")
    up, mark = desk.folder / "up", f"86400.{os.getpid()}"
    script = f"setsid sh -c 'echo up > {up}; exec sleep {mark}' & while [ ! -s {up} ]; do :; done"
    (desk.folder / "scenario" / "scenario.yaml").write_text(json.dumps({"run": ["sh", "-c", script]}))
    desk.run("run", "scenario", *PRODUCT, "--version", "v1", "--runs", "1", "--json")

    assert up.exists()
    assert not [p for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])]


def test_memory_limit_ends_a_greedy_run(desk):
    """A run that wants more memory than allowed fails by itself; the machine does not suffer."""
    desk.history.commit("", tag="v1")
    greedy = {"run": ["{python}", "-c", "b = bytearray(3 * 1024**3)"]}
    (desk.folder / "scenario" / "scenario.yaml").write_text(json.dumps(greedy))
    answer = desk.run("run", "scenario", *PRODUCT, "--version", "v1", "--runs", "1", "--json")

    assert answer["signature"] == "exit 1: MemoryError"


def test_wrong_use_is_exit_2(desk):
    """Unknown options, files that are not there, wrong files: exit 2 with the reason."""
    assert "No such option" in desk.run("run", "scenario", *PRODUCT, "--nonsense", code=2)
    assert "does not exist" in desk.run("run", "nothing", *PRODUCT, "--version", "v1", code=2)
    (desk.folder / "product.yaml").write_text("name: x")
    assert "driver: Field required" in desk.run("run", "scenario", *PRODUCT, "--version", "v1", code=2)
