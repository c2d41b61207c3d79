"""Oracle returns: a return by receipt gives back what was sold, at its price and VAT rate, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from testbench.oracles.findings import Finding, roubles
from testbench.oracles.observations import Identity, Observations, Receipt

NAME = "returns"


def check(seen: Observations) -> Iterator[Finding]:
    """Line by line against the sale; then all returns of one sale together."""
    sales = {
        receipt.identity: receipt for receipt in seen.receipts if receipt.is_sale and not receipt.is_cancelled
    }
    returns: dict[Identity, Receipt] = {}
    for receipt in seen.receipts:
        if not receipt.is_sale and not receipt.is_cancelled and receipt.original in sales:
            returns.setdefault(receipt.identity, receipt)
    for receipt in returns.values():
        assert receipt.original is not None
        yield from _lines(receipt, sales[receipt.original])
    for identity, sale in sales.items():
        own = [receipt for receipt in returns.values() if receipt.original == identity]
        yield from _sums(sale, own)


def _lines(receipt: Receipt, sale: Receipt) -> Iterator[Finding]:
    for position in receipt.positions:
        where = f"{receipt.where}, line {position.order} ({position.goods_code})"
        sold = [line for line in sale.positions if line.goods_code == position.goods_code]
        if not sold:
            yield Finding(NAME, "not-sold", where, f"goods of {sale.where}", position.goods_code)
        elif position.cost not in {line.cost for line in sold}:
            yield Finding(NAME, "price", where, roubles(sold[0].cost), roubles(position.cost))
        elif position.vat_rate not in {line.vat_rate for line in sold}:
            yield Finding(NAME, "vat-rate", where, str(sold[0].vat_rate), str(position.vat_rate))


def _sums(sale: Receipt, returns: list[Receipt]) -> Iterator[Finding]:
    """Of one good never more money or quantity comes back than was sold; all of it gives all of its money."""
    back = [line for receipt in returns for line in receipt.positions]
    for code in dict.fromkeys(line.goods_code for line in back):
        sold = [line for line in sale.positions if line.goods_code == code]
        own = [line for line in back if line.goods_code == code]
        count, of = sum((line.count for line in own), Decimal(0)), sum((x.count for x in sold), Decimal(0))
        money, paid = (
            sum((line.amount for line in own), Decimal(0)),
            sum((x.amount for x in sold), Decimal(0)),
        )
        where = f"{sale.where}, {code}"
        if not sold:
            continue
        if count > of:
            yield Finding(NAME, "more-than-sold", where, f"at most {of}", str(count))
        elif money > paid or (count == of and money != paid):
            yield Finding(NAME, "amount", where, roubles(paid), roubles(money))
