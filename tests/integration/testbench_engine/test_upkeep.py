"""`testbench slots` and `testbench builds`, and products on npm."""

import shutil

import pytest

from testbench.api import Bench
from testbench.products.cache import BuildCache
from testbench.products.errors import SourceError
from testbench.slots.service import Slots

PRODUCT = ("--product", "product.yaml", "--json")


def test_builds_are_listed_and_pruned(desk):
    """Size and last use are shown; one in use stays, the others go."""
    for tag in ("v1", "v2"):
        desk.history.commit(tag, tag=tag)
    cache = BuildCache.of(Bench.open(desk.folder / "product.yaml").product, desk.folder / "home")
    with cache.use("v1"):
        pass
    with cache.use("v2"):
        listed = desk.run("builds", "list", "--json")
        pruned = desk.run("builds", "prune", "--json")
        left = desk.run("builds", "list", "--json")

    assert [(row["asked"], bool(row["users"])) for row in listed["builds"]] == [("v1", False), ("v2", True)]
    assert listed["bytes"] > 0
    assert [row["name"] for row in pruned["removed"]] == [listed["builds"][0]["name"]]
    assert [row["asked"] for row in left["builds"]] == ["v2"]


def test_sick_bench_says_so_and_is_given_back(desk):
    """A workspace that cannot be written: it fails with cause and next action, until it is mended."""
    desk.history.commit("", tag="v1")
    home = desk.folder / "home"
    run = ("run", "scenario", *PRODUCT, "--version", "v1", "--runs", "1")
    desk.run(*run)
    (home / "runs").rmdir()
    (home / "runs").write_text("in the way")
    failed = desk.run(*run, code=1)
    (home / "runs").unlink()
    still = desk.run(*run, code=1)
    listed = desk.run("slots", "list", "--json")["slots"]
    released = desk.run("slots", "release", "--all", "--json")["released"]
    desk.run(*run)

    for text in (failed, still):
        assert "cannot be written" in text
        assert "testbench slots release --all" in text
    assert {row["state"] for row in listed} == {"quarantine"}
    assert released == [row["slot"] for row in listed]
    assert "name the slots" in desk.run("slots", "release", code=2)
    assert Slots(home).listed()[1] == []


@pytest.fixture
def npm_bench(tmp_path):
    """is-number on the registry that npm is set up for."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not on this machine: apt-get install nodejs npm")
    (tmp_path / "product.yaml").write_text("name: is-number\nsource: {npm: is-number}\ndriver: command\n")
    scenario = tmp_path / "scenario"
    scenario.mkdir()
    (scenario / "check.js").write_text(
        "const isNumber = require(process.argv[2] + '/node_modules/is-number');\n"
        "process.exit(isNumber(new Number(5)) ? 1 : 0);\n"
    )
    (scenario / "scenario.yaml").write_text('run: [node, "{scenario}/check.js", "{build}"]\n')
    bench = Bench.open(tmp_path / "product.yaml", home=tmp_path / "home")
    try:
        bench.versions()
    except SourceError as problem:
        pytest.skip(f"no npm registry: {problem}")
    return bench, bench.load(scenario)


def test_package_of_npm(npm_bench):
    """Versions are listed in order, installed and played; one that is not there says so."""
    bench, scenario = npm_bench
    versions = bench.versions()
    seen = {version: bench.play(scenario, version).kind.value for version in (versions[0], versions[-1])}
    missing = bench.play(scenario, "99.0.0")

    assert versions.index("2.1.0") < versions.index("7.0.0")
    assert set(seen.values()) <= {"good", "bad"}
    assert (missing.kind.value, missing.stage) == ("untestable", "build")
