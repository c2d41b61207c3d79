"""A command that was killed goes on where it was; several runs go on at once."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

PRODUCT = ("--product", "product.yaml")


@pytest.fixture
def counted(desk):
    """12 commits, the defect from the 8th on; every finished run writes a line into `finished`."""
    for number in range(12):
        desk.history.commit(f"drops {number}" if number >= 7 else f"{number}", tag=f"v{number}")
    desk.write(prices=[*range(30), 77])
    script = (
        "import subprocess, sys, time\n"
        "time.sleep(0.05)\n"
        "code = subprocess.run([sys.executable, *sys.argv[2:]]).returncode\n"
        "open(sys.argv[1], 'a').write('run\\n')\n"
        "sys.exit(code)\n"
    )
    scenario = desk.folder / "scenario"
    (scenario / "counting.py").write_text(script)
    description = json.loads((scenario / "scenario.yaml").read_text())
    finished = str(desk.folder / "finished")
    description["run"] = ["{python}", "{scenario}/counting.py", finished, *description["run"][1:]]
    (scenario / "scenario.yaml").write_text(json.dumps(description))
    return desk


def runs(desk):
    """How many runs the observer saw, and forget them."""
    file = desk.folder / "finished"
    count = len(file.read_text().splitlines()) if file.exists() else 0
    file.unlink(missing_ok=True)
    return count


def told(answer):
    """An answer without its wall times."""
    changing = ("seconds", "outcomes", "out")
    return {name: value for name, value in answer.items() if name not in changing}


@pytest.mark.parametrize(
    "command",
    [
        ("run", "scenario", *PRODUCT, "--version", "v9", "--json"),
        ("bisect", "scenario", *PRODUCT, "--good", "v0", "--bad", "v11", "--json"),
        ("minimise", "scenario", *PRODUCT, "--version", "v9", "--out", "small", "--json"),
    ],
    ids=lambda command: command[0],
)
def test_killed_command_goes_on_without_repeating_a_run(counted, command):
    """kill -9 at random moments, then the same command: the same answer, no finished run made again."""
    whole = counted.run(*command)
    needed = runs(counted)
    if (counted.folder / "small").exists():
        (counted.folder / "small").rename(counted.folder / "first")
    dice, kills = random.Random(command[0]), 0
    for _ in range(3):
        process = counted.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        goal = dice.randint(1, needed // 3)
        before = len(_lines(counted))
        while len(_lines(counted)) < before + goal and process.poll() is None:
            time.sleep(0.01)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    again = counted.run(*command)

    assert kills == 3
    assert told(again) == told(whole)
    # A run that had ended when the bench was killed, but was not in the journal yet, is made again.
    assert needed <= runs(counted) <= needed + kills
    assert not list((counted.folder / "home" / "journals").glob("*.jsonl"))
    assert not list((counted.folder / "home" / "runs").iterdir())


def _lines(desk):
    file = desk.folder / "finished"
    return file.read_text().splitlines() if file.exists() else []


def test_fresh_begins_anew(counted):
    """--fresh takes nothing of a start that was broken off."""
    command = ("run", "scenario", *PRODUCT, "--version", "v9", "--json")
    process = counted.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(_lines(counted)) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait(timeout=60)
    runs(counted)
    counted.run(*command, "--fresh")

    assert runs(counted) == 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_several_benches_end_when_they_are_told_to(desk, number):
    """Ctrl-C and SIGTERM reach the runs of all benches; no process and no workspace is left."""
    desk.history.commit("hangs", tag="v1")
    started = desk.folder / "started"
    desk.write(timeout=300)
    # The first run ends at once; only then are several made.
    line = f"echo x >> {started}; test $(wc -l < {started}) -le 1 || sleep 3000"
    (desk.folder / "scenario" / "scenario.yaml").write_text(json.dumps({"run": ["sh", "-c", line]}))
    command = ("run", "scenario", *PRODUCT, "--version", "v1", "--benches", "3")
    environment = {**desk.environment, "TESTBENCH_SLOTS": "3"}
    process = subprocess.Popen(
        [sys.executable, "-c", "from testbench.cli import main; main()", *command],
        cwd=desk.folder,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    while not started.exists() or len(started.read_text().splitlines()) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, number)

    assert process.wait(timeout=60) == (130 if number == signal.SIGINT else 143)
    assert not list((desk.folder / "home" / "runs").iterdir())


def test_benches_give_the_same_answers(counted):
    """--benches 3: verdict, culprit and minimal scenario are those of one bench."""
    answers = []
    for benches in ("1", "3"):
        how = (*PRODUCT, "--json", "--benches", benches)
        answers.append(
            [
                counted.run("run", "scenario", *how, "--version", "v9", "--runs", "4")["bad"],
                counted.run("bisect", "scenario", *how, "--good", "v0", "--bad", "v11")["first_bad"],
                counted.run("minimise", "scenario", *how, "--version", "v9", "--out", f"small{benches}")[
                    "after"
                ],
            ]
        )

    assert answers[0] == answers[1]
