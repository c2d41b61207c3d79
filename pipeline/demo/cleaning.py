"""Removes what an earlier demo left, also one that was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import psutil

from testbench.stores import StoresError, down

#: Written by a running demo: its process, so that another one does not clean under it.
PID_FILE = "demo.pid"


def running(folder: Path) -> int | None:
    """The process of the demo that plays in this folder, when there is one."""
    with contextlib.suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        number, _, started = (folder / PID_FILE).read_text().partition(" ")
        process = psutil.Process(int(number))
        # A number is used again after a while; the start time tells the same process from another one.
        if process.create_time() == float(started):
            return process.pid
    return None


def claim(folder: Path) -> None:
    """This process plays here from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PID_FILE).write_text(f"{os.getpid()} {psutil.Process().create_time()}")


def clean(folder: Path) -> list[str]:
    """Take down stores and remove the folder; returns what was removed. Nothing there is no error."""
    removed: list[str] = []
    stores = folder / "stores"
    if stores.exists():
        with contextlib.suppress(StoresError):
            removed += down(stores)
    removed += _end_runs(folder)
    if folder.exists():
        shutil.rmtree(folder)
        removed.append(f"folder {folder}")
    return removed


def _end_runs(folder: Path) -> list[str]:
    """Bench runs and Ansible runs of a killed demo: they know the folder, and no parent of theirs lives."""
    ended = []
    own = {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.pid not in own and any(word.startswith(f"{folder}/") for word in words):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                ended.append(f"process {process.pid} ({Path(words[0]).name})")
    return ended
