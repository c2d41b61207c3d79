"""The driver on real builds: clean shifts, broken products, limits, restarts, and nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from testbench.drivers.port import Build, Limits
from testbench.drivers.registry import driver
from testbench.drivers.set10 import SetDriver
from testbench.oracles import differential
from testbench.outcomes import Outcome
from testbench.scenarios import OracleSpec, Scenario, Stated, write
from testbench.scenarios.composing import Composer, good

START = datetime(2025, 11, 23, 5, tzinfo=UTC)
GOOD_RELEASE = "v10.4.8.0"
MILK, BREAD = good("100501", "4600000000015", 8990, vat=10), good("500001", "4600000005001", 2327)
CHEESE = good("21000678", "2100678", 79900, vat=10, plu=678)
CHEESE_LABEL = "2100678001267"


def busy_shift(restarts: bool = False) -> Scenario:
    """A shift on two registers with most of what a shift may hold."""
    composer = Composer(START, registers=(1, 2))
    composer.package("1", [MILK, BREAD, CHEESE])
    composer.open_shift(1)
    composer.open_shift(2)
    composer.do(1, "shift:1/1", "cash.in", amount=100_000)
    sale = composer.receipt([("4600000000015", 2000), (CHEESE_LABEL, 1000)], 40_000, percent=1000)
    composer.receipt([("4600000005001", 3000)], 6981 - 101, 2, amount=101, payment="card")
    composer.do(2, "net:2", "network.cut")
    composer.receipt([("4600000000015", 1000)], 10_000, 2)
    if restarts:
        composer.do(1, "restart:1", "restart")
        composer.do(2, "restart:2", "restart")
        composer.do(None, "restart:server", "restart")
    composer.do(2, "sync:2", "sync")
    composer.do(2, "net:2", "network.restore")
    composer.receipt([("4600000005001", 1000)], 0, cancelled=True)
    cash, shift, number = (int(part) for part in sale.partition(":")[2].split("/"))
    original = {"cash": cash, "shift": shift, "number": number}
    composer.do(1, "sync:1", "sync")
    composer.receipt([("4600000000015", 1000)], 8091, original=original)
    composer.package("2", [dataclasses.replace(BREAD, prices=(MILK.prices[0],))])
    composer.receipt([("4600000005001", 1000)], 10_000)
    composer.do(None, "export:1", "export")
    composer.close_shift(1)
    composer.close_shift(2)
    return composer.scenario("busy shift")


def discounted() -> Scenario:
    composer = Composer(START)
    composer.package("1", [BREAD])
    composer.open_shift()
    composer.receipt([("4600000005001", 1000)] * 3, 10_000, amount=100)
    return composer.scenario()


@pytest.fixture
def broken(build: Callable[[str], Build], tmp_path: Path) -> Callable[[str], Build]:
    """The good release with one statement put at the start of the discount's distribution."""

    def make(statement: str) -> Build:
        good_build = build(GOOD_RELEASE)
        path = tmp_path / "broken"
        shutil.copytree(good_build.path, path, ignore=shutil.ignore_patterns("__pycache__"))
        module = path / "set10/register/discounts.py"
        text = module.read_text()
        place = text.index('"""', text.index("def distribute"))
        place = text.index('"""', place + 3) + 3
        module.write_text(f"{text[:place]}\n    {statement}\n{text[place:]}")
        return dataclasses.replace(good_build, path=path)

    return make


def run(build: Build, scenario: Scenario, workspace: Path, seconds: float = 60) -> Outcome:
    workspace.mkdir()
    return SetDriver().play(build, scenario, workspace, Limits(seconds=seconds))


def test_registry_knows_the_driver() -> None:
    """product.yaml's `driver: set` is this driver."""
    assert isinstance(driver("set"), SetDriver)


@pytest.mark.parametrize("restarts", [False, True], ids=["one-process", "restarts"])
@pytest.mark.parametrize("tag", ["v10.4.1.0", GOOD_RELEASE])
def test_busy_shift_is_clean(play: Callable[[str, Scenario], Outcome], tag: str, restarts: bool) -> None:
    """A release without defects plays a whole shift with no finding, in one process or with kill -9s."""
    scenario = busy_shift(restarts)
    outcome = play(tag, scenario)

    assert (outcome.kind, outcome.detail) == (outcome.kind.GOOD, "")
    assert outcome.events == scenario.size


def test_nothing_of_the_busy_shift_is_skipped(build: Callable[[str], Build], tmp_path: Path) -> None:
    """The clean shift is clean because all of it was done: only the exchange over the cut LAN is refused."""
    run(build(GOOD_RELEASE), busy_shift(), tmp_path / "run")
    seen = json.loads((tmp_path / "run/observations.json").read_text())

    assert [action["type"] for action in seen["action"].values() if not action["ok"]] == ["sync"]
    assert len(seen["receipt"]) == 6
    assert set(seen["z"]) == {"1/1", "2/1"}


def test_three_runs_are_equal(build: Callable[[str], Build], tmp_path: Path) -> None:
    """Signature, detail and observations of a bad release are the same in every run."""
    digests, outcomes = set(), set()
    for number in range(3):
        workspace = tmp_path / str(number)
        outcome = run(build("v10.4.6.0"), discounted(), workspace)
        outcomes.add((outcome.kind, outcome.signature, outcome.detail))
        digests.add((workspace / "observations.json").read_bytes())

    assert len(outcomes) == 1
    assert len(digests) == 1
    assert outcomes.pop()[1] == "receipt-arithmetic/lines-sum"


@pytest.mark.parametrize(
    ("statement", "signature"),
    [
        ("raise ZeroDivisionError('4600000005001')", "alive/http-500:register:ZeroDivisionError"),
        ("import os; os.kill(os.getpid(), 9)", "alive/crash:signal-9"),
        ("import os; os.write(2, b'MemoryError: 17 bytes'); os._exit(3)", "alive/crash:MemoryError"),
    ],
    ids=["500", "killed", "exit"],
)
def test_broken_product_is_bad(
    broken: Callable[[str], Build], tmp_path: Path, statement: str, signature: str
) -> None:
    """A product that fails is bad with the kind of its failure, without the data of the error."""
    outcome = run(broken(statement), discounted(), tmp_path / "run")

    assert (outcome.kind, outcome.signature) == (outcome.kind.BAD, signature)


def test_hanging_product_is_ended_by_the_limit(broken: Callable[[str], Build], tmp_path: Path) -> None:
    """A product that does not answer is a hang when the run's time is over, and is gone then."""
    outcome = run(broken("import time; time.sleep(600)"), discounted(), tmp_path / "run", seconds=6)

    assert outcome.signature == "alive/hang:register"
    assert not _processes_of(tmp_path)


def test_run_that_is_too_long_is_no_hang(build: Callable[[str], Build], tmp_path: Path) -> None:
    """A product that answers until the run's time is over is not called bad: the run says nothing."""
    composer = Composer(START)
    composer.package("1", [BREAD])
    composer.open_shift()
    for _ in range(3000):
        composer.receipt([("4600000005001", 1000)] * 3, 10_000)
    outcome = run(build(GOOD_RELEASE), composer.scenario(), tmp_path / "run", seconds=5)

    assert (outcome.kind, outcome.stage) == (outcome.kind.UNTESTABLE, "time")
    assert "--timeout" in outcome.detail
    assert not _processes_of(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "syntax"])
def test_build_that_does_not_start_is_untestable(
    build: Callable[[str], Build], tmp_path: Path, damage: str
) -> None:
    """A build without its program, or with a syntax error in it, says nothing about the defect."""
    path = tmp_path / "build"
    shutil.copytree(build(GOOD_RELEASE).path, path, ignore=shutil.ignore_patterns("__pycache__"))
    if damage == "missing":
        shutil.rmtree(path / "bin")
    else:
        (path / "set10/web.py").write_text("def (")
    outcome = run(dataclasses.replace(build(GOOD_RELEASE), path=path), discounted(), tmp_path / "run")

    assert (outcome.kind, outcome.stage) == (outcome.kind.UNTESTABLE, "start")
    assert not _processes_of(tmp_path)


def test_missing_interpreter_is_infra(build: Callable[[str], Build], tmp_path: Path) -> None:
    """A bench that cannot start anything blames itself, not the product."""
    nowhere = dataclasses.replace(build(GOOD_RELEASE), python=tmp_path / "no-python")
    outcome = run(nowhere, discounted(), tmp_path / "run")

    assert outcome.kind in (outcome.kind.INFRA, outcome.kind.UNTESTABLE)
    assert not outcome.tells


def test_statement_of_an_engineer_is_an_oracle(play: Callable[[str, Scenario], Outcome]) -> None:
    """A stated total that holds is good, one that does not is bad, by unit or by exported number."""
    scenario = discounted()
    right = scenario.replaced(oracle=OracleSpec(stated=(Stated(receipt="receipt:1/1/1", total="68.81"),)))
    wrong = scenario.replaced(oracle=OracleSpec(stated=(Stated(receipt="1/1/1", total="68.80"),)))

    assert play(GOOD_RELEASE, right).is_good
    assert play(GOOD_RELEASE, wrong).signature == "stated/receipt-total"


def test_differential_oracle_finds_without_expectations(
    build: Callable[[str], Build], tmp_path: Path
) -> None:
    """With no invariant at all, the observations of the right version show the defect."""
    scenario = discounted().replaced(oracle=OracleSpec(invariants=()))
    (tmp_path / "right").mkdir()
    right = SetDriver().observe(build(GOOD_RELEASE), scenario, tmp_path / "right", Limits())
    assert right is not None
    (tmp_path / "bad").mkdir()
    outcome = SetDriver().play(build("v10.4.6.0"), scenario, tmp_path / "bad", Limits(), right)

    assert outcome.signature is not None
    assert outcome.signature.startswith(f"{differential.NAME}/receipt")


def test_looked_for_signature_is_named_first(play: Callable[[str, Scenario], Outcome]) -> None:
    """A run that shows two failures is bad with the one that the scenario looks for."""
    composer = Composer(START)
    composer.package("1", [BREAD])
    composer.open_shift()
    composer.receipt([("4600000005001", 1000)], 0, cancelled=True)
    composer.close_shift()
    scenario = composer.scenario()
    sought = scenario.replaced(oracle=OracleSpec(looks_for="z-report/purchase-count"))

    assert play("v10.4.5.0", scenario).signature == "z-report/purchase-amount"
    assert play("v10.4.5.0", sought).signature == "z-report/purchase-count"


def test_child_dies_with_the_bench(build: Callable[[str], Build], tmp_path: Path) -> None:
    """kill -9 of the bench in mid-run leaves no process of the product behind."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not installed: children do not die with a killed bench")
    write(busy_shift(), tmp_path / "scenario")
    (tmp_path / "run").mkdir()
    release = build(GOOD_RELEASE)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom testbench.drivers.port import Build, Limits\n"
        "from testbench.drivers.set10.provision import Store\nfrom testbench.scenarios import read\n"
        f"build = Build(product='set10', asked='x', resolved='x', path=Path({str(release.path)!r}),"
        f" python=Path({str(release.python)!r}))\n"
        f"scenario = read(Path({str(tmp_path / 'scenario')!r}))\n"
        f"with Store(build, scenario, Path({str(tmp_path / 'run')!r}), Limits()):\n"
        "    print('up', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as bench:
        assert bench.stdout is not None
        assert bench.stdout.readline() == b"up\n"
        assert _processes_of(tmp_path / "run")
        os.kill(bench.pid, signal.SIGKILL)
    while _processes_of(tmp_path / "run"):  # the test's own time limit ends a failure
        time.sleep(0.01)


def _processes_of(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(folder) in line and "--config" in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.info["pid"])
    return found
