"""The port to what acts on hosts. It acts on those named and reports; it decides nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pipeline.rollouts.findings import Answer


class Action(StrEnum):
    """What is done to each host of a run."""

    UPDATE = "update"
    PROBE = "probe"  # never changes anything


@dataclass(frozen=True, kw_only=True)
class RunHost:
    """A host, how it is reached, and the effect that is asked of it."""

    name: str
    role: str
    address: str
    port: int
    user: str
    effect_id: str
    #: Where a register finds its server on the store's LAN; None for servers.
    server_lan: str | None = None
    #: ``user@address:port`` of the host that it is reached through.
    jump: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunOrder:
    """One run.

    Attributes:
        ident: deterministic name of the run: the same order has the same ident.
        folder: where the run may write; kept as evidence.
        release: folder of the release (manifest.json, package.tar.zst, signatures/).
        known_hosts: pinned keys of all hosts of the run, in OpenSSH's form.
        seconds: after this time the run is ended; hosts without an answer are silent.
    """

    ident: str
    action: Action
    hosts: tuple[RunHost, ...]
    folder: Path
    release: Path
    digest: str
    version: str
    known_hosts: str
    health_timeout_s: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class HostAnswer:
    """What one host said; ``result`` is the module's result when it reported."""

    host: str
    answer: Answer
    result: Mapping[str, Any] | None = None
    #: Why there is no result, in the words of Ansible.
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """How the run ended.

    Attributes:
        complete: it came to its own end. False: what hosts did not report is not known.
        answers: the last answer of every host of the order; hosts without one are ``SILENT``.
    """

    complete: bool
    answers: Mapping[str, HostAnswer]
    detail: str = ""


class Listener(Protocol):
    """Is told while the run goes on; may be told the same twice."""

    def begun(self, host: str) -> None:
        """The action begins on the host."""

    def answered(self, answer: HostAnswer) -> None:
        """The host has answered."""


class Runner(Protocol):
    """Runs one order to its end."""

    def run(self, order: RunOrder, listener: Listener, cancelled: threading.Event) -> RunEnd:
        """Act on the hosts; every host of the order has an answer in the end, ``SILENT`` at worst.

        When ``cancelled`` is set, no further host is begun and the run ends as soon as it can. Raises
        nothing for what hosts do.

        Raises:
            pipeline.errors.UnavailableError: the run could not be begun at all; no host was touched.
        """

    def stop_leftover(self, order_folder: Path) -> None:
        """End what an earlier attempt at the order may have left running on this machine."""


def silent(order: RunOrder, answers: Mapping[str, HostAnswer]) -> dict[str, HostAnswer]:
    """The answers, and ``SILENT`` for every host of the order that has none."""
    return {
        host.name: answers.get(host.name) or HostAnswer(host=host.name, answer=Answer.SILENT)
        for host in order.hosts
    }


#: How services are given a runner that suits the settings.
RunnerFactory = Callable[[], Runner]
