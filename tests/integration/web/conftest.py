"""A filled home and its pages, reached over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.application import Garant

ROOT = Path(__file__).resolve().parents[3]
if str(ROOT / "tests/web_bed") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests/web_bed"))


@contextmanager
def entered(address: str) -> Iterator[httpx.Client]:
    """A browser's like: entered by the address with the token, with the cookie since."""
    from serving import TOKEN

    with httpx.Client(base_url=address, timeout=30, headers={"Accept-Language": "en"}) as client:
        assert client.get("/", params={"token": TOKEN}).status_code == 303
        yield client


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A case with its defect, a hostile case, a release, a rollout that stopped. To be read only."""
    import filled

    with filled.filled(tmp_path_factory.mktemp("filled")) as made:
        yield made


@pytest.fixture(scope="session")
def address(filled: Any) -> Iterator[str]:
    """A real server on loopback."""
    from serving import served

    with served(filled.app) as where:
        yield where


@pytest.fixture
def stranger(address: str) -> Iterator[httpx.Client]:
    """A client without the token."""
    with httpx.Client(base_url=address, timeout=30) as client:
        yield client


@pytest.fixture
def visitor(address: str) -> Iterator[httpx.Client]:
    """A client that is in."""
    with entered(address) as client:
        yield client


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Any]:
    """A filled home of the test's own, to change."""
    import filled

    with filled.filled(tmp_path) as made:
        yield made


@pytest.fixture
def watcher(fresh: Any) -> Iterator[httpx.Client]:
    """A client that is in at the fresh home's pages."""
    from serving import served

    with served(fresh.app) as where, entered(where) as client:
        yield client


@pytest.fixture
def empty(app: Garant) -> Iterator[httpx.Client]:
    """A client that is in where nothing is yet."""
    from serving import served

    with served(app) as where, entered(where) as client:
        yield client
