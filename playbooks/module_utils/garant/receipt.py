"""The receipt of one effect: a journal of its phases, on the disk before and after each of them.

It is what makes a second call harmless, and what tells after a crash how far the first one came.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import HostError
from .layout import HostLayout, check_effect_id, read_json, write_json

SCHEMA = 1
#: States after which the same effect is never carried out again. Staging is not among them: it may be pruned.
FINAL = frozenset({"done", "failed", "rolled-back", "needs-human"})

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The host's clock; the only place where it is read."""
    return datetime.now(UTC)


@dataclass
class Phase:
    """A step under way; what is put into ``detail`` is reported."""

    name: str
    detail: str = ""


@dataclass
class Receipt:
    """One effect on this host, stored in ``receipts/<effect_id>.json`` at every change."""

    path: Path
    body: dict[str, Any]
    clock: Clock = utc_now

    @classmethod
    def path_of(cls, layout: HostLayout, effect_id: str) -> Path:
        """Where the receipt of ``effect_id`` is or will be."""
        return layout.receipts / f"{check_effect_id(effect_id)}.json"

    @classmethod
    def load(cls, layout: HostLayout, effect_id: str, clock: Clock = utc_now) -> "Receipt | None":
        """Return the receipt of ``effect_id``, or None when it was never begun here."""
        path = cls.path_of(layout, effect_id)
        body = read_json(path)
        return cls(path, body, clock) if body is not None and body.get("schema") == SCHEMA else None

    @classmethod
    def begin(
        cls, layout: HostLayout, effect_id: str, action: str, digest: str | None, clock: Clock = utc_now
    ) -> "Receipt":
        """Open a new receipt, or go on with one that is not final."""
        known = cls.load(layout, effect_id, clock)
        if known is not None:
            if known.body["state"] != "running":
                # It came to an end before. Only a change that broke off is settled, only its phases go on:
                # a host that refuses for hours must not have a journal of all its refusals.
                known.body.update(touched=False, phases=[], checks=[])
            known.body.update(state="running", reason="", final=False, changed=False, ended_at=None)
            known.save()
            return known
        body = {
            "schema": SCHEMA,
            "effect_id": effect_id,
            "action": action,
            "digest": digest,
            "state": "running",
            "final": False,
            "reason": "",
            "changed": False,
            "touched": False,
            "version_before": None,
            "version_after": None,
            "target": None,
            "goods_before": 0,
            "out_since": None,
            "out_of_service_seconds": 0.0,
            "started_at": clock().isoformat(),
            "ended_at": None,
            "phases": [],
            "checks": [],
        }
        receipt = cls(cls.path_of(layout, effect_id), body, clock)
        receipt.save()
        return receipt

    @classmethod
    def unfinished(cls, layout: HostLayout, clock: Clock = utc_now) -> list["Receipt"]:
        """Return every receipt that says running: with nobody holding the lock, its worker died."""
        found = []
        for path in sorted(layout.receipts.glob("*.json")) if layout.receipts.is_dir() else ():
            body = read_json(path)
            if body is not None and body.get("schema") == SCHEMA and body.get("state") == "running":
                found.append(cls(path, body, clock))
        return found

    def save(self) -> None:
        """Write it to the disk.

        Once the service was stopped, a full disk must not keep us from starting it again: from then on the
        journal yields to the service, and a write that fails is left to the next one.
        """
        try:
            write_json(self.path, self.body)
        except OSError:
            if not self.body["touched"]:
                raise

    @property
    def final(self) -> bool:
        """Whether this effect is over for good."""
        return bool(self.body["final"])

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Journal a step: written when it begins and when it has ended, well or not."""
        phase = Phase(name)
        entry: dict[str, Any] = {
            "name": name,
            "at": self.clock().isoformat(),
            "ok": None,
            "seconds": None,
            "detail": "",
        }
        self.body["phases"].append(entry)
        self.save()
        began = time.monotonic()
        try:
            yield phase
        except BaseException as error:
            detail = str(error) if isinstance(error, HostError) else repr(error)
            entry.update(ok=False, seconds=round(time.monotonic() - began, 3), detail=detail)
            self.save()
            raise
        entry.update(ok=True, seconds=round(time.monotonic() - began, 3), detail=phase.detail)
        self.save()

    def out_of_service(self) -> None:
        """Record that the service is about to be stopped: from here on the host counts as touched."""
        if self.body["out_since"] is None:
            self.body["out_since"] = self.clock().isoformat()
        write_json(self.path, {**self.body, "touched": True})
        self.body["touched"] = True

    def in_service(self) -> None:
        """Record that the service is healthy again and add up how long it was not."""
        if self.body["out_since"] is None:
            return
        since = datetime.fromisoformat(self.body["out_since"])
        seconds = max(0.0, (self.clock() - since).total_seconds())
        self.body["out_of_service_seconds"] = round(self.body["out_of_service_seconds"] + seconds, 3)
        self.body["out_since"] = None
        self.save()

    def end(self, state: str, reason: str, version_after: str | None, *, changed: bool) -> None:
        """Close it; refusals and busy hosts stay open, so that the same effect may be asked for again."""
        self.body.update(
            state=state,
            reason=reason,
            final=state in FINAL,
            version_after=version_after,
            changed=changed,
            ended_at=self.clock().isoformat(),
        )
        self.save()
