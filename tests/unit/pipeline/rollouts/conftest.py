"""A world of rollouts on virtual time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

BED = Path(__file__).parents[3] / "rollouts_bed"
if str(BED) not in sys.path:
    sys.path.insert(0, str(BED))

from world import World, make_keys, make_world  # noqa: E402


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of the people, and allowed_signers."""
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def world(app: Any, clock: Any, keys: Path) -> World:
    """An empty fleet; add stores and a release."""
    return make_world(app, clock, keys)
