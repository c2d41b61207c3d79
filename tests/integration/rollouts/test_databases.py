"""The same story on SQLite and on PostgreSQL: locks, counts and joins mean the same on both."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.application import Garant
from pipeline.database import Database
from pipeline.engine.memory import MemoryEngine
from pipeline.settings import Settings

BED = Path(__file__).parents[2] / "rollouts_bed"
if str(BED) not in sys.path:
    sys.path.insert(0, str(BED))

from world import World, make_keys, make_world  # noqa: E402


@pytest.fixture
def world(database: Database, clock: Any, tmp_path: Path) -> Iterator[World]:
    """A fleet in memory over a real database."""
    keys = tmp_path / "keys"
    keys.mkdir()
    app = Garant(Settings(home=tmp_path / "home"), database=database, engine=MemoryEngine(clock), clock=clock)
    yield make_world(app, clock, make_keys(keys))
    app.engine.stop()


def test_faults_and_all_it_comes_to_its_end(world: World) -> None:
    """A rolled-back register, a lost answer and an offline store: named, retried, caught up, completed."""
    for name in ("k-1", "k-2", "k-3"):
        world.store(name)
    world.release()
    world.hosts["k-2-r1"].failures.append("rolled-back")
    world.hosts["k-2-r2"].failures.append("lost")
    offline = [host for name, host in world.hosts.items() if name.startswith("k-3")]
    for host in offline:
        host.online = False
    rollout = world.plan(canary=("k-1",))
    world.start(rollout)
    world.pass_time(120)

    assert world.status(rollout)["state"] == "running"
    assert world.states(rollout)["k-2-r1"] == "rolled-back"

    for host in offline:
        host.online = True
    world.act("retry", rollout)
    world.pass_time(120)

    status = world.status(rollout)
    assert status["state"] == "completed"
    assert status["max_registers_down_per_store"] == 1
    assert set(world.out_most.values()) == {1}
    assert all(len(host.updates) == 1 for host in world.hosts.values())
