"""Mode plain: where namespaces are refused, a host is a folder and an sshd on a loopback address of its own.

It serves what needs nothing but SSH with a pinned key and files: connecting, and reading files by their path
below ``$GARANT_ROOT``. It is no store to trade in or to update; ``REDUCED`` says what is missing, so that a
caller who needs more can refuse it with the reason.
"""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
import subprocess
from pathlib import Path

import psutil

from testbench.progress import Progress, Step
from testbench.stores import isolated, processes
from testbench.stores.errors import StartError
from testbench.stores.layout import SSHD_CONFIG, host_files, write_host
from testbench.stores.rules import HostSite
from testbench.stores.ssh import Ssh
from testbench.stores.state import Fleet, StateDir
from testbench.stores.supervisors import Runit

REDUCED = (
    "hosts have no root of their own: their files are below $GARANT_ROOT, not at /etc/set, /opt/set, ...",
    "SET is unpacked but not started, and nothing is supervised: no registers that sell, no updates",
    "no LAN and no WAN: a store cannot be cut or slowed, a cable not pulled",
    "no disk and no cgroup of their own: a host cannot be filled or frozen",
    "the login is the caller's own account, not root",
)


def free_ports(addresses: dict[str, str]) -> dict[str, int]:
    """A free TCP port on each host's loopback address."""
    ports = {}
    for name, address in addresses.items():
        with socket.create_server((address, 0)) as server:
            ports[name] = int(server.getsockname()[1])
    return ports


def login() -> str:
    """The account that these hosts' sshd admits: the caller's."""
    return getpass.getuser()


def make(state: StateDir, fleet: Fleet, progress: Progress) -> None:
    """Write every host's folder and start its sshd."""
    site = fleet.site
    ssh = Ssh(state.ssh, login())
    total = len(site.hosts)
    for store in site.stores:
        for host in store.hosts:
            root = state.root(host.name)
            root.mkdir(parents=True)
            state.hosts.chmod(0o700)
            key = ssh.host_key_file(host.name).read_text()
            files = host_files(site, store, host, Runit(), key, ssh.public_key())
            write_host(root, store.plan.zone, files, store.plan.product)
            _config(state, host.name).write_text(_sshd_config(root, host))
    for number, host in enumerate(site.hosts, 1):
        start(state, host.name)
        progress(Step("hosts", "starting hosts", number, total))


def _config(state: StateDir, host: str) -> Path:
    return state.hosts / host / "sshd_config"


def _sshd_config(root: Path, host: HostSite) -> str:
    # Of a keyword given twice sshd takes the first. StrictModes looks at all folders up to /, which may be a
    # shared /tmp; the hosts' folder is the caller's alone (0700), and that is what counts.
    own = (
        f"Port {host.port}\nListenAddress {host.address}\nHostKey {root}/etc/ssh/ssh_host_ed25519_key\n"
        f"AuthorizedKeysFile {root}/root/.ssh/authorized_keys\nStrictModes no\nAllowUsers {login()}\n"
        f"SetEnv PYTHONDONTWRITEBYTECODE=1 GARANT_ROOT={root}\n"
    )
    dropped = ("Port ", "HostKey ", "SetEnv ")
    return own + "".join(f"{line}\n" for line in SSHD_CONFIG.splitlines() if not line.startswith(dropped))


def start(state: StateDir, host: str) -> None:
    """Start the host's sshd; raises StartError with its words."""
    program = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/local/sbin") or "sshd"
    config = _config(state, host)
    checked = subprocess.run([program, "-t", "-f", str(config)], capture_output=True, text=True, check=False)
    if checked.returncode:
        raise StartError(
            f"sshd of host {host} refuses to start: {checked.stderr.strip()}; "
            "take a fuller mode (--mode auto), or run it as an ordinary user"
        )
    with state.console(host).open("ab") as console:
        daemon = subprocess.Popen(
            [program, "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
    state.pid_file(host).write_text(f"{daemon.pid} {processes.start_time(daemon.pid)}\n")
    daemon.returncode = 0  # it outlives this process: no warning when the handle goes


def stop(state: StateDir, host: str) -> bool:
    """Kill the host's sshd with every session of it; False when it was down."""
    if processes.recorded_pid(state.pid_file(host)) is None:
        return False
    processes.end(_daemons(_config(state, host)))
    return True


def clear(state: StateDir) -> list[str]:
    """Kill every sshd of this state directory, known by its configuration file; returns what was found."""
    found = _daemons(state.hosts)
    processes.end(found, isolated.COLLECTED_S)
    return [f"{len(found)} processes"] if found else []


def _daemons(below: Path) -> list[int]:
    """The sshd processes whose configuration is at or below this path, with all their children."""
    found: list[int] = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "-f" in command and any(Path(word).is_relative_to(below) for word in command):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [process.pid, *(child.pid for child in process.children(recursive=True))]
    return found
