"""The differential oracle for programs: another version says what is right."""

import json

import pytest

from testbench.api import Bench, same_defect

PRODUCT = ("--product", "product.yaml", "--json")


@pytest.fixture
def printing(desk):
    """A scenario without any expectation: it prints the total, with a time that always differs."""
    for number in range(6):
        desk.history.commit(f"drops {number}" if number >= 3 else f"{number}", tag=f"v{number}")
    desk.write(prices=[1, 13, 2, 77, 3])
    (desk.folder / "scenario" / "scenario.yaml").write_text(
        json.dumps(
            {
                "run": ["sh", "-c", 'date +"%Y-%m-%d %H:%M:%S.%N"; {python} {build}/sum.py {input}'],
                "minimise": {"file": "prices.json", "format": "json-list"},
            }
        )
    )
    return desk


def test_difference_is_a_failure(printing):
    """v4 prints another total than v0: reproduced, with both totals; v2 prints the same: not reproduced."""
    bad = printing.run("run", "scenario", *PRODUCT, "--version", "v4", "--against", "v0", "--runs", "2")
    good = printing.run("run", "scenario", *PRODUCT, "--version", "v2", "--against", "v0", "--runs", "2")
    without = printing.run("run", "scenario", *PRODUCT, "--version", "v4", "--runs", "2")

    assert (bad["verdict"], bad["signature"]) == ("reproduced", "differs: output")
    assert [bad["outcomes"][0][name] for name in ("expected", "seen")] == ["line 2: 96", "line 2: 83"]
    assert (good["verdict"], without["verdict"]) == ("not-reproduced", "not-reproduced")


def test_minimise_and_bisect_go_by_the_difference(printing):
    """The scenario's own `against` is heeded by every command; each candidate is compared with its own."""
    file = printing.folder / "scenario" / "scenario.yaml"
    file.write_text(json.dumps({**json.loads(file.read_text()), "against": "v0"}))
    small = printing.run("minimise", "scenario", *PRODUCT, "--version", "v5", "--out", "small")
    culprit = printing.run("bisect", "small", *PRODUCT, "--good", "v0", "--bad", "v5", "--benches", "2")

    assert (small["after"], small["verified"]) == (2, True)
    assert (culprit["release"], culprit["confirmed"]) == ("v3", True)


def test_version_that_is_right_must_exist_and_run(printing):
    """An unknown one is refused by name; one that does not build leaves nothing to compare with."""
    printing.history.commit("", broken=True, tag="v9")
    options = ("run", "scenario", *PRODUCT, "--version", "v4", "--runs", "1")

    assert "no tag or commit 'v77'" in printing.run(*options, "--against", "v77", code=1)
    bench = Bench.open(printing.folder / "product.yaml", home=printing.folder / "home")
    verdict = bench.run(bench.load(printing.folder / "scenario"), "v4", against="v9", runs=1)
    assert (verdict.word.value, verdict.outcomes[0].stage) == ("cannot-run", "against")


def test_one_defect_under_two_scenarios(desk):
    """Other data, other scenario, other version: the same signature, so the same defect."""
    desk.history.commit("drops", tag="v1")
    desk.history.commit("drops more", tag="v2")
    bench = Bench.open(desk.folder / "product.yaml", home=desk.folder / "home")
    verdicts = []
    for version, prices in (("v1", [13, 77]), ("v2", [1, 77, 5, 13]), ("v2", [1])):
        desk.write(prices=prices)
        verdicts.append(bench.run(bench.load(desk.folder / "scenario"), version, runs=2))

    assert same_defect(verdicts[0], verdicts[1])
    assert not same_defect(verdicts[0], verdicts[2])
