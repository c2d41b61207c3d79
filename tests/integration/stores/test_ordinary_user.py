"""What a user without root has: the whole fleet inside a user namespace, or plain folders with sshd.

The user exists only inside a private mount namespace (other /etc/passwd, /etc/subuid, /etc/subgid bound over
the machine's), so nothing is left of it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.stores

UID = 61234
REPOSITORY = Path(__file__).parents[3]
SETUP = """set -e
mount --make-rprivate /
mkdir -p "$1" && mount -t tmpfs -o mode=755 user "$1"
for file in passwd group subuid subgid; do cat /etc/$file > "$1/$file"; done
echo "clerk:x:$2:$2::$1/home:/bin/bash" >> "$1/passwd"
echo "clerk:x:$2:" >> "$1/group"
echo "clerk:300000:65536" | tee -a "$1/subuid" >> "$1/subgid"
for file in passwd group subuid subgid; do mount --bind "$1/$file" /etc/$file; done
mkdir "$1/home" && chown "$2:$2" "$1/home"
"""
RUN = """cd "$1/home"
exec setpriv --reuid clerk --regid clerk --clear-groups env -i \
    HOME="$1/home" PATH=/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$3" sh -c "$4"
"""


def _opened(path: Path, number: int) -> str:
    """Shell lines that let others reach ``path`` in the mount namespace, when a folder above it is closed."""
    closed = [parent for parent in path.parents if not parent.stat().st_mode & 0o001]
    if not closed:
        return ""
    aside = f'"$1/aside{number}"'
    top = closed[-1]
    return (
        f"if [ -z \"$(findmnt -n -o SOURCE -M '{path}' | grep aside)\" ]; then mkdir {aside}; "
        f"mount --bind '{path}' {aside}; mountpoint -q '{top}' || mount -t tmpfs -o mode=755 opened '{top}'; "
        f"mkdir -p '{path}'; mount --bind {aside} '{path}'; fi\n"
    )


@pytest.fixture
def as_clerk(tmp_path):
    """Runs shell commands as an ordinary user; ``stores`` is the command with its own state."""
    for program in ("newuidmap", "setpriv", "findmnt"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} (apt-get install uidmap util-linux)")
    needed = dict.fromkeys(Path(each).resolve() for each in (sys.base_prefix, sys.prefix, REPOSITORY))
    opened = "".join(_opened(path, number) for number, path in enumerate(needed))
    home = Path("/tmp") / f"clerk-{tmp_path.name}"

    def run(script: str) -> subprocess.CompletedProcess[str]:
        stores = f"{sys.executable} -c 'from testbench.cli import main; main()' stores"
        line = (
            f'stores() {{ command=$1; shift; {stores} "$command" --state-dir "$HOME/fleet" "$@"; }}; {script}'
        )
        command = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            SETUP + opened + RUN,
            "sh",
            str(home),
            str(UID),
            str(REPOSITORY),
        ]
        return subprocess.run([*command, line], capture_output=True, text=True, check=False)

    yield run
    home.rmdir()


def test_a_fleet_in_a_user_namespace_is_whole_and_goes_without_a_trace(as_clerk, traces, left_behind):
    """up, list, ssh, cut, kill, start, down as an ordinary user, each in a process of its own."""
    before = traces("clerk-")
    done = as_clerk(
        "stores up --stores 2 --registers 1 --json || exit 9; "
        "stores ssh --json store1-r1 hostname; "
        "stores cut store2 --json; stores kill store1-r1 --json; stores list --json; "
        "stores start store1-r1 --json; stores restore store2 --json; stores ssh --json store2-r1 id -u; "
        "stores down --json; ls -A $HOME"
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]

    assert answers[0]["mode"] == "runit", done.stderr
    assert answers[1]["stdout"] == "store1-r1\n"
    listed = answers[4]["stores"]
    assert [store["wan"] for store in listed] == ["up", "cut"]
    assert [host["state"] for host in listed[0]["hosts"]] == ["up", "down"]
    assert answers[5]["done"] == "start", done.stderr
    assert answers[7].get("stdout") == "0\n", done.stderr
    assert answers[8]["removed"] == ["user namespace"]
    assert len(answers) == 9
    assert left_behind("clerk-", before) == {}


def test_a_program_goes_on_inside_and_ends_with_its_own_exit_code(as_clerk, traces, left_behind):
    """reexec_inside_user_namespace: the same program, as root of its namespace; nothing survives its end."""
    before = traces("clerk-")
    program = (
        "import os, sys, pathlib; from testbench.stores import *; reexec_inside_user_namespace(); "
        "fleet = Stores.up(plain_plans(1, 1, [], None), pathlib.Path('fleet').absolute()); "
        "print(os.geteuid(), fleet.mode, fleet.run('store1-r1', 'hostname').stdout); sys.exit(7)"
    )
    done = as_clerk(f'{sys.executable} -c "{program}"')

    assert done.stdout == "0 runit store1-r1\n\n", done.stderr
    assert done.returncode == 7
    assert left_behind("clerk-", before) == {}


def test_plain_hosts_say_what_they_are_not(as_clerk, traces, left_behind):
    """Mode plain: SSH and files work, every fault that it cannot make is refused, and down leaves nothing."""
    before = traces("clerk-")
    done = as_clerk(
        "stores up --stores 1 --registers 1 --mode plain --json || exit 9; "
        "stores ssh --json store1-r1 'cat $GARANT_ROOT/etc/set/set.json'; "
        "stores kill store1-r1 --json; stores start store1-r1 --json; "
        "stores cut store1 && echo done; stores slow store1 1mbit && echo done; "
        "stores fill store1-r1 && echo done; stores down --json; ls -A $HOME"
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]

    assert answers[0]["mode"] == "plain", done.stderr
    assert len(answers[0]["reduced"]) >= 4
    assert json.loads(answers[1]["stdout"])["role"] == "register"
    assert [answer.get("done") for answer in answers[2:4]] == ["kill", "start"]
    assert done.stderr.count("are in mode plain") == 3
    assert answers[4]["removed"] == ["2 processes"]
    assert len(answers) == 5
    assert left_behind("clerk-", before) == {}


def test_a_program_outside_is_told_the_way_in(as_clerk):
    """Stores.up by an ordinary user outside a namespace: refused with what to call, nothing made."""
    program = "from testbench.stores import *; Stores.up(plain_plans(1, 1, [], None))"
    done = as_clerk(f'{sys.executable} -c "{program}"; ls -A $HOME')

    assert "call reexec_inside_user_namespace()" in done.stderr
    assert done.stdout == ""


@pytest.mark.timeout(1200)
def test_the_demo_plays_for_an_ordinary_user(as_clerk, traces, left_behind):
    """`garant demo` says what is reduced, plays the whole story inside a user namespace, leaves nothing."""
    before = traces("clerk-")
    garant = f"{sys.executable} -c 'from pipeline.cli import main; main()'"
    done = as_clerk(f"{garant} demo --json --stores 2 --registers 2 --folder $HOME/demo")
    answer = json.loads(done.stdout or "{}")

    assert answer.get("ok") is True, done.stderr[-3000:]
    assert answer["rollout"]["hosts_done"] == 6
    assert "supervised by runit instead of systemd" in done.stderr
    assert left_behind("clerk-", before) == {}
