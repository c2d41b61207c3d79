"""Plays a scenario's events on a store, tolerantly: what has become impossible is answered ok=false, recorded
and skipped. Only a crash, a hang or an HTTP 500 is a failure by itself."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

from testbench.drivers.set10 import soap
from testbench.drivers.set10.processes import StartError
from testbench.drivers.set10.provision import Store
from testbench.drivers.set10.wire import Answer, HangError, OutOfTimeError, Wire, WireError
from testbench.oracles.observations import ActionSeen, Identity, Trouble
from testbench.scenarios.schema import Event, Scenario

_ERROR_TYPE = re.compile(r"\b([A-Z][A-Za-z]*(?:Error|Exception|Exit|Interrupt))\b")
#: How often a package's status is asked; with explicit exchange it is final at once.
_STATUS_POLLS = 50
#: How long a process may take to be gone after its connection broke.
_DYING_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package as the bench gave it to the server."""

    ti: str
    at: datetime
    document: bytes
    status: int | None
    is_accepted: bool
    #: The type of the event that brought it.
    kind: str = "erp.goods"


class Over(Exception):  # noqa: N818 - not an error: the product cannot go on, the run is judged as it is
    """A process of the product ended or hangs; what follows cannot be played."""


@dataclass
class Record:
    """What was seen while playing."""

    actions: list[ActionSeen] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)
    closed_receipts: list[Identity] = field(default_factory=list)
    closed_shifts: list[tuple[int, int]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    units: dict[str, Identity] = field(default_factory=dict)
    #: Card -> kopecks that the processing service said it has charged.
    charged: dict[str, int] = field(default_factory=dict)


class Player:
    """One playing of one scenario."""

    def __init__(self, store: Store, scenario: Scenario) -> None:
        self._store = store
        self._scenario = scenario
        self.record = Record()
        #: Register -> number of the shift that is open on the bench.
        self._shifts: dict[int, int] = {}
        self._cut: set[int] = set()
        self._may_lose: set[int] = set()
        #: A receipt's number in the store -> on the bench; returns name their original by the store's number.
        self._known: dict[str, Identity] = {}

    def play(self, event: Event) -> None:
        """One event.

        Raises:
            Over: a process ended or hangs.
        """
        self._store.set_clock(event.at)
        if event.type == "restart":
            self._restart(event)
        elif event.type == "erp.goods":
            self._import(event, soap.GOODS[0], soap.goods_with_ti)
        elif event.type == "erp.actions":
            self._import(event, soap.ACTIONS[0], soap.actions_with_ti)
        elif event.type == "bonus.charge":
            self._charge(event)
        elif event.type == "erp.file":
            self._drop(event)
        elif event.type == "erp.refuse":
            self._store.erp.refuse(int(event.payload["calls"]))
            self._note(event, {"ok": True})
        else:
            register = event.register_
            self._answered(
                event, self._read(register, self._over(register, lambda wire: self._ask(event, wire)))
            )

    def play_together(self, events: Sequence[Event]) -> None:
        """Several events at the same moment: each from a thread and over a connection of its own.

        What was answered is taken in when all have answered, in the order of the events.

        Raises:
            Over: a process ended or hangs.
        """
        self._store.set_clock(events[0].at)
        results: list[Answer | WireError] = [WireError("not asked")] * len(events)
        start = threading.Barrier(len(events))

        def ask(place: int, event: Event, wire: Wire) -> None:
            with contextlib.suppress(WireError):  # the request says the same, when all are ready
                wire.connect()
            start.wait()
            try:
                results[place] = self._ask(event, wire)
            except WireError as problem:
                results[place] = problem
            finally:
                wire.close()

        threads = [
            threading.Thread(target=ask, args=(place, event, self._store.another_wire(event.register_)))
            for place, event in enumerate(events)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for event, result in zip(events, results, strict=True):
            if isinstance(result, WireError):
                self._broken(event.register_, result)
            else:
                self._answered(event, self._read(event.register_, result))

    def _ask(self, event: Event, wire: Wire) -> Answer:
        if event.type == "sync":
            return wire.post_json("/sync", {})
        return wire.post_json("/actions", {"type": event.type, "payload": self._translated(event)})

    def _answered(self, event: Event, answer: dict[str, Any]) -> None:
        register = event.register_
        if event.type == "sync" and register is not None:
            self._exchanged(register, answer)
        self._note(event, answer)
        if answer.get("ok") is True and register is not None:
            self._follow(event, register, answer)

    def sync(self, register: int) -> dict[str, Any]:
        """One exchange of a register with the server; a failure without a disturbed LAN is a trouble."""
        answer = self._exchange(register, "POST", "/sync", {})
        self._exchanged(register, answer)
        return answer

    def _exchanged(self, register: int, answer: dict[str, Any]) -> None:
        undisturbed = register not in self._cut and register not in self._may_lose
        if answer.get("ok") is not True and undisturbed:
            error = str(answer.get("error", ""))
            named = _ERROR_TYPE.findall(error)
            self._trouble("exchange-failed", register, named[0] if named else "", error)
        self._may_lose.discard(register)

    def calm(self) -> None:
        """Before the end: every LAN works again.

        Raises:
            Over: as ``play``.
        """
        for register in sorted(self._cut):
            self._action(register, "network.restore", {})
        self._cut.clear()
        for register in sorted(self._may_lose):
            self.sync(register)

    def action(self, register: int | None, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        """An action that is not an event of the scenario (export, price check).

        Raises:
            Over: as ``play``.
        """
        return self._action(register, kind, payload)

    def get(self, register: int | None, path: str) -> Any:
        """A JSON document of a register or the server.

        Raises:
            Over: as ``play``.
        """
        return self._exchange(register, "GET", path, None)

    def call(self, path: str, envelope: bytes) -> bytes | None:
        """A SOAP call to the server; None when it was refused or failed (then noted).

        Raises:
            Over: as ``play``.
        """
        answer = self._request(None, "POST", path, envelope)
        if answer.status >= 500 and not _is_refusal(answer):
            self._server_error(None, answer)
        return answer.body if answer.status == 200 else None

    def _action(self, register: int | None, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        return self._exchange(register, "POST", "/actions", {"type": kind, "payload": payload})

    def _exchange(self, register: int | None, method: str, path: str, value: Any) -> dict[str, Any]:
        return self._read(register, self._request(register, method, path, value))

    def _read(self, register: int | None, answer: Answer) -> dict[str, Any]:
        record = answer.json()
        if answer.status >= 500:
            self._server_error(register, answer)
        return record if isinstance(record, dict) else {"ok": False, "error": f"HTTP {answer.status}"}

    def _request(self, register: int | None, method: str, path: str, value: Any) -> Answer:
        def send(wire: Wire) -> Answer:
            if method == "GET":
                return wire.get(path)
            return wire.post_xml(path, value) if isinstance(value, bytes) else wire.post_json(path, value)

        return self._over(register, send)

    def _over(self, register: int | None, send: Callable[[Wire], Answer]) -> Answer:
        try:
            return send(self._store.wire(register))
        except WireError as problem:
            self._broken(register, problem)

    def _broken(self, register: int | None, problem: WireError) -> NoReturn:
        if isinstance(problem, OutOfTimeError):
            raise problem
        if isinstance(problem, HangError):
            self._trouble("hang", register, "", str(problem))
        # The kernel closes a dying process's connections a moment before it can be waited for.
        elif not self.note_ended(within=_DYING_SECONDS):
            self._trouble("crash", register, "connection", str(problem))
        raise Over from None

    def note_ended(self, within: float = 0.0) -> bool:
        """Note processes that ended by themselves, or do so ``within`` seconds; True when there was one."""
        found = False
        for child, code in self._store.ended(within):
            named = _ERROR_TYPE.findall(child.errors())
            what = named[-1] if named else f"signal-{-code}" if code < 0 else f"exit-{code}"
            last_line = (child.errors().strip().splitlines() or [""])[-1]
            self.record.troubles.append(
                Trouble(kind="crash", where=child.name, what=what, detail=last_line or what)
            )
            found = True
        return found

    def _server_error(self, register: int | None, answer: Answer) -> None:
        text = answer.body[:4000].decode("utf-8", "replace")
        named = _ERROR_TYPE.findall(text)
        self._trouble("http-500", register, named[0] if named else "", text[:300])

    def _trouble(self, kind: str, register: int | None, what: str, detail: str) -> None:
        where = "server" if register is None else f"register {register}"
        self.record.troubles.append(Trouble(kind=kind, where=where, what=what, detail=detail))

    def _note(self, event: Event, answer: dict[str, Any]) -> None:
        price = answer.get("price")
        self.record.actions.append(
            ActionSeen(
                seq=event.seq,
                type=event.type,
                register=event.register_,
                is_ok=answer.get("ok") is True,
                error=str(answer.get("error") or "")[:300],
                price=Decimal(price) if isinstance(price, int) else None,
                at=event.at,
                unit=event.unit,
                payload=event.payload,
            )
        )

    def _follow(self, event: Event, register: int, answer: dict[str, Any]) -> None:
        """Keep track of what the registers confirmed."""
        kind = event.type
        if kind == "shift.open":
            self._shifts[register] = _whole(answer.get("shift"))
        elif kind == "shift.close":
            self.record.closed_shifts.append((register, self._shift(register, answer)))
        elif kind == "receipt.open":
            self._meet(event, (register, self._shift(register, answer), _whole(answer.get("number"))))
        elif kind == "receipt.close":
            identity = (register, self._shift(register, answer), _whole(answer.get("number")))
            self._meet(event, identity)
            self.record.closed_receipts.append(identity)
        elif kind == "network.cut":
            self._cut.add(register)
        elif kind == "network.restore":
            self._cut.discard(register)
        elif kind == "network.lose_reply":
            self._may_lose.add(register)

    def _shift(self, register: int, answer: dict[str, Any]) -> int:
        """The register's shift: as answered, else as it was opened, else as its status says."""
        if isinstance(answer.get("shift"), int):
            return int(answer["shift"])
        if register not in self._shifts:
            status = self.get(register, "/status")
            shift = status.get("shift")
            self._shifts[register] = _whole(shift.get("number")) if isinstance(shift, dict) else 0
        return self._shifts[register]

    def _meet(self, event: Event, identity: Identity) -> None:
        self.record.units[event.unit] = identity
        self._known[event.unit.partition(":")[2]] = identity

    def _translated(self, event: Event) -> dict[str, Any]:
        """The payload with a return's original as it is numbered on the bench."""
        original = event.payload.get("original")
        if event.type != "receipt.open" or not isinstance(original, dict):
            return {name: value for name, value in event.payload.items() if value is not None}
        name = f"{original['cash']}/{original['shift']}/{original['number']}"
        cash, shift, number = self._known.get(name, (original["cash"], original["shift"], original["number"]))
        return {**event.payload, "original": {"cash": cash, "shift": shift, "number": number}}

    def _charge(self, event: Event) -> None:
        """Bonuses for a card; what was really charged is what the balance is judged by."""
        card, amount = event.payload["card"], event.payload["amount"]
        answer = self.call(soap.PROCESSING[0], soap.charge(card, amount))
        try:
            is_done = answer is not None and soap.text_of(answer, "errorCode") == "0"
        except soap.SoapError:
            is_done = False
        if is_done:
            self.record.charged[card] = self.record.charged.get(card, 0) + amount
        self._note(event, {"ok": is_done, "error": "" if is_done else "not charged"})

    def _import(self, event: Event, path: str, request: Callable[[bytes, str], bytes]) -> None:
        document = self._scenario.contents[event.payload["document"]]
        ti = event.payload["ti"]
        answer = self.call(path, request(document, ti))
        is_accepted = answer is not None and _returned_true(answer)
        status = self._status(ti) if is_accepted else None
        self.record.packages.append(
            Package(
                ti=ti,
                at=event.at,
                document=document,
                status=status,
                is_accepted=is_accepted,
                kind=event.type,
            )
        )
        self._note(event, {"ok": is_accepted, "error": "" if is_accepted else "not accepted"})

    def _status(self, ti: str) -> int | None:
        for _ in range(_STATUS_POLLS):
            answer = self.call(soap.FEEDBACK[0], soap.package_status(ti))
            if answer is None:
                return None
            try:
                status, _ = soap.status(answer)
            except soap.SoapError:
                return None
            if status not in (1, 2):
                return status
            self._exchange(None, "POST", "/sync", {})
        return status

    def _drop(self, event: Event) -> None:
        """As the ERP does it: a temporary name first, then the name that the server looks for."""
        payload = event.payload
        folder = self._store.data(None) / payload["folder"] / "source"
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{payload['name']}.bench"
        temporary.write_bytes(self._scenario.contents[payload["document"]])
        temporary.rename(folder / payload["name"])
        self._note(event, self._exchange(None, "POST", "/sync", {}))

    def _restart(self, event: Event) -> None:
        register = event.register_
        self._store.kill(register)
        try:
            self._store.start(register)
        except StartError as problem:
            if not self.note_ended():
                self._trouble("hang", register, "start", str(problem))
            raise Over from None
        if register in self._cut:  # the LAN is still cut; the program that pretends it has forgotten
            self._action(register, "network.cut", {})
        self._may_lose.discard(register if register is not None else -1)
        self._note(event, {"ok": True})


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _returned_true(answer: bytes) -> bool:
    try:
        return soap.returned(answer) == "true"
    except soap.SoapError:
        return False


def _is_refusal(answer: Answer) -> bool:
    """SOAP 1.1 sends faults with HTTP 500; a fault that blames the caller is a refusal, not a failure."""
    return b"faultcode>soap:Client<" in answer.body or b"faultcode>Client<" in answer.body
