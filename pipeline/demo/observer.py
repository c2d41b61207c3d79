"""Looks at the world without asking Garant: hosts over HTTP and SSH, the tracker's files, the mailbox."""

from __future__ import annotations

import email
import email.policy
import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

from testbench.stores import Stores

#: Seconds between two looks at a register, and the longest wait for its answer.
EVERY_S = 0.2
ANSWER_S = 2.0


@dataclass
class Tally:
    """What was seen of one store."""

    down: set[str] = field(default_factory=set)
    most_down: int = 0
    looks: int = 0


class ServiceObserver:
    """Watches every register's service for as long as it runs, several times a second.

    It is not part of what it watches: it counts by what the registers answer on the network, from outside. A
    store whose link is cut is not looked at: from outside nobody can tell.
    """

    def __init__(self, stores: Stores) -> None:
        self._registers = {
            site.name: [(host.name, host.address) for host in site.hosts if host.role == "register"]
            for site in stores.site.stores
        }
        self._tallies = {store: Tally() for store in self._registers}
        self._blind: set[str] = set()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(store,), daemon=True, name=f"observe-{store}")
            for store in self._registers
        ]

    def __enter__(self) -> ServiceObserver:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def look_away(self, store: str) -> None:
        """The store's link is being cut."""
        self._blind.add(store)

    def look_again(self, store: str) -> None:
        """The store's link is back."""
        self._blind.discard(store)

    @property
    def most_down(self) -> dict[str, int]:
        """The most registers of each store that were out of service at one time."""
        return {store: tally.most_down for store, tally in self._tallies.items()}

    @property
    def looks(self) -> int:
        """How often a store was looked at; 0 means that nothing was observed."""
        return sum(tally.looks for tally in self._tallies.values())

    def _watch(self, store: str) -> None:
        tally = self._tallies[store]
        while not self._stop.wait(EVERY_S):
            if store in self._blind:
                continue
            down = {name for name, address in self._registers[store] if not serves(address)}
            if store in self._blind:
                continue  # cut while we looked
            tally.looks += 1
            tally.down = down
            tally.most_down = max(tally.most_down, len(down))


def serves(address: str) -> bool:
    """Whether the register at the address is in service: it answers, and says that it is ready."""
    connection = http.client.HTTPConnection(address, 8095, timeout=ANSWER_S)
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        return answer.status == 200 and json.loads(answer.read()).get("state") == "ready"
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def letters(maildir: Path) -> list[EmailMessage]:
    """The messages in the mailbox, oldest first, parsed as a mail program does."""
    files = [file for folder in ("new", "cur") for file in (maildir / folder).glob("*")]
    found = []
    for file in sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        found.append(message)
    return found


def wait_for_letter(maildir: Path, wanted: str, seconds: float = 30.0) -> EmailMessage | None:
    """The message with this Message-ID, when it arrives in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for message in letters(maildir):
            if message["Message-ID"] == wanted:
                return message
        time.sleep(0.2)
    return None
