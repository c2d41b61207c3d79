"""What one run may use, and that nothing of it is left."""

import json
import textwrap

import psutil
import pytest

from testbench.programs import contained

PRODUCT = ("--product", "product.yaml", "--version", "v1", "--runs", "1", "--json")


@pytest.fixture
def program(desk):
    """Plays a Python program once; gives the one outcome."""
    desk.history.commit("", tag="v1")

    def play(text, *options):
        scenario = desk.folder / "scenario"
        (scenario / "program.py").write_text(textwrap.dedent(text))
        (scenario / "scenario.yaml").write_text(json.dumps({"run": ["{python}", "program.py"]}))
        return desk.run("run", "scenario", *PRODUCT, *options)["outcomes"][0]

    return play


def test_memory_of_all_processes_together(program):
    """Four processes, each below the limit, together above it: the run is ended and the limit named."""
    outcome = program(
        """
        import os, time
        for _ in range(3):
            if not os.fork():
                break
        data = b"x" * (60 << 20)
        time.sleep(600)
        """,
        *("--memory", "150M"),
    )

    assert (outcome["kind"], outcome["signature"]) == ("bad", "memory limit")
    assert "150 MiB are allowed" in outcome["seen"]


@pytest.mark.parametrize(
    "text",
    [
        # Many files, each below the limit.
        """
        import time
        for number in range(12):
            with open(f"part{number}", "wb") as file:
                file.write(b"x" * (1 << 20))
        """,
        # One large file, by a program that does not know what an error is.
        """
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        with open("large", "wb") as file:
            file.write(b"x" * (12 << 20))
        """,
    ],
    ids=["many files", "one file"],
)
def test_whole_workspace_has_a_limit(program, text):
    """What a run writes is counted together; too much is an outcome that names the limit."""
    outcome = program(text, "--disk", "8M")

    assert (outcome["kind"], outcome["signature"]) == ("bad", "disk limit")


def test_error_of_a_limit_says_which_limits_there_were(program):
    """A program that reports the lack of memory by itself fails in its own words, with the limits beside."""
    outcome = program("b = bytearray(1 << 30)", "--memory", "200M")

    assert outcome["signature"] == "exit 1: MemoryError"
    assert "200 MiB of memory" in outcome["detail"]


def test_time_limit(program):
    """--timeout ends it; the outcome is called timeout."""
    assert program("import time; time.sleep(600)", "--timeout", "1")["signature"] == "timeout"


def test_daemon_without_any_trace_does_not_outlive_its_run(program, desk):
    """Forked twice, a session of its own, an empty environment, another folder: still ended."""
    if not contained():
        pytest.skip("this machine allows no process-id namespaces: unshare --fork --pid --mount-proc true")
    marker = f"daemon-of-{desk.folder.name}-{desk.folder.parent.name}"
    outcome = program(
        f"""
        import os, subprocess, sys
        up, told = os.pipe()
        if not os.fork():
            os.setsid()
            if not os.fork():
                os.chdir("/")
                os.write(told, b"x")
                os.execve("/bin/sh", ["sh", "-c", "sleep 600 # {marker}; true"], {{}})
            os._exit(0)
        os.read(up, 1)
        """
    )

    assert outcome["kind"] == "good"
    assert not [p for p in psutil.process_iter(["cmdline"]) if marker in " ".join(p.info["cmdline"] or [])]


def test_wrong_sizes_are_wrong_use(desk):
    """A limit that is no size is named with how to write one."""
    desk.history.commit("", tag="v1")

    assert "write 512M or 2G" in desk.run("run", "scenario", *PRODUCT, "--memory", "much", code=2)
