"""What a store did, collected as evidence and masked, plays on the bench as it happened in the store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from testbench.drivers.port import Build, Limits
from testbench.drivers.set10 import SetDriver
from testbench.drivers.set10.player import Player
from testbench.drivers.set10.provision import Store
from testbench.masking import Masker
from testbench.outcomes import Outcome
from testbench.scenarios import Scenario, from_evidence, read, write
from testbench.scenarios.composing import Composer, good

START = datetime(2025, 11, 23, 5, tzinfo=UTC)
CARD, TAB = "2013800000017", "8317"
CARDS = f"""<?xml version="1.0" encoding="UTF-8"?>
<cards-catalog>
  <internal-card-type guid="5" name="Five" percentage-discount="5.00" deleted="false">
    <card-range guid="900001" startField="2013800000000" countField="1000" deleted="false"/>
  </internal-card-type>
  <internal-card number="{CARD}" status="ACTIVE" deleted="false" card-type-guid="5">
    <client guid="{CARD}" last-name="Zvezdochkina" first-name="Evpraksiya" mobile-phone="79123456789"/>
  </internal-card>
</cards-catalog>
"""


def traded() -> Scenario:
    """A day of a store: cards, goods, sales with a card, a return, receipts with a split discount."""
    composer = Composer(START)
    composer.package("1", [good("100501", "4600000000015", 8990), good("500001", "4600000005001", 2327)])
    plain = composer.scenario()
    contents = {**plain.contents, "cards.xml": CARDS.encode()}
    composer.do(
        None, "packet:cards", "erp.file", folder="cards", name="catalog-cards.xml", document="cards.xml"
    )
    composer.do(1, "packet:cards", "sync")
    composer.open_shift(1, TAB)
    composer.receipt([("4600000000015", 2000)], 20_000, card=CARD)
    composer.do(1, "sync:1", "sync")
    composer.receipt([("4600000000015", 1000)], 8540, original={"cash": 1, "shift": 1, "number": 1})
    composer.receipt([("4600000005001", 1000)] * 3, 10_000, amount=100)
    composer.close_shift()
    composer.do(1, "sync:2", "sync")
    events = composer._events
    return plain.replaced(contents=contents, events=events)


def collected(build: Build, scenario: Scenario, folder: Path, mask: Masker | None) -> Path:
    """Plays the store's day and collects what diagnosis would, masked or not."""
    workspace = folder / "store"
    workspace.mkdir(parents=True)
    catalog: Any
    with Store(build, scenario, workspace, Limits()) as store:
        player = Player(store, scenario)
        for event in scenario.events:
            player.play(event)
        catalog = player.get(None, "/catalog")
        names = {"s-server": store.data(None), "s-r1": store.data(1)}
    evidence = folder / "evidence"
    for name, data in names.items():
        own = evidence / "files" / name
        own.mkdir(parents=True)
        shutil.copy(data / "journal.jsonl", own / "journal.jsonl")
        for kind in ("products", "cards", "discounts"):
            if (data / kind / "success").is_dir():
                shutil.copytree(data / kind / "success", own / "exchange" / kind / "success")
    (evidence / "files/s-server/catalog.json").write_text(json.dumps(catalog))
    shutil.copy(workspace / "server.log", evidence / "files/s-server/set.log")
    if mask is not None:
        files = [file for file in sorted(evidence.rglob("*")) if file.is_file()]
        for file in files:
            mask.learn(file.name, file.read_bytes())
        for file in files:
            file.write_bytes(mask.mask_file(file.name, file.read_bytes()))
    hosts = [
        {"name": "s-server", "role": "server", "register": None},
        {"name": "s-r1", "role": "register", "register": 1},
    ]
    record = {"schema": 1, "store": "s", "product": "set10", "version": "10.4.6.0", "shop": 1}
    record |= {"zone": "Europe/Moscow", "hosts": hosts, "masking": mask.manifest() if mask else None}
    (evidence / "evidence.json").write_text(json.dumps(record))
    return evidence


def _run(build: Build, scenario: Scenario, workspace: Path) -> tuple[Outcome, dict[str, Any]]:
    workspace.mkdir()
    outcome = SetDriver().play(build, scenario, workspace, Limits())
    return outcome, json.loads((workspace / "observations.json").read_text())


def test_evidence_plays_as_it_happened(build: Callable[[str], Build], tmp_path: Path) -> None:
    """The scenario from the evidence shows the store's defect, and the same receipts to the kopeck."""
    release = build("v10.4.6.0")
    scenario = from_evidence(collected(release, traded(), tmp_path, None))
    in_store, receipts = _run(release, traded(), tmp_path / "a")
    on_bench, again = _run(release, scenario, tmp_path / "b")

    assert scenario.notes == ()
    assert in_store.signature == on_bench.signature == "receipt-arithmetic/lines-sum"
    assert receipts["receipt"] == again["receipt"]
    assert receipts["z"] == again["z"]


def with_loyalty() -> Scenario:
    """A promotion, a coupon, a marked good, bonuses and two logins at once."""
    composer = Composer(START)
    milk = good("100501", "4600000000015", 8990)
    composer.package("1", [milk])
    composer.cards(CARDS.encode())
    action = (
        '<AdvertisingActions><AdvertisingAction AdvertActGUID="A" name="A" active="true" mode="automatic">'
        '<conditions><coupon number="9900001"/></conditions><actionResults>'
        '<goodsDiscount percentage-discount="10"><for-all-goods>true</for-all-goods></goodsDiscount>'
        "</actionResults></AdvertisingAction></AdvertisingActions>"
    )
    composer.actions("2", action.encode())
    composer.do(None, "bonus:1", "bonus.charge", card=CARD, amount=5000)
    composer.at_once(*[(1, "shift:1/1", "shift.open", {"tab_number": tab}) for tab in (TAB, "18")])
    unit = "receipt:1/1/1"
    composer.do(1, unit, "receipt.open", kind="sale")
    composer.do(1, unit, "receipt.add", barcode="4600000000015")
    composer.do(1, unit, "receipt.card", number=CARD)
    composer.do(1, unit, "receipt.coupon", number="9900001")
    composer.do(1, unit, "receipt.pay", type="bonus", amount=5000)
    composer.do(1, unit, "receipt.pay", type="cash", amount=10000)
    composer.do(1, unit, "receipt.close")
    composer.do(1, "shift:1/1", "shift.close")
    composer.do(1, "fiscal:1", "fiscal.replace")
    composer.do(1, "sync:3", "sync")
    return composer.scenario()


@pytest.mark.parametrize("masked", [False, True], ids=["as it was", "masked"])
def test_loyalty_plays_as_it_happened(build: Callable[[str], Build], tmp_path: Path, masked: bool) -> None:
    """Promotions, coupons, charges and payments with bonuses come back from journals and documents."""
    release = build("v10.5.7.0")
    mask = Masker(b"a key of the tests, 32 bytes long") if masked else None
    scenario = from_evidence(collected(release, with_loyalty(), tmp_path, mask))
    in_store, receipts = _run(release, with_loyalty(), tmp_path / "a")
    on_bench, again = _run(release, scenario, tmp_path / "b")

    assert scenario.notes == ()
    assert [event.type for event in scenario.events if event.together] == ["shift.open", "shift.open"]
    assert in_store.signature is on_bench.signature is None
    for seen in (receipts, again):
        (receipt,) = seen["receipt"]["1/1/1"]
        assert len(receipt.pop("coupons")) == len(receipt.pop("customer_cards")) == 1
        assert len(receipt.pop("cards")) == 2
        assert receipt["payments"][0].pop("card")
    assert receipts["receipt"] == again["receipt"]
    assert receipts["z"] == again["z"]


def test_masked_evidence_behaves_as_the_unmasked(build: Callable[[str], Build], tmp_path: Path) -> None:
    """Masking changes who it was, not what happened: same amounts, same discount by card, same finding."""
    release = build("v10.4.6.0")
    mask = Masker(b"a key of the tests, 32 bytes long")
    evidence = collected(release, traded(), tmp_path, mask)
    scenario = from_evidence(evidence)
    outcome, masked = _run(release, scenario, tmp_path / "masked")
    _, plain = _run(release, traded(), tmp_path / "plain")

    for receipts in (masked["receipt"], plain["receipt"]):
        assert [card for receipt in receipts.values() for card in receipt[0].pop("cards")] != []
        assert [card for receipt in receipts.values() for card in receipt[0].pop("customer_cards")] != []
    assert masked["receipt"] == plain["receipt"]
    assert outcome.signature == "receipt-arithmetic/lines-sum"
    shown = b"".join(file.read_bytes() for file in evidence.rglob("*") if file.is_file())
    for canary in (CARD, TAB, "Zvezdochkina", "Evpraksiya", "79123456789"):
        assert canary.encode() not in shown


def test_fixed_release_is_good_on_the_evidence(
    build: Callable[[str], Build], play: Callable[[str, Scenario], Outcome], tmp_path: Path
) -> None:
    """The same scenario on the release with the fix has no finding: it verifies the fix."""
    scenario = from_evidence(collected(build("v10.4.6.0"), traded(), tmp_path, None))
    write(scenario, tmp_path / "written")

    assert play("v10.4.8.0", read(tmp_path / "written")).is_good
