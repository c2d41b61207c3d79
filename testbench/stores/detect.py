"""What kind of local stores this machine can have, and what it lacks for the others."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from testbench.stores.errors import ModeUnavailableError
from testbench.stores.processes import cgroup2_mount
from testbench.stores.rules import Mode
from testbench.stores.state import in_user_namespace
from testbench.stores.supervisors import Runit, Systemd

#: Program -> Debian's package with it.
_FOR_ALL = {"/usr/sbin/sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
_FOR_NAMESPACES = {"ip": "iproute2", "tc": "iproute2", "nsenter": "util-linux", "unshare": "util-linux"}
_FOR_HOSTS = {"/usr/bin/python3": "python3-minimal"}
_FOR_USERS = {"newuidmap": "uidmap", "newgidmap": "uidmap"}
_TRIAL_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Lack:
    """Something that a mode needs and this machine does not have."""

    what: str
    #: The command or step that brings it.
    remedy: str


@dataclass(frozen=True, kw_only=True)
class ModeCheck:
    """Whether one mode can be had."""

    mode: Mode
    lacks: tuple[Lack, ...]
    #: An ordinary user: the fleet must live inside a user namespace (see ``testbench.stores.rootless``).
    user_namespace: bool = False

    @property
    def available(self) -> bool:
        """True when nothing is lacking."""
        return not self.lacks


@dataclass(frozen=True, kw_only=True)
class Detection:
    """Every mode with what it lacks, the fullest first."""

    checks: tuple[ModeCheck, ...]

    @property
    def best(self) -> ModeCheck | None:
        """The fullest mode that can be had."""
        return next((check for check in self.checks if check.available), None)

    def choose(self, wanted: Mode | Literal["auto"]) -> Mode:
        """The mode to use; raises ModeUnavailableError with all reasons and remedies."""
        asked = [check for check in self.checks if wanted in ("auto", check.mode)]
        for check in asked:
            if check.available:
                return check.mode
        reasons = "; ".join(
            f"{check.mode}: " + ", ".join(f"{lack.what} ({lack.remedy})" for lack in check.lacks)
            for check in asked
        )
        raise ModeUnavailableError(f"local stores cannot be had here: {reasons}")


def _missing(programs: dict[str, str]) -> list[Lack]:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [
        Lack(what=f"no {name}", remedy=f"apt-get install {package}")
        for name, package in programs.items()
        if shutil.which(name, path=path) is None
    ]


def _tried(command: list[str]) -> str | None:
    """None when the command works, else what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TRIAL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        return str(fault)
    return None if done.returncode == 0 else (done.stderr.strip() or f"exit code {done.returncode}")


def _for_isolation() -> tuple[list[Lack], bool]:
    """What namespaces lack here, and whether they need a user namespace around them."""
    lacks = _missing({**_FOR_ALL, **_FOR_NAMESPACES, **_FOR_HOSTS})
    if not Path("/bin").is_symlink():
        lacks.append(Lack(what="/bin is no link into /usr", remedy="apt-get install usrmerge"))
    kinds = ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--mount-proc"]
    if os.geteuid() == 0:
        reason = None if lacks else _tried(["unshare", *kinds, "true"])
        if reason:
            lacks.append(
                Lack(what=f"namespaces are refused ({reason})", remedy="run it on a machine or VM of its own")
            )
        return lacks, False
    lacks += _missing(_FOR_USERS)
    user = pwd.getpwuid(os.geteuid()).pw_name if _known_user() else str(os.geteuid())
    for file in ("/etc/subuid", "/etc/subgid"):
        if not _has_range(Path(file), user):
            lacks.append(
                Lack(
                    what=f"{user} has no range in {file}",
                    remedy=f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
                )
            )
    reason = None if lacks else _tried(["unshare", "--user", "--map-auto", "--map-root-user", *kinds, "true"])
    if reason:
        lacks.append(
            Lack(
                what=f"user namespaces are refused ({reason})",
                remedy="as root: sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000",
            )
        )
    return lacks, True


def _known_user() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def _has_range(file: Path, user: str) -> bool:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return False
    return any(line.split(":")[0] in (user, str(os.geteuid())) for line in lines)


def detect_mode() -> Detection:
    """Try what this machine can do; makes nothing that outlives the call. About 50 ms."""
    isolation, user_namespace = _for_isolation()
    systemd = [*isolation, *_missing({Systemd.program: Systemd.package})]
    if user_namespace or in_user_namespace():
        systemd.append(Lack(what="not root of this machine", remedy="run it as root"))
    mount = cgroup2_mount()
    if mount is None:
        systemd.append(
            Lack(what="no cgroup v2 hierarchy", remedy="mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")
        )
    elif not os.access(mount, os.W_OK):
        systemd.append(Lack(what=f"{mount} is read-only", remedy="run it on a machine or VM of its own"))
    runit = [*isolation, *_missing({Runit.program: Runit.package})]
    return Detection(
        checks=(
            ModeCheck(mode="systemd", lacks=tuple(systemd)),
            ModeCheck(mode="runit", lacks=tuple(runit), user_namespace=user_namespace),
            ModeCheck(mode="plain", lacks=tuple(_missing(_FOR_ALL))),
        )
    )
