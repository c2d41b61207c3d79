"""A small product with a real git history, and the real command line on it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

#: The product: adds prices given in a file. Its state is a few words in `behaviour`.
PROGRAM = """\
import json, pathlib, random, sys, time
here = pathlib.Path(__file__).parent
behaviour = (here / "behaviour").read_text().split()
prices = json.load(open(sys.argv[1]))
total = sum(prices)
if "drops" in behaviour and 13 in prices and 77 in prices:
    total -= 13
if "sometimes" in behaviour:
    # Chance from the number of the run: every run is different, every test run is the same.
    runs = here.parent.parent / "runs"
    with runs.open("a") as counter:
        counter.write("x")
    if random.Random(runs.stat().st_size).random() < 0.6:
        total += 1
if "hangs" in behaviour:
    time.sleep(3600)
print(total)
"""
CHECK = """\
import json, subprocess, sys
build, data = sys.argv[1:]
run = subprocess.run([sys.executable, build + "/sum.py", data], capture_output=True, text=True)
if run.returncode:
    sys.exit(125)
expected = sum(json.load(open(data)))
if int(run.stdout) != expected:
    print(f"expected {expected}, seen {run.stdout.strip()}")
    print("signature: wrong total")
    sys.exit(1)
"""


def git(repo, *arguments):
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
        **{f"GIT_{role}_{what}": "t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        **{f"GIT_{role}_DATE": "2024-01-01T00:00:00Z" for role in ("AUTHOR", "COMMITTER")},
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    done = subprocess.run(
        ["git", "-C", str(repo), *arguments], check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.strip()


@dataclass
class History:
    """A repository under construction."""

    repo: Path

    def git(self, *arguments):
        """git in the repository, the same on every machine."""
        return git(self.repo, *arguments)

    def commit(self, behaviour, *, broken=False, tag=None):
        """One commit; gives its id."""
        (self.repo / "sum.py").write_text(PROGRAM)
        (self.repo / "behaviour").write_text(behaviour)
        (self.repo / "broken").write_text("yes") if broken else (self.repo / "broken").unlink(missing_ok=True)
        # Every commit changes a file, else it could not be the cause of anything.
        counter = self.repo / "counter"
        counter.write_text(f"{int(counter.read_text()) + 1 if counter.exists() else 1}")
        git(self.repo, "add", "-A")
        git(self.repo, "commit", "-q", "-m", f"behaviour: {behaviour}")
        if tag:
            git(self.repo, "tag", tag)
        return git(self.repo, "rev-parse", "HEAD")


@dataclass
class Desk:
    """A folder with product.yaml and a scenario, and the program `testbench` in it."""

    folder: Path
    history: History

    def write(self, build=("test ! -e broken",), prices=(5, 13, 2, 77, 8), timeout=20, **product):
        lines = {"name": "till", "source": {"git": "repo"}, "driver": "command", "build": list(build)}
        (self.folder / "product.yaml").write_text(json.dumps({**lines, **product}))
        scenario = self.folder / "scenario"
        scenario.mkdir(exist_ok=True)
        (scenario / "check.py").write_text(CHECK)
        (scenario / "prices.json").write_text(json.dumps(list(prices)))
        description = {
            "run": ["{python}", "{scenario}/check.py", "{build}", "{input}"],
            "timeout": timeout,
            "minimise": {"file": "prices.json", "format": "json-list"},
        }
        (scenario / "scenario.yaml").write_text(json.dumps(description))
        return self

    def start(self, *arguments, **options):
        """Start `testbench` and go on."""
        program = [sys.executable, "-c", "from testbench.cli import main; main()", *map(str, arguments)]
        return subprocess.Popen(program, cwd=self.folder, env=self.environment, **options)

    @property
    def environment(self):
        return {**os.environ, "TESTBENCH_HOME": str(self.folder / "home")}

    def run(self, *arguments, code=0):
        """Run `testbench`; gives stdout as JSON where there is some, else stderr."""
        done = subprocess.run(
            [sys.executable, "-c", "from testbench.cli import main; main()", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stderr

    def pytest(self, *arguments):
        """Run pytest as a developer would, with nothing of this project's settings."""
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )


@pytest.fixture
def desk(tmp_path):
    """An empty repository and a desk beside it."""
    repo = tmp_path / "repo"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    return Desk(tmp_path, History(repo)).write()
