"""Two real defects of public packages, with culprits that their maintainers have confirmed.

The packages come from the index that pip is set up for; without one the tests are skipped with the reason.
The commits need clones: GARANT_REPRO_CLONES names a folder with xmltodict/ and python-barcode/ in it.
"""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from testbench.api import Bench
from testbench.bundles.replaying import replay
from testbench.bundles.writing import write_bundle
from testbench.products.errors import SourceError

CASES = sorted(path.parent for path in Path(__file__).with_name("repro-cases").glob("*/case.json"))


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """One cache of builds for all cases."""
    return tmp_path_factory.mktemp("testbench-home")


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request):
    """The case's folder."""
    return request.param


@pytest.fixture
def facts(case):
    """What is known of it."""
    return json.loads((case / "case.json").read_text(encoding="utf-8"))


@pytest.fixture
def bench(case, home):
    """The bench on the package index."""
    bench = Bench.open(case / "product.yaml", home=home)
    try:
        bench.versions()
    except SourceError as problem:
        pytest.skip(f"no package index, or no interpreter: {problem}")
    return bench


def test_verdicts_of_the_releases(bench, case, facts):
    """Each release shows what is known of it."""
    scenario = bench.load(case / "scenario")
    seen = {
        version: "bad" if bench.run(scenario, version, runs=2).shown else "good"
        for version in facts["verdicts"]
    }

    assert seen == facts["verdicts"]


def test_release_is_found_and_the_small_bundle_replays(bench, case, facts, tmp_path):
    """Bisection over the index names the release; the small bundle fails on it, and only there."""
    scenario = bench.load(case / "scenario")
    for question in facts["releases"]:
        culprit = bench.bisect(scenario, good=question["good"], bad=question["bad"], find=question["find"])
        assert culprit.confirmed
        assert culprit.id == culprit.release
        if question["answer"]:
            assert culprit.id == question["answer"]
    bad = facts["releases"][-1]["bad"]
    verdict = bench.run(scenario, bad, runs=3)
    reduced = bench.minimise(scenario, bad, verdict=verdict)
    bundle = write_bundle(
        bench,
        reduced.scenario,
        tmp_path / "bundle",
        title=scenario.name,
        version=bad,
        verdict=verdict,
        culprit=culprit,
        reduced=reduced,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )

    assert (reduced.after, reduced.verified) == (facts["elements_after"], True)
    assert replay(bundle, home=bench.builds.home).present is True
    assert replay(bundle, version=culprit.id, home=bench.builds.home).present is False


def test_commit_is_found_in_the_repository(case, facts, home, tmp_path):
    """Bisection over the real history names the known culprit, inside a merged branch too."""
    clone = Path(os.environ.get("GARANT_REPRO_CLONES", "/nonexistent")) / facts["repository"]
    if not clone.exists():
        pytest.skip(f"no clone of {facts['repository']}: set GARANT_REPRO_CLONES to the folder that holds it")
    product = {
        "name": f"{facts['repository']}-git",
        "source": {"git": str(clone), "versions": facts["tags"]},
        "driver": "command",
        "build": facts["build"],
    }
    (tmp_path / "product.yaml").write_text(json.dumps(product), encoding="utf-8")
    shutil.copytree(case / "scenario", tmp_path / "scenario")
    bench = Bench.open(tmp_path / "product.yaml", home=home)
    scenario = bench.load(tmp_path / "scenario")
    for question in facts["commits"]:
        culprit = bench.bisect(scenario, good=question["good"], bad=question["bad"], find=question["find"])

        assert (culprit.id, culprit.confirmed) == (question["answer"], True)
