"""Asks the hosts themselves: reachable, the pinned key, our login, the product and its version."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import paramiko

from pipeline.engine.unit import UnitOfWork
from pipeline.errors import UnavailableError
from pipeline.fleet import ssh
from pipeline.fleet.errors import HostKeyChangedError, HostLoginError
from pipeline.fleet.service import record_health, record_version
from pipeline.fleet.tables import HostRow

#: Hosts asked at once: ten threads keep an SSH client of ours busy (DESIGN section 9).
THREADS = 10
#: Seconds for the question on the host, after the login.
ANSWER_S = 15
#: Bytes of an answer that are read; a host that says more is broken or hostile.
MAX_ANSWER = 65_536

#: Run by the host's own interpreter: one round trip, and no tool but it needed on the host.
_QUESTION = """
import json, urllib.request
answer = {"version": None, "status": None}
try:
    answer["version"] = open("/opt/set/current/VERSION").read().strip()
    url = "http://127.0.0.1:%d/status"
    answer["status"] = json.load(urllib.request.urlopen(url, timeout=5))
except (OSError, ValueError):
    pass
print(json.dumps(answer))
"""
_PORTS = {"server": 8090, "register": 8095}


@dataclass(frozen=True, kw_only=True)
class HostCheck:
    """What was found at one host.

    ``result``: ok | unreachable | host-key-changed | login-refused | no-product | not-answering.
    """

    host: str
    store: str
    result: str
    #: Why, with the next action; None when all is well.
    reason: str | None = None
    #: As the host says itself; None when it could not be asked, or has none.
    version: str | None = None
    #: As last recorded before this check.
    recorded: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def check_hosts(
    hosts: Sequence[HostRow],
    *,
    identity: Path,
    python: str,
    jumps: Mapping[str, HostRow] | None = None,
    timeout_s: float = ssh.TIMEOUT_S,
    done: Callable[[HostCheck], None] = lambda _check: None,
) -> list[HostCheck]:
    """Ask the hosts, ten at once; one answer for each, in the order given.

    Args:
        identity: our private key.
        python: the interpreter on the hosts.
        jumps: the hosts that others are reached through, by id.
        timeout_s: seconds for each of TCP connect, banner and authentication.
        done: called with each answer as it comes, from the pool's threads.

    Raises:
        IdentityError: our private key cannot be used; no host was asked.
    """
    ssh.load_identity(identity)

    def one(host: HostRow) -> HostCheck:
        jump = (jumps or {}).get(host.jump or "")
        found = _check(host, identity=identity, python=python, jump=jump, timeout_s=timeout_s)
        done(found)
        return found

    with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="fleet-check") as pool:
        return list(pool.map(one, hosts))


def record_checks(unit: UnitOfWork, checks: Sequence[HostCheck]) -> None:
    """Write what was seen: the version where one was, and in service, down or unknown."""
    for check in checks:
        if check.version is not None:
            record_version(unit, check.host, check.version, unit.now)
        if check.result == "ok":
            record_health(unit, check.host, "in-service")
        elif check.result in ("no-product", "not-answering"):
            record_health(unit, check.host, "down")
        else:  # nobody could ask it, or somebody else answered
            record_health(unit, check.host, "unknown")


def _check(
    host: HostRow, *, identity: Path, python: str, jump: HostRow | None, timeout_s: float
) -> HostCheck:
    def found(result: str, reason: str | None = None, version: str | None = None) -> HostCheck:
        return HostCheck(
            host=host.id,
            store=host.store_id,
            result=result,
            reason=reason,
            version=version,
            recorded=host.version,
        )

    try:
        with ssh.connect(host, identity=identity, timeout_s=timeout_s, jump=jump) as client:
            answer = _ask(client, python, _PORTS[host.role])
    except HostKeyChangedError as error:
        return found("host-key-changed", str(error))
    except HostLoginError as error:
        return found("login-refused", str(error))
    except (UnavailableError, paramiko.SSHException, OSError) as error:
        return found("unreachable", str(error) or f"host {host.id}: the connection broke; try again")
    version, status = answer.get("version"), answer.get("status")
    if not isinstance(version, str) or not version:
        reason = f"host {host.id} has no product at /opt/set/current: install a release there"
        return found("no-product", reason)
    version = version[:64]
    if not isinstance(status, dict) or status.get("state") != "ready":
        program = "set-server" if host.role == "server" else "cash"
        reason = f"host {host.id}: the product does not answer; look at `{program} status` on the host"
        return found("not-answering", reason, version)
    return found("ok", None, version)


def _ask(client: paramiko.SSHClient, python: str, port: int) -> dict[str, Any]:
    command = f"{shlex.quote(python)} -I -c {shlex.quote(_QUESTION % port)}"
    stdin, stdout, stderr = client.exec_command(command, timeout=ANSWER_S)
    with stdin, stdout, stderr:
        text = stdout.read(MAX_ANSWER)
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
