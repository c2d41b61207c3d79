"""Collects what a run made visible: exported documents by SOAP and as files, catalogues, price checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from testbench.drivers.set10 import soap
from testbench.drivers.set10.player import Package, Player
from testbench.drivers.set10.provision import Store
from testbench.oracles import documents
from testbench.oracles.observations import (
    Discount,
    GoodSeen,
    Identity,
    ImportSeen,
    Observations,
    PricesSeen,
    Receipt,
    ZReport,
)
from testbench.scenarios.schema import Scenario

#: Price checks ask one register for one barcode at a time; more goods than this are judged by the catalogue.
MAX_PRICE_CHECKS = 100
END = "end"
#: Receipts in one answer of getNewPurchasesByParams.
TAKEN_AT_ONCE = 500


class Observer:
    """Looks at one store, at observation points and at the end."""

    def __init__(self, store: Store, scenario: Scenario, player: Player) -> None:
        self._store = store
        self._scenario = scenario
        self._player = player
        self._zone = ZoneInfo(scenario.zone)
        self._prices: list[PricesSeen] = []
        self._receipts: tuple[Receipt, ...] = ()
        self._pushed: tuple[Receipt, ...] = ()
        self._z_reports: tuple[ZReport, ...] = ()
        self._taken: tuple[Receipt, ...] | None = None
        self._acknowledged: tuple[Receipt, ...] | None = None
        self._unreadable: list[str] = []
        self._discounts: dict[Identity, tuple[Discount, ...]] = {}
        self._balances: dict[str, Decimal | None] = {}

    def look_at_prices(self, point: str) -> None:
        """All catalogues, after every register exchanged with the server.

        Raises:
            Over: a process ended or hangs.
        """
        fresh = [
            register for register in self._scenario.registers if self._player.sync(register).get("ok") is True
        ]
        server = self._catalog(None)
        registers = {register: self._catalog(register) for register in fresh}
        self._prices.append(PricesSeen(point=point, at=self._store.now, server=server, registers=registers))

    def finish(self) -> None:
        """The end of the run: everything is exchanged and exported, then looked at.

        Raises:
            Over: a process ended or hangs.
        """
        self._player.calm()
        self.look_at_prices(END)
        self._player.action(None, "export", {})
        self._player.action(None, "sync", {})
        receipts: list[Receipt] = []
        reports: list[ZReport] = []
        for day in self._days():
            found = self._exported("getPurchasesByOperDay", day, documents.purchases)
            receipts += [replace(receipt, asked_day=day) for receipt in found]
            reports += self._exported("getZReportsByOperDay", day, documents.z_reports)
        self._receipts, self._z_reports = tuple(receipts), tuple(reports)
        self._pushed = self._files()
        self._taken = self._new_ones()
        self._acknowledged = self._received()
        self._discounts = self._discount_files()
        self._balances = {card: self._balance(card) for card in sorted(self._player.record.charged)}

    def observations(self, is_complete: bool) -> Observations:
        """Everything that was seen; ``is_complete`` is False when the run ended early."""
        record = self._player.record
        return Observations(
            shop=self._scenario.shop,
            receipts=self._receipts,
            pushed=self._pushed,
            z_reports=self._z_reports,
            taken=self._taken,
            acknowledged=self._acknowledged,
            closed_receipts=tuple(record.closed_receipts),
            closed_shifts=tuple(record.closed_shifts),
            is_complete=is_complete,
            imports=tuple(self._import(package) for package in record.packages),
            prices=tuple(self._prices),
            actions=tuple(record.actions),
            troubles=tuple(record.troubles),
            units=dict(record.units),
            unreadable=tuple(self._unreadable),
            discounts=dict(self._discounts),
            charged={card: Decimal(amount) for card, amount in record.charged.items()},
            balances=dict(self._balances),
            zone=self._zone,
        )

    def _days(self) -> list[str]:
        """Operating days that may hold a document, one more on either side: a wrong day must be seen too."""
        days = {event.at.astimezone(self._zone).date() for event in self._scenario.events}
        if not days:
            return []
        around = {day + timedelta(days=shift) for day in days for shift in (-1, 0, 1)}
        return [day.isoformat() for day in sorted(around)]

    def _exported(self, operation: str, day: str, read: Any) -> tuple[Any, ...]:
        answer = self._player.call(soap.FISCAL[0], soap.by_operday(operation, day))
        if answer is None:
            self._unreadable.append(operation)
            return ()
        try:
            found: tuple[Any, ...] = read(soap.returned_document(answer))
        except (soap.SoapError, documents.DocumentError) as problem:
            self._unreadable.append(f"{operation}: {problem}")
            return ()
        return found

    def _new_ones(self) -> tuple[Receipt, ...]:
        """Everything that is given as new, once; a server that gives the same for ever is asked no longer."""
        found: list[Receipt] = []
        for _ in range(len(self._receipts) // TAKEN_AT_ONCE + 4):
            answer = self._player.call(soap.FISCAL[0], soap.new_purchases(TAKEN_AT_ONCE))
            try:
                some = documents.purchases(soap.returned_document(answer)) if answer is not None else ()
            except (soap.SoapError, documents.DocumentError) as problem:
                self._unreadable.append(f"getNewPurchasesByParams: {problem}")
                some = ()
            if not some:
                break
            found += some
        return tuple(found)

    def _received(self) -> tuple[Receipt, ...] | None:
        """What the ERP acknowledged; None when the product never called it."""
        if not self._store.erp.is_called:
            return None
        found: list[Receipt] = []
        for call in self._store.erp.pushed:
            if call.service != "purchases":
                continue
            try:
                found += documents.purchases(call.document)
            except documents.DocumentError as problem:
                self._unreadable.append(f"{call.operation}: {problem}")
        return tuple(found)

    def _files(self) -> tuple[Receipt, ...]:
        found: list[Receipt] = []
        for file in sorted((self._store.data(None) / "reports").glob("purchases*.xml")):
            try:
                found += documents.purchases(file.read_bytes())
            except documents.DocumentError as problem:
                self._unreadable.append(f"purchases file: {problem}")
        return tuple(found)

    def _discount_files(self) -> dict[Identity, tuple[Discount, ...]]:
        found: dict[Identity, tuple[Discount, ...]] = {}
        for file in sorted((self._store.data(None) / "reports").glob("discounts*.xml")):
            try:
                found |= documents.discounts(file.read_bytes())
            except documents.DocumentError as problem:
                self._unreadable.append(f"discounts file: {problem}")
        return found

    def _balance(self, card: str) -> Decimal | None:
        answer = self._player.call(soap.PROCESSING[0], soap.active_accounts(card))
        try:
            return None if answer is None else Decimal(soap.text_of(answer, "balance")) * 100
        except (soap.SoapError, InvalidOperation):
            return None

    def _catalog(self, register: int | None) -> dict[str, GoodSeen]:
        record = self._player.get(register, "/catalog")
        goods = record.get("goods")
        now = self._store.now.astimezone(self._zone).strftime("%Y-%m-%dT%H:%M:%S")
        seen = (
            [_good(good, now) for good in goods if isinstance(good, dict)] if isinstance(goods, list) else []
        )
        catalog = {good.article: good for good in seen if good.article}
        if register is None or len(catalog) > MAX_PRICE_CHECKS:
            return catalog
        return {article: self._checked(register, good) for article, good in catalog.items()}

    def _checked(self, register: int, good: GoodSeen) -> GoodSeen:
        if not good.barcodes or not good.prices:
            return good
        answer = self._player.action(register, "price.check", {"barcode": min(good.barcodes)})
        price = answer.get("price")
        sold = Decimal(price) if isinstance(price, int) and answer.get("ok") is True else None
        return GoodSeen(article=good.article, prices=good.prices, barcodes=good.barcodes, sold_at=sold)

    def _import(self, package: Package) -> ImportSeen:
        seen = ImportSeen(
            ti=package.ti, status=package.status, at=package.at, is_accepted=package.is_accepted
        )
        try:
            if package.kind == "erp.actions":
                return replace(seen, promotions=documents.promotions(package.document, self._zone))
            return replace(seen, document=documents.goods_catalog(package.document, self._zone))
        except documents.DocumentError:
            return seen


def _good(record: Mapping[str, Any], now: str) -> GoodSeen:
    barcodes = record.get("barcodes")
    codes = [code.get("code") if isinstance(code, dict) else code for code in barcodes or []]
    return GoodSeen(
        article="" if record.get("deleted") is True else str(record.get("marking") or ""),
        prices=_prices(record.get("prices"), now),
        barcodes=frozenset(str(code) for code in codes if code),
    )


def _prices(listed: Any, now: str) -> dict[int, Decimal]:
    """Price number -> what holds now; of several departments the lowest, of several begins the latest."""
    best: dict[int, tuple[int, str, int]] = {}
    for entry in listed if isinstance(listed, list) else []:
        if not isinstance(entry, dict) or not isinstance(entry.get("price"), int):
            continue
        begin, end = str(entry.get("begin") or ""), entry.get("end")
        if begin > now or (end and str(end) < now):
            continue
        number, department = int(entry.get("number") or 1), int(entry.get("department") or 1)
        other = best.get(number)
        if other is None or (-department, begin) > (-other[0], other[1]):
            best[number] = department, begin, entry["price"]
    return {number: Decimal(price) for number, (_, _, price) in best.items()}
