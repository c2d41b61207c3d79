"""What may be left out of a scenario: events, goods inside documents and their prices, whole registers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from testbench.drivers.port import Element, Layer
from testbench.drivers.set10 import suspicion
from testbench.outcomes import Outcome
from testbench.scenarios.schema import Scenario

#: Whole elements of goods catalogues and promotions that our own writers and the ERP sides make; cut out of
#: the text, so that everything else of the document stays byte for byte what the store had.
_GOOD = re.compile(
    rb"[ \t]*<(?P<tag>good|price-entry|(?:min-price|max-discount|sale-denied)-restriction"
    rb"|AdvertisingAction)\b[^>]*?(?P<key>\bmarking-of-the-good|\bsubject-code|\bAdvertActGUID)=\"(?P<value>[^\"]*)\"[^>]*?"
    rb"(?:/>|(?<!/)>.*?</(?P=tag)>)[ \t]*\r?\n?",
    re.DOTALL,
)
_CODE = re.compile(rb"<bar-code\b[^>]*?\bcode=\"([^\"]*)\"")


@dataclass(frozen=True)
class _Piece:
    """A byte range of a document that is one element."""

    document: str
    start: int
    end: int
    article: str


@dataclass
class Reduction:
    """``testbench.drivers.port.Reducible`` for a scenario of SET 10."""

    scenario: Scenario
    elements: Sequence[Element] = field(init=False)
    _pieces: list[_Piece] = field(init=False)
    _first_register: int = field(init=False)

    def __post_init__(self) -> None:
        events = [Element(_label(event), event.unit, Layer.EVENTS) for event in self.scenario.events]
        self._pieces = []
        data = []
        for name, content in sorted(self.scenario.contents.items()):
            for found in _GOOD.finditer(content):
                article = found["value"].decode("utf-8", "replace")
                self._pieces.append(_Piece(name, found.start(), found.end(), article))
                data.append(Element(f"{found['tag'].decode()} {article}", f"document:{name}", Layer.DATA))
        registers = [
            Element(f"register {register}", f"register:{register}", Layer.CONFIGURATION)
            for register in self.scenario.registers
        ]
        self._first_register = len(events) + len(data)
        self.elements = [*events, *data, *registers]

    def keep(self, indices: Sequence[int]) -> Scenario:
        """The scenario with only these elements; documents that no event uses any more go too."""
        kept = set(indices)
        registers = [
            register
            for place, register in enumerate(self.scenario.registers, self._first_register)
            if place in kept
        ]
        events = [
            event
            for place, event in enumerate(self.scenario.events)
            if place in kept and (event.register_ is None or event.register_ in registers)
        ]
        used = {event.payload["document"] for event in events if "document" in event.payload}
        contents = {name: self._cut(name, kept) for name in self.scenario.contents if name in used}
        observed = {event.seq for event in events}
        return self.scenario.replaced(
            events=events,
            contents=contents,
            registers=registers,
            observe=tuple(point for point in self.scenario.observe if point.after in observed),
        )

    def suspected(self, outcome: Outcome) -> list[list[int]]:
        """``testbench.drivers.port.Suspecting``: the failing receipt, register, article."""
        about = suspicion.subject(outcome)
        codes = self._codes()
        found = []
        for places in suspicion.guesses(about, self.scenario.events):
            events = [self.scenario.events[place] for place in places]
            used = {about.article} if about.article else set()
            used |= {article for code in suspicion.scanned(events) for article in codes.get(code, ())}
            goods = [
                index
                for index, piece in enumerate(self._pieces, len(self.scenario.events))
                if piece.article in used
            ]
            at_work = {event.register_ for event in events}
            registers = [
                index
                for index, register in enumerate(self.scenario.registers, self._first_register)
                if register in at_work
            ]
            found.append([*places, *goods, *registers])
        return found

    def _codes(self) -> dict[str, set[str]]:
        """Barcode -> articles that any document gives it to: a barcode may move from one to another."""
        codes: dict[str, set[str]] = {}
        for piece in self._pieces:
            for code in _CODE.findall(self.scenario.contents[piece.document], piece.start, piece.end):
                codes.setdefault(code.decode("utf-8", "replace"), set()).add(piece.article)
        return codes

    def _cut(self, name: str, kept: set[int]) -> bytes:
        content = self.scenario.contents[name]
        parts, place = [], 0
        for index, piece in enumerate(self._pieces, len(self.scenario.events)):
            if piece.document == name and index not in kept:
                parts.append(content[place : piece.start])
                place = piece.end
        return b"".join([*parts, content[place:]])


def _label(event: object) -> str:
    kind, payload = getattr(event, "type", ""), getattr(event, "payload", {})
    told = payload.get("barcode") or payload.get("amount") or payload.get("ti") or payload.get("number") or ""
    return f"{kind} {told}".strip()
