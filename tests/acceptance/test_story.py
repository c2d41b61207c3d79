"""The whole story, as a newcomer plays it: `garant demo`, again in the same folder, and after a kill -9."""

from __future__ import annotations

import email
import email.policy
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbench.stores import detect_mode

pytestmark = [pytest.mark.stores, pytest.mark.timeout(1200)]

GARANT = Path(sys.executable).with_name("garant")
RECORD = Path(__file__).with_name("planted-defects.json")
SMALL = ("--stores", "1", "--registers", "2", "--tracker", "jira")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder of the story's own, outside of pytest's: a killed demo leaves mounts in it."""
    if os.geteuid() != 0 or detect_mode().best is None:
        pytest.skip("local stores need root here: see `garant doctor`")
    made = Path(tempfile.mkdtemp(prefix="garant-story-"))
    yield made / "demo"
    clean(made / "demo")
    shutil.rmtree(made)


def clean(folder: Path) -> None:
    subprocess.run([GARANT, "demo", "--clean", "--folder", folder], check=True, capture_output=True)


def play(folder: Path, *options: str) -> dict[str, Any]:
    command = [GARANT, "demo", "--json", "--folder", folder, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def demo_defect() -> dict[str, Any]:
    """The planted defect that only the newest release fixes."""
    defects: list[dict[str, Any]] = json.loads(RECORD.read_text())["defects"]
    return next(defect for defect in defects if defect["class"] == "R05")


def test_the_whole_story(folder: Path) -> None:
    """Default size: every promised field, the planted culprit, both languages, every host on the fix."""
    answer = play(folder)
    planted = demo_defect()

    assert answer["ok"] is True
    assert all(step["ok"] and step["seconds"] >= 0 and step["name"] for step in answer["steps"])
    defect = answer["defect"]
    assert defect["verdict"] == "reproduced"
    assert defect["version"] == "v10.4.7.0"
    assert defect["first_bad_commit"] == planted["first_bad"]["commit"]
    assert defect["first_bad_release"] == planted["first_bad"]["release"]
    assert defect["events_after"] < defect["events_before"] / 10
    assert Path(defect["bundle"], "test_reproduction.py").is_file()
    assert answer["tracker"]["kind"] == "local"
    assert len(answer["tracker"]["attachments"]) == 1
    assert answer["promise"]["told_at"] < answer["promise"]["due"]
    assert len(answer["release"]["approvals"]) == 2
    rollout = answer["rollout"]
    assert (rollout["state"], rollout["hosts_done"], rollout["hosts_total"]) == ("completed", 15, 15)
    assert rollout["max_registers_down_per_store"] == 1
    told = {(notice["client"], notice["language"]) for notice in answer["notices"]}
    assert told == {("zarya", "ru"), ("baltia", "en")}
    assert {notice["state"] for notice in answer["notices"]} == {"accepted"}


def test_letters_are_readable_and_in_the_clients_language(folder: Path) -> None:
    """What the first story sent, read as a mail program reads it; nothing of our insides in it."""
    letters = [
        email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        for file in sorted((folder / "home/mail/new").iterdir())
    ]
    texts = {}
    for letter in letters:
        body = letter.get_body(("plain",))
        assert body is not None
        texts[letter["Message-ID"]] = (letter["To"], letter["Subject"], body.get_content())

    assert len(texts) == len(letters)  # one notice, one letter
    assert any("@zarya.example" in to and "закрываем обращение" in text for to, _, text in texts.values())
    assert any(
        "@baltia.example" in to and "is installed and checked" in text for to, _, text in texts.values()
    )
    for to, _, text in texts.values():
        if "@zarya.example" in to:
            assert "healthy" not in text
            assert "Traceback" not in text


def test_it_works_again_after_a_kill_and_cleans_up(folder: Path) -> None:
    """Killed in mid-story, the next run works without a word; --clean leaves no mount, process, folder."""
    command = [GARANT, "demo", "--json", "--folder", folder, *SMALL]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert killed.stderr is not None
    for line in killed.stderr:
        if "fleet imported" in line:
            break  # stores are up, the worker works
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (
        str(folder) in Path("/proc/mounts").read_text()
    )  # else the kill came when there was nothing to leave

    answer = play(folder, *SMALL)
    assert answer["tracker"]["kind"] == "jira"
    assert answer["rollout"]["hosts_done"] == 3

    clean(folder)
    assert not folder.exists()
    assert str(folder) not in Path("/proc/mounts").read_text()
    assert not _processes_of(folder)


def test_a_second_demo_in_the_same_folder_is_refused(folder: Path) -> None:
    """While one plays, another one is told which process plays, and touches nothing."""
    command = [GARANT, "demo", "--json", "--folder", folder, *SMALL]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (folder / "demo.pid").exists():
        time.sleep(0.05)
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    first.send_signal(signal.SIGINT)

    assert second.returncode == 1
    assert str(first.pid) in second.stderr
    assert second.stdout == ""
    assert first.wait(120) == 130


def _processes_of(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found
