"""Keys, pinned host keys and the ssh_config of a fleet (OpenSSH's own programs and formats)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from testbench.stores.errors import StartError
from testbench.stores.rules import HostSite

_CONFIG = """# Written by `testbench stores up`; use it as: ssh -F {config} HOST
Host *
    User {user}
    IdentityFile "{identity}"
    IdentitiesOnly yes
    UserKnownHostsFile "{known_hosts}"
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    HostKeyAlgorithms ssh-ed25519
    KexAlgorithms curve25519-sha256
    Ciphers aes128-gcm@openssh.com
    ConnectTimeout 5
    ServerAliveInterval 5
    ServerAliveCountMax 3
    ForwardAgent no
    LogLevel ERROR
"""


def make_keys(paths: Iterable[Path]) -> None:
    """Make an ed25519 key pair at each path, without passphrase, all at once; raises StartError."""
    running = []
    for path in paths:
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
        running.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        )
    for process in running:
        reason = process.communicate()[1]
        if process.returncode:
            raise StartError(
                f"a key could not be made: {reason.strip()}; is the disk of the state directory full?"
            )


class Ssh:
    """The ssh folder of a state directory."""

    def __init__(self, folder: Path, user: str = "root") -> None:
        self.folder = folder
        self.user = user
        self.identity = folder / "id_ed25519"
        self.known_hosts = folder / "known_hosts"
        self.config = folder / "config"

    def host_key_file(self, host: str) -> Path:
        """The host's private key, kept to start the same host again."""
        return self.folder / "host_keys" / host

    def host_key(self, host: str) -> str:
        """The host's public key as ``ssh-ed25519 AAAA...``."""
        return " ".join(self.host_key_file(host).with_suffix(".pub").read_text().split()[:2])

    def public_key(self) -> str:
        """The line for authorized_keys."""
        return self.identity.with_suffix(".pub").read_text()

    def prepare(self, hosts: Iterable[HostSite]) -> None:
        """Make all keys, pin the hosts', write known_hosts and config."""
        hosts = list(hosts)
        self.folder.mkdir(mode=0o700)
        (self.folder / "host_keys").mkdir(mode=0o700)
        make_keys([self.identity, *(self.host_key_file(host.name) for host in hosts)])
        known = []
        text = [
            _CONFIG.format(
                config=self.config, user=self.user, identity=self.identity, known_hosts=self.known_hosts
            )
        ]
        for host in hosts:
            place = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
            known.append(f"{host.name},{place} {self.host_key(host.name)}\n")
            text.append(
                f"Host {host.name}\n    HostName {host.address}\n    Port {host.port}\n"
                f"    HostKeyAlias {host.name}\n"
            )
        self.known_hosts.write_text("".join(known))
        # The first value wins in ssh_config: hosts before the general part.
        self.config.write_text("".join([*text[1:], text[0]]))

    def command(self, host: str, arguments: Iterable[str] = ()) -> list[str]:
        """The command line that reaches the host; nothing of the caller's own ssh settings is used."""
        return ["ssh", "-F", str(self.config), host, *arguments]

    def run(
        self, host: str, command: str, data: str | None = None, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the host; exit code 255 is ssh's own failure (no way there, wrong key)."""
        return subprocess.run(
            self.command(host, ["-T", "-o", "BatchMode=yes", "--", command]),
            input=data or "",
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            check=False,
        )
