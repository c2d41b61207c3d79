"""Writes scenarios by hand, in a few lines: for tests, examples, and engineers without evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from testbench.scenarios.catalog import ShownGood, ShownPrice, document
from testbench.scenarios.schema import (
    Clock,
    Event,
    OracleSpec,
    Scenario,
    Snapshot,
    digest_of_documents,
    digests,
)

#: Between two events of a composed scenario.
_STEP = timedelta(seconds=10)


def good(
    article: str, barcode: str, kopecks: int, *, vat: int = 20, plu: int | None = None, name: str = ""
) -> ShownGood:
    """A piece good, or (with a plu) a weight good whose price is per kilogram; price in kopecks."""
    return ShownGood(
        article=article,
        name=name or f"Good {article}",
        barcodes=((barcode, 1),),
        prices=(ShownPrice(kopecks=kopecks, begin="2020-01-01T00:00:00"),),
        vat=vat,
        type="ProductPieceEntity" if plu is None else "ProductWeightEntity",
        plu=plu,
    )


class Composer:
    """Collects events in playing order; every event is ten seconds after the one before."""

    def __init__(
        self, start: datetime, *, shop: int = 1, zone: str = "Europe/Moscow", registers: Sequence[int] = (1,)
    ) -> None:
        """Args: start: aware; the first event's time."""
        self.now = start
        self._start = start
        self._shop = shop
        self._zone = zone
        self._registers = tuple(registers)
        self._events: list[Event] = []
        self._contents: dict[str, bytes] = {}
        self._numbers: dict[int, int] = {}
        self._shifts: dict[int, int] = {}
        self._groups = 0

    def do(self, register: int | None, unit: str, type_: str, /, **payload: Any) -> None:
        """One event."""
        self._events.append(
            Event.model_validate(
                {
                    "seq": len(self._events) + 1,
                    "at": self.now,
                    "register": register,
                    "unit": unit,
                    "type": type_,
                    "payload": payload,
                }
            )
        )
        self.now += _STEP

    def at_once(self, *events: tuple[int | None, str, str, dict[str, Any]]) -> None:
        """Events (register, unit, type, payload) that are played at the same moment."""
        self._groups += 1
        for register, unit, type_, payload in events:
            self.do(register, unit, type_, **payload)
            together = {"together": self._groups, "at": self.now - _STEP}
            self._events[-1] = self._events[-1].model_copy(update=together)
            self.now -= _STEP
        self.now += _STEP

    def package(self, ti: str, goods: Iterable[ShownGood]) -> None:
        """The ERP sends goods, and every register takes them."""
        self.document(ti, document(goods))

    def document(self, ti: str, content: bytes) -> None:
        """The ERP sends a goods catalogue document as it is, and every register takes it."""
        self._import("erp.goods", ti, content)

    def actions(self, ti: str, content: bytes) -> None:
        """The ERP sends a promotions document as it is, and every register takes it."""
        self._import("erp.actions", ti, content)

    def cards(self, content: bytes) -> None:
        """The ERP drops a cards catalogue, and every register takes it."""
        name = self._kept(content)
        unit = f"packet:{name}"
        self.do(None, unit, "erp.file", folder="cards", name=f"catalog-cards-{name}", document=name)
        self._exchange(unit)

    def _import(self, type_: str, ti: str, content: bytes) -> None:
        self.do(None, f"packet:{ti}", type_, document=self._kept(content), ti=ti)
        self._exchange(f"packet:{ti}")

    def _kept(self, content: bytes) -> str:
        name = f"package-{len(self._contents) + 1}.xml"
        self._contents[name] = content
        return name

    def _exchange(self, unit: str) -> None:
        for register in self._registers:
            self.do(register, unit, "sync")

    def open_shift(self, register: int = 1, tab_number: str = "17") -> None:
        """A shift; its receipts are numbered on as the product does."""
        self._shifts[register] = self._shifts.get(register, 0) + 1
        self.do(register, self._shift_unit(register), "shift.open", tab_number=tab_number)

    def close_shift(self, register: int = 1) -> None:
        """The Z report; it takes a document number as a receipt does."""
        self.do(register, self._shift_unit(register), "shift.close")
        self._numbers[register] = self._numbers.get(register, 0) + 1

    def receipt(
        self,
        lines: Iterable[tuple[str, int]],
        paid: int,
        register: int = 1,
        *,
        percent: int | None = None,
        amount: int | None = None,
        card: str | None = None,
        cancelled: bool = False,
        original: dict[str, int] | None = None,
        payment: str = "cash",
    ) -> str:
        """One receipt of (barcode, thousandths) lines, paid in kopecks; its unit is returned.

        With ``original`` it is a return of that receipt.
        """
        number = self._numbers[register] = self._numbers.get(register, 0) + 1
        unit = f"receipt:{register}/{self._shifts.get(register, 0)}/{number}"
        opening: dict[str, Any] = {"kind": "return" if original else "sale"}
        if original:
            opening["original"] = original
        self.do(register, unit, "receipt.open", **opening)
        for barcode, quantity in lines:
            self.do(register, unit, "receipt.add", barcode=barcode, quantity=quantity)
        if card:
            self.do(register, unit, "receipt.card", number=card)
        if percent is not None:
            self.do(register, unit, "receipt.discount", percent=percent)
        if amount is not None:
            self.do(register, unit, "receipt.discount", amount=amount)
        if cancelled:
            self.do(register, unit, "receipt.cancel")
            return unit
        self.do(register, unit, "receipt.pay", type=payment, amount=paid)
        self.do(register, unit, "receipt.close")
        return unit

    def scenario(self, title: str = "composed", oracle: OracleSpec | None = None) -> Scenario:
        """What was collected so far."""
        sums = digests(self._contents)
        return Scenario(
            title=title,
            snapshot=Snapshot(sha256=digest_of_documents(sums)),
            clock=Clock(start=self._start),
            zone=self._zone,
            shop=self._shop,
            registers=self._registers,
            documents=sums,
            contents=dict(self._contents),
            events=tuple(self._events),
            oracle=oracle or OracleSpec(),
        )

    def _shift_unit(self, register: int) -> str:
        return f"shift:{register}/{self._shifts.get(register, 0)}"
