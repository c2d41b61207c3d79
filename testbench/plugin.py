"""The pytest plugin of the bench: the fixture ``bench`` for bundles, and the options that choose the version.

It is loaded by every pytest of an environment with the bench in it, so the bench itself is imported late.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testbench.bundles.replaying import Replay


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the bench."""
    group = parser.getgroup("testbench", "test bench (bundles of reproduced defects)")
    group.addoption(
        "--set-version",
        metavar="VERSION",
        help="play bundles on this version (default: $TESTBENCH_VERSION, else the one that has the defect)",
    )
    group.addoption(
        "--product",
        metavar="FILE",
        help="product.yaml to take instead of the bundle's own (default: $TESTBENCH_PRODUCT)",
    )


class BundleBench:
    """The fixture ``bench``: plays the bundle that the test stands in."""

    def __init__(self, bundle: Path, version: str | None, product: Path | None) -> None:
        self._bundle = bundle
        self._version = version
        self._product = product

    def replay(self) -> Replay:
        """Play it; a TestbenchError (no such version, changed bundle) fails the test with its message."""
        from testbench.bundles.replaying import replay
        from testbench.errors import TestbenchError

        try:
            return replay(self._bundle, version=self._version, product=self._product)
        except TestbenchError as problem:
            return pytest.fail(str(problem), pytrace=False)

    def check(self) -> Replay:
        """Play it; fail with a report when the defect shows, and also when that cannot be told."""
        result = self.replay()
        if result.present is not False:
            pytest.fail(result.report(), pytrace=False)
        return result


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> BundleBench:
    """The bundle in whose folder the test file is, on the version chosen by option or environment."""
    version = request.config.getoption("--set-version") or os.environ.get("TESTBENCH_VERSION")
    product = request.config.getoption("--product") or os.environ.get("TESTBENCH_PRODUCT")
    return BundleBench(request.path.parent, version, Path(product) if product else None)
