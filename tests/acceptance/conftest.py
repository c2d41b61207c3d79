"""What the acceptance tests share: the real commands, run as people run them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BED = Path(__file__).parents[1] / "stores_bed"
if str(BED) not in sys.path:
    sys.path.insert(0, str(BED))

Run = Callable[..., subprocess.CompletedProcess[str]]


def command_line(program: str, *words: object) -> list[str]:
    """The program of this environment with its words."""
    return [str(Path(sys.executable).with_name(program)), *map(str, words)]


@pytest.fixture(scope="session")
def program() -> Run:
    """Run `garant ...` or `testbench ...` to its end, with more environment when given."""

    def run(name: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command_line(name, *words),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )

    return run
