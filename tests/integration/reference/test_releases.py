"""Every release of the reference SET runs, trades and exports over real HTTP, and is what a store needs."""

from __future__ import annotations

import base64
import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from testbench.reference import load_series, trading

TAGS = [release.tag for release in load_series().releases]
LAST = TAGS[-1]
DAY = "2025-11-23"
SHOP = 101


def _bring_goods(store: Any, assortment: Sequence[trading.Good]) -> None:
    document = trading.goods_document(assortment, SHOP, date(2025, 11, 1))
    assert store.import_goods(document, "1") == ("3", "correct")
    store.do(1, "sync")


def _trade(store: Any, actions: Sequence[dict[str, Any]]) -> int:
    """Does a shift; returns the number of receipts that were closed or annulled."""
    for action in actions:
        store.do(1, action["type"], **action["payload"])
    return sum(action["type"] in ("receipt.close", "receipt.cancel") for action in actions)


def _unequal(purchases: Any) -> list[str]:
    """Numbers of the receipts whose lines do not add up to the receipt."""
    return [
        purchase.get("number")
        for purchase in purchases
        if sum(Decimal(position.get("amount")) for position in purchase.iter("position"))
        != Decimal(purchase.get("amount"))
    ]


@pytest.mark.parametrize("tag", TAGS)
def test_release_trades_a_shift(tag: str, run_store: Callable[..., Any]) -> None:
    """A generated shift of piece goods runs without a refusal, and all of it is exported once."""
    pieces = [good for good in trading.goods(40) if good.plu is None]
    with run_store(tag) as store:
        _bring_goods(store, pieces)
        count = _trade(store, trading.shift(pieces, 30))
        exported = store.do(None, "export")

        status = store.get(None, "/status")
        assert f"v{status['version']}" == tag
        assert (status["receipts"], status["unexported_receipts"]) == (count, 0)
        assert status["registers"]["1"]["lag"] == 0
        assert exported["receipts"] == count
        (purchases,) = store.files("purchases*.xml")
        (reports,) = store.files("zreports*.xml")
        assert len({purchase.get("number") for purchase in purchases}) == count
        assert len(reports) == 1
        assert store.do(None, "export")["files"] == []


@pytest.mark.parametrize(("tag", "uneven"), [(LAST, 0), (TAGS[-2], 0), ("v10.4.5.0", 3), (LAST, 3)])
def test_shift_adds_up(tag: str, uneven: int, run_store: Callable[..., Any]) -> None:
    """Weighed goods, cards, discounts, returns: lines, payments and the Z report come to the receipts."""
    assortment = trading.goods(60)
    with run_store(tag) as store:
        store.do(
            None, "erp.file", folder="cards", name="cards.xml", content=_base64(trading.cards_document())
        )
        _bring_goods(store, assortment)
        _trade(store, trading.shift(assortment, 60, with_cards=True, uneven_discounts=uneven))
        purchases = store.exported("getPurchasesByOperDay", DAY)
        (report,) = store.exported("getZReportsByOperDay", DAY)

    closed = [purchase for purchase in purchases if purchase.get("status") != "CANCELLED"]
    assert len(closed) < len(purchases)
    assert _unequal(closed) == []
    for purchase in closed:
        signs = {"CashChangePaymentEntity": -1}
        paid = sum(
            Decimal(payment.get("amount")) * signs.get(payment.get("typeClass"), 1)
            for payment in purchase.iter("payment")
        )
        assert paid == Decimal(purchase.get("amount"))
    if tag != "v10.4.5.0":  # its Z report has a defect of its own
        for kind, field in (("true", "amountByPurchaseFiscal"), ("false", "amountByReturnFiscal")):
            receipts = [p for p in closed if p.get("operationType") == kind]
            assert Decimal(report.findtext(field)) == sum(Decimal(p.get("amount")) for p in receipts)
            assert receipts


@pytest.mark.parametrize("tag", ["v10.4.6.0", "v10.4.7.0"])
def test_uneven_discounts_show_the_defect(tag: str, run_store: Callable[..., Any]) -> None:
    """Only the asked-for receipts differ from their lines, on the releases that hold the defect."""
    assortment = trading.goods(60)
    with run_store(tag) as store:
        _bring_goods(store, assortment)
        _trade(store, trading.shift(assortment, 40, uneven_discounts=4))
        purchases = store.exported("getPurchasesByOperDay", DAY)

    assert len(_unequal(purchases)) == 4


def test_data_survive_update_and_rollback(reference: Any, tmp_path: Path) -> None:
    """One store's data go through all releases and one back; nothing is lost on the way."""
    assortment = [good for good in trading.goods(20) if good.plu is None]
    document, expected = 1, 0
    for number, tag in enumerate([*TAGS, TAGS[-2]], start=1):
        with reference.store(tag, tmp_path / "store") as store:
            if number == 1:
                _bring_goods(store, assortment)
            shift = trading.shift(assortment, 6, number=number, first_document=document)
            expected += _trade(store, shift)
            document += sum(action["type"] in ("receipt.open", "shift.close") for action in shift)
            status = store.get(None, "/status")
            assert (status["receipts"], status["goods"]) == (expected, len(assortment))
            assert store.get(1, "/status")["goods"] == len(assortment)


def test_kill_9_loses_nothing(reference: Any, tmp_path: Path) -> None:
    """After a power cut the open receipt is there, closed ones are unsent, the journal goes on."""
    assortment = trading.goods(10)
    with reference.store(LAST, tmp_path / "store") as store:
        _bring_goods(store, assortment)
        store.do(1, "shift.open")
        for close in (True, False):
            store.do(1, "receipt.open")
            store.do(1, "receipt.add", barcode=assortment[0].barcode)
            if close:
                store.do(1, "receipt.pay", type="card", amount=assortment[0].price)
                store.do(1, "receipt.close")
        store.process.kill()
        store.process.wait()
    journal = tmp_path / "store" / "r1" / "journal.jsonl"
    entries = len(journal.read_text().splitlines())
    with journal.open("a") as half:
        half.write('{"seq": 99')

    with reference.store(LAST, tmp_path / "store") as store:
        status = store.get(1, "/status")
        assert status["open_receipt"]
        assert status["unsent_receipts"] == 1
        store.do(1, "receipt.pay", type="cash", amount=100000000)
        store.do(1, "receipt.close")
        assert store.do(1, "sync")["sent"] == 2
    numbers = [json.loads(line)["seq"] for line in journal.read_text().splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert json.loads(journal.read_text().splitlines()[entries])["type"] == "restart"


def test_register_works_without_the_server(run_store: Callable[..., Any]) -> None:
    """With the LAN cut it sells and closes its shift; afterwards everything arrives."""
    assortment = trading.goods(10)
    with run_store(LAST) as store:
        _bring_goods(store, assortment)
        store.do(1, "network.cut")
        actions = [a for a in trading.shift(assortment, 4) if a["type"] != "sync"]
        count = _trade(store, actions)
        assert not store.act(1, "sync")["ok"]
        assert not store.get(1, "/status")["server_reachable"]
        store.do(1, "network.restore")

        answer = store.do(1, "sync")

        assert (answer["sent"], answer["zreports"]) == (count, 1)
        assert store.get(None, "/status")["receipts"] == count


def test_newer_register_is_refused(reference: Any, tmp_path: Path) -> None:
    """A register that was updated before its server keeps its receipts until the server follows."""
    server = reference.tree("v10.4.7.0") / "bin" / "set-server"
    with _host(reference, "v10.4.8.0", server, tmp_path) as (urls, call):
        answer = call(urls["register"], "sync")
        assert not answer["ok"]
        assert "newer" in answer["error"]


def test_two_hosts_exchange_by_timer(reference: Any, tmp_path: Path) -> None:
    """Server and register in processes of their own exchange by themselves; the cashier's program works."""
    program = reference.tree(LAST) / "bin" / "set-server"
    assortment = trading.goods(10)
    with _host(reference, LAST, program, tmp_path, interval=0.05) as (urls, call):
        content = _base64(trading.goods_document(assortment, SHOP, date(2025, 11, 1)))
        assert call(urls["server"], "erp.file", folder="products", name="g.xml", content=content)["ok"]
        _until(lambda: _status(urls["register"])["goods"] == len(assortment))
        lines = [action for action in trading.shift(assortment, 3) if action["type"] != "sync"]
        done = subprocess.run(
            [
                sys.executable,
                str(reference.tree(LAST) / "bin" / "cashier"),
                "--config",
                str(tmp_path / "register.json"),
            ],
            input="".join(json.dumps(line) + "\n" for line in lines),
            capture_output=True,
            text=True,
            check=True,
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert [answer["ok"] for answer in answers] == [True] * len(lines)
        _until(
            lambda: (
                _status(urls["server"])["receipts"] >= 3 and not _status(urls["register"])["unsent_receipts"]
            )
        )


def _base64(document: bytes) -> str:
    return base64.b64encode(document).decode()


def _status(url: str) -> dict[str, Any]:
    return _request(url, "GET", "/status", None)


def _request(url: str, method: str, path: str, body: bytes | None) -> dict[str, Any]:
    connection = http.client.HTTPConnection(url, timeout=30)
    try:
        connection.request(method, path, body)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def _until(condition: Callable[[], bool]) -> None:
    """Waits for what happens by timers; a minute is for a machine that is busy with something else."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def _host(
    reference: Any, register_tag: str, server_program: Path, folder: Path, interval: float = 0
) -> Iterator[tuple[dict[str, str], Callable[..., dict[str, Any]]]]:
    """A server and a register as they run on two hosts."""
    urls: dict[str, str] = {}
    with ExitStack() as stack:
        for role in ("server", "register"):
            config = {
                "role": role,
                "shop": SHOP,
                "cash": 1 if role == "register" else None,
                "listen": "127.0.0.1:0",
                "data_dir": str(folder / role),
                "log_file": str(folder / f"{role}.log"),
                "server_url": f"http://{urls['server']}" if role == "register" else None,
                "transport_interval_s": interval,
            }
            (folder / f"{role}.json").write_text(json.dumps(config))
            program = (
                server_program if role == "server" else reference.tree(register_tag) / "bin" / "set-register"
            )
            process = stack.enter_context(
                subprocess.Popen([sys.executable, str(program), "--config", str(folder / f"{role}.json")])
            )
            stack.callback(_stop, process)
            announced = folder / role / "listen.json"
            _until(lambda announced=announced: announced.exists())
            place = json.loads(announced.read_text())
            urls[role] = f"{place['host']}:{place['port']}"

        def call(url: str, action: str, **payload: Any) -> dict[str, Any]:
            return _request(
                url, "POST", "/actions", json.dumps({"type": action, "payload": payload}).encode()
            )

        yield urls, call


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
