"""Nothing lost, nothing doubled under kill -9 (DESIGN section 5.5), counted in the world, not in our rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.database import Database

KILLS = 200
THINGS, STEPS = 40, 40


@pytest.mark.timeout(1200)
def test_two_hundred_kills(database: Database, tmp_path: Path) -> None:
    """Every step is taken once and every act stands in the world once, after 200 SIGKILLs of two workers."""
    url = database.url.render_as_string(hide_password=False)
    program = Path(__file__).with_name("kill_loop.py")
    command = [sys.executable, str(program), "--url", url, "--world", str(tmp_path / "world.log")]
    command += ["--kills", str(KILLS), "--things", str(THINGS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-4000:]
    counted = json.loads(done.stdout.splitlines()[-1])
    assert counted["things_over"] == THINGS
    assert counted["steps"] == THINGS * STEPS
    assert counted["acts"] == THINGS * STEPS
    assert counted["distinct_acts"] == THINGS * STEPS
    assert counted["jobs_started_again"] > 0  # else the kills hit nothing and the test showed nothing
    assert counted["acts_at_last_kill"] < THINGS * STEPS  # else the last kills hit workers with nothing to do
