"""Waiting until hosts answer: sshd's banner, then the product's ``GET /status``."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterable

from testbench.stores.errors import StartError
from testbench.stores.rules import HostSite

PAUSE_S = 0.02


def ssh_answers(host: HostSite) -> bool:
    """True when an SSH server greets at the host's address."""
    try:
        with socket.create_connection((host.address, host.port), timeout=1.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def product_answers(host: HostSite) -> bool:
    """True when the product answers ``GET /status`` with 200."""
    connection = http.client.HTTPConnection(host.lan_address, host.service_port, timeout=2.0)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return answer.status == 200


def wait_for(
    hosts: Iterable[HostSite],
    answers: Callable[[HostSite], bool],
    progress: Callable[[int, int], None],
    timeout_s: float,
) -> list[HostSite]:
    """Ask until every host answers; returns those that did not within ``timeout_s`` seconds."""
    waiting = list(hosts)
    total = len(waiting)
    deadline = time.monotonic() + timeout_s
    while waiting:
        still = [host for host in waiting if not answers(host)]
        if len(still) < len(waiting):
            progress(total - len(still), total)
        waiting = still
        if time.monotonic() > deadline:
            break
        if waiting:
            time.sleep(PAUSE_S)
    return waiting


def refuse_silent(silent: list[HostSite], what: str, timeout_s: float, hint: str) -> None:
    """Raise StartError naming the hosts that stayed silent, if any."""
    if silent:
        names = ", ".join(host.name for host in silent[:5]) + (", ..." if len(silent) > 5 else "")
        raise StartError(f"{what} did not answer within {timeout_s:.0f} s on {names}: {hint}")
