"""What is on a host's disk before its first start: accounts, sshd, SET, the supervisor's files.

The disk is a tmpfs with the files themselves, not an overlay over a template: a host has about 60 small files
(0.3 MiB), and so renaming a folder works as on a real disk (overlayfs answers EXDEV for folders of its lower
layer, which an update that renames a release would meet), also where this machine is itself a container.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from testbench.stores.errors import StoresUsageError
from testbench.stores.rules import (
    DEPOT_PORT,
    FleetSite,
    HostSite,
    StoreSite,
    set_config,
)
from testbench.stores.supervisors import File, Service, Supervisor

_FOLDERS = [
    "boot",
    "dev",
    "etc/set",
    "etc/garant",
    "etc/ssh",
    "home",
    "mnt",
    "opt/set/releases",
    "proc",
    "root/.ssh",
    "run",
    "srv",
    "sys",
    "tmp",
    "usr",
    "var/lib/set",
    "var/lib/garant/staging",
    "var/lib/garant/receipts",
    "var/lib/garant/depot",
    "var/log/set",
    "var/tmp",
    "var/usrlocal/bin",
    "var/usrlocal/sbin",
    "var/usrlocal/lib",
]
_LINKS = {"var/run": "/run", "var/lock": "/run/lock", "etc/mtab": "/proc/self/mounts"}
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+~-]{0,63}")
#: Taken from the machine when there: where its programs look for libraries and defaults.
_FROM_MACHINE = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/protocols", "/etc/services")

SSHD_CONFIG = """Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org
Ciphers aes128-gcm@openssh.com,chacha20-poly1305@openssh.com
MACs hmac-sha2-256-etm@openssh.com
HostKeyAlgorithms ssh-ed25519
PubkeyAcceptedAlgorithms ssh-ed25519
PermitRootLogin prohibit-password
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
X11Forwarding no
PrintMotd no
PrintLastLog no
MaxStartups 100
MaxSessions 50
ClientAliveInterval 15
SetEnv PYTHONDONTWRITEBYTECODE=1
Subsystem sftp internal-sftp
PidFile none
"""

_PROGRAMS = {"server": "set-server", "register": "set-register"}
_CONTROLS = {"server": "set-server", "register": "cash"}


def product_version(build: Path) -> str:
    """The version of a product build; raises StoresUsageError when the folder is not one."""
    try:
        version = (build / "VERSION").read_text().strip()
    except OSError as fault:
        raise StoresUsageError(
            f"{build} is not a product build: {fault.strerror} (VERSION); build the product first"
        ) from fault
    if not _VERSION.fullmatch(version) or not (build / "bin").is_dir():
        raise StoresUsageError(
            f"{build} is not a product build: it needs a folder bin and a VERSION (that says {version!r})"
        )
    return version


def services(store: StoreSite, host: HostSite) -> list[Service]:
    """The supervised programs of a host: sshd, SET and, on the server, the depot."""
    program = f"/opt/set/current/bin/{_PROGRAMS[host.role]}"
    wanted = [
        Service(
            name="ssh",
            description="OpenSSH server",
            command=["/usr/sbin/sshd", "-D", "-e"],
            log="/var/log/sshd.log",
        ),
        Service(
            name=_PROGRAMS[host.role],
            description=f"SET {host.role} of {store.name}",
            command=[program, "--config", "/etc/set/set.json"],
            log="/var/log/set/service.log",
            needs=program,
        ),
    ]
    if host.role == "server":
        depot = ["/usr/bin/python3", "-m", "http.server", str(DEPOT_PORT), "--bind", host.lan_address]
        wanted.append(
            Service(
                name="garant-depot",
                description="Packages for the store's registers",
                command=[*depot, "--directory", "/var/lib/garant/depot"],
                log="/var/log/garant-depot.log",
            )
        )
    return wanted


def host_files(
    fleet: FleetSite, store: StoreSite, host: HostSite, supervisor: Supervisor, host_key: str, public_key: str
) -> list[File]:
    """Every file of the host but the product; keys are OpenSSH's text forms."""
    plan = store.plan
    names = "".join(f"{other.lan_address} {other.name}\n" for other in store.hosts)
    machine = hashlib.sha256(f"{fleet.network} {host.name}".encode()).hexdigest()[:32]
    files = [
        *_accounts(),
        File(path="/etc/hostname", content=f"{host.name}\n"),
        File(path="/etc/hosts", content=f"127.0.0.1 localhost\n{fleet.controller} controller\n{names}"),
        File(path="/etc/machine-id", content=f"{machine}\n"),  # without it systemd thinks of a first boot
        File(path="/etc/os-release", link="../usr/lib/os-release"),
        File(path="/etc/nsswitch.conf", content="passwd: files\ngroup: files\nshadow: files\nhosts: files\n"),
        File(path="/etc/profile", content="export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin\n"),
        File(path="/etc/ssh/sshd_config", content=SSHD_CONFIG),
        File(path="/etc/ssh/ssh_host_ed25519_key", content=host_key, mode=0o600),
        File(path="/root/.ssh/authorized_keys", content=public_key, mode=0o600),
        File(path="/etc/set/set.json", content=json.dumps(set_config(store, host), indent=2) + "\n"),
        File(
            path=f"/var/usrlocal/bin/{_CONTROLS[host.role]}",
            content=supervisor.control(_PROGRAMS[host.role]),
            mode=0o755,
        ),
        *supervisor.files(services(store, host)),
    ]
    if plan.allowed_signers is not None:
        files.append(File(path="/etc/garant/allowed_signers", content=plan.allowed_signers))
    if plan.policy is not None:
        files.append(File(path="/etc/garant/policy.json", content=json.dumps(plan.policy) + "\n"))
    return files


def _accounts() -> list[File]:
    # '*' and not '!': sshd without PAM refuses a locked account ('!') even with a key.
    users = [
        ("root", 0, 0, "/root", "/bin/bash"),
        ("sshd", 101, 65534, "/run/sshd", "/usr/sbin/nologin"),
        ("nobody", 65534, 65534, "/nonexistent", "/usr/sbin/nologin"),
    ]
    groups = {"root": 0, "tty": 5, "disk": 6, "utmp": 43, "nogroup": 65534}
    return [
        File(path="/etc/passwd", content="".join(f"{n}:x:{u}:{g}:{n}:{h}:{s}\n" for n, u, g, h, s in users)),
        File(path="/etc/group", content="".join(f"{name}:x:{number}:\n" for name, number in groups.items())),
        File(
            path="/etc/shadow",
            content="".join(f"{user[0]}:*:19000:0:99999:7:::\n" for user in users),
            mode=0o600,
        ),
    ]


def write_host(root: Path, zone: str, files: Sequence[File], product: Path | None) -> None:
    """Fill a host's empty disk; ``root`` is where it is mounted on this machine."""
    root.chmod(0o755)
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for folder in ("tmp", "var/tmp"):
        (root / folder).chmod(0o1777)
    for folder in ("root", "root/.ssh"):
        (root / folder).chmod(0o700)
    for link, target in _LINKS.items():
        (root / link).symlink_to(target)
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if Path("/", name).is_symlink():  # as the machine has it: all of these point into /usr
            (root / name).symlink_to(os.readlink(Path("/", name)))
    for source in map(Path, _FROM_MACHINE):
        _copy(source, root / source.relative_to("/"))
    _write_zone(root, zone)
    for file in files:
        write_file(root, file)
    if product is not None:
        install_product(root, product)


def write_file(root: Path, file: File) -> None:
    """Write one file below ``root``, with its folders."""
    path = root / file.path.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.link is not None:
        path.symlink_to(file.link)
        return
    path.touch(mode=0o600)  # a key must not be readable for an instant
    path.write_text(file.content)
    path.chmod(file.mode)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    elif source.exists():
        shutil.copyfile(source, target)


def _write_zone(root: Path, zone: str) -> None:
    """The store's own zone from PyPI's tzdata, where both libc and Python's zoneinfo find it."""
    try:
        data = importlib.resources.files("tzdata").joinpath("zoneinfo", *zone.split("/")).read_bytes()
    except (OSError, ValueError) as fault:
        raise StoresUsageError(
            f"zone {zone!r} is not an IANA time zone; write it as Europe/Moscow"
        ) from fault
    if not data.startswith(b"TZif") or ".." in zone:
        raise StoresUsageError(f"zone {zone!r} is not an IANA time zone; write it as Europe/Moscow")
    path = root / "etc/zoneinfo" / zone
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    (root / "etc/localtime").symlink_to(f"/etc/zoneinfo/{zone}")
    (root / "etc/timezone").write_text(f"{zone}\n")


def install_product(root: Path, build: Path) -> str:
    """Unpack a build below ``root`` as the current release, as an update leaves it; returns its version."""
    version = product_version(build)
    shutil.copytree(build, root / "opt/set/releases" / version, symlinks=True)
    (root / "opt/set/current").symlink_to(f"releases/{version}")
    return version
