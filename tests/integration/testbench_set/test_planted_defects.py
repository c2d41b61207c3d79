"""Each defect of the reference SET's record is bad exactly in its releases, under the general oracles."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from testbench.outcomes import Outcome
from testbench.reference import load_series, trading
from testbench.scenarios import Scenario
from testbench.scenarios.catalog import document
from testbench.scenarios.composing import Composer, good

START = datetime(2025, 11, 23, 5, tzinfo=UTC)
MILK = good("100501", "4600000000015", 8990, vat=10)
BREAD = good("500001", "4600000005001", 2327)
CHEESE = good("21000678", "2100678", 79900, vat=10, plu=678)
#: 678 PLU, 126 grams.
CHEESE_LABEL = "2100678001267"
RECORD = Path(__file__).parents[2] / "acceptance" / "planted-defects.json"
RELEASES = [release.tag for release in load_series().releases]


def _shop() -> Composer:
    composer = Composer(START)
    composer.package("1", [MILK, BREAD, CHEESE])
    composer.open_shift()
    return composer


def _withdrawn_by_child() -> Composer:
    composer = _shop()
    entry = (
        '<goods-catalog><price-entry marking-of-the-good="100501" price="89.90">'
        "<begin-date>2020-01-01T00:00:00</begin-date><deleted>true</deleted><number>1</number>"
        '<department number="1"/></price-entry></goods-catalog>'
    )
    composer.document("2", entry.encode())
    return composer


def _weighed() -> Composer:
    composer = _shop()
    composer.receipt([(CHEESE_LABEL, 1000)], 20000)
    return composer


def _two_departments() -> Composer:
    composer = _shop()
    entries = "".join(
        f'<price-entry marking-of-the-good="100501" price="{price}"><number>1</number>'
        f'<begin-date>2025-01-01T00:00:00</begin-date><department number="{department}"/></price-entry>'
        for department, price in ((1, "91.00"), (2, "92.00"))
    )
    composer.document("2", f"<goods-catalog>{entries}</goods-catalog>".encode())
    return composer


def _mixed_payment() -> Composer:
    composer = _shop()
    composer.open_shift()  # refused: the player goes on
    unit = "receipt:1/1/1"
    composer.do(1, unit, "receipt.open", kind="sale")
    composer.do(1, unit, "receipt.add", barcode="4600000000015")
    composer.do(1, unit, "receipt.pay", type="card", amount=5000)
    composer.do(1, unit, "receipt.pay", type="cash", amount=10000)
    composer.do(1, unit, "receipt.close")
    return composer


def _lost_reply() -> Composer:
    composer = _shop()
    composer.receipt([("4600000000015", 1000)], 10000)
    composer.do(1, "net:1", "network.lose_reply")
    composer.do(1, "sync:1", "sync")
    composer.receipt([("4600000000015", 1000)], 10000)
    composer.do(1, "sync:2", "sync")
    return composer


def _annulled() -> Composer:
    composer = _shop()
    composer.receipt([("4600000000015", 1000)], 0, cancelled=True)
    composer.close_shift()
    return composer


def _split_discount() -> Composer:
    composer = _shop()
    composer.receipt([("4600000005001", 1000)] * 3, 10000, amount=100)
    return composer


CARD = "2013800000017"
CARDS = (
    '<cards-catalog><internal-card-type guid="5" name="Five" percentage-discount="0.00"/>'
    f'<internal-card number="{CARD}" status="ACTIVE" card-type-guid="5"/></cards-catalog>'
).encode()


def _promotions(*promotions: tuple[str, str, str], end: str = "2025-11-30T23:59:59", tail: str = "") -> bytes:
    """Promotions (guid, priority, percent) for all goods."""
    actions = "".join(
        f'<AdvertisingAction AdvertActGUID="{guid}" name="{guid}" active="true" mode="automatic" '
        f'priority="{priority}"><begin-date>2025-11-01T00:00:00</begin-date><end-date>{end}</end-date>{tail}'
        f'<actionResults><goodsDiscount percentage-discount="{percent}"><for-all-goods>true</for-all-goods>'
        "</goodsDiscount></actionResults></AdvertisingAction>"
        for guid, priority, percent in promotions
    )
    return f"<AdvertisingActions>{actions}</AdvertisingActions>".encode()


def _half_kopeck() -> Composer:
    composer = _shop()
    composer.package("2", [good("700", "2100700", 100, plu=700)])
    composer.receipt([(_label(700, 125), 1000)], 1000)  # 12.5 kopecks: half-even says 12
    return composer


def _label(plu: int, grams: int) -> str:
    return trading.weight_barcode(plu, grams)


def _restricted_line_last() -> Composer:
    composer = _shop()
    limit = (
        '<goods-catalog><min-price-restriction id="1" subject-type="GOOD" subject-code="500001" '
        'type="MIN_PRICE" value="23.00"/></goods-catalog>'
    )
    composer.document("2", limit.encode())
    composer.receipt([("4600000000015", 1000), ("4600000005001", 1000)], 20000, percent=1000)
    return composer


def _two_price_numbers() -> Composer:
    composer = _shop()
    entries = "".join(
        f'<price-entry marking-of-the-good="100501" price="{price}"><number>{number}</number>'
        '<begin-date>2025-11-01T00:00:00</begin-date><department number="1"/></price-entry>'
        for number, price in ((1, "91.00"), (2, "79.00"))
    )
    composer.document("2", f"<goods-catalog>{entries}</goods-catalog>".encode())
    return composer


def _price_of_this_evening() -> Composer:
    composer = _shop()
    entry = (
        '<goods-catalog><price-entry marking-of-the-good="100501" price="99.00"><number>1</number>'
        '<begin-date>2025-11-23T18:00:00</begin-date><department number="1"/></price-entry></goods-catalog>'
    )
    composer.document("2", entry.encode())
    return composer


def _new_rate_before_the_return() -> Composer:
    composer = _shop()
    composer.receipt([("4600000005001", 1000)], 5000)
    composer.do(1, "sync:1", "sync")
    composer.package("2", [good("500001", "4600000005001", 2327, vat=22)])
    composer.receipt([("4600000005001", 1000)], 2327, original={"cash": 1, "shift": 1, "number": 1})
    return composer


def _two_logins() -> Composer:
    composer = Composer(START)
    composer.package("1", [MILK])
    composer.at_once(*[(1, f"login:{tab}", "shift.open", {"tab_number": tab}) for tab in ("17", "18")])
    return composer


def _code_like_a_label() -> Composer:
    composer = _shop()
    own = trading.weight_barcode(678, 12345)
    composer.package("2", [good("900", own, 5000)])
    return composer


def _serial_with_91() -> Composer:
    composer = Composer(START)
    composer.document(
        "1",
        b'<goods-catalog><good marking-of-the-good="100501"><name>Milk</name><bar-code code="4600000000015" '
        b'marked="true"/><product-type>ProductPieceEntity</product-type><price-entry price="89.90">'
        b"<begin-date>2025-11-01T00:00:00</begin-date><number>1</number></price-entry><vat>10</vat>"
        b"<mark-type>MILK</mark-type></good></goods-catalog>",
    )
    composer.open_shift()
    unit = "receipt:1/1/1"
    composer.do(1, unit, "receipt.open", kind="sale")
    mark = "0104600000000015215A91BC\x1d93dGVz"
    composer.do(1, unit, "receipt.add", barcode="4600000000015", mark=mark)
    composer.do(1, unit, "receipt.pay", type="cash", amount=10000)
    composer.do(1, unit, "receipt.close")
    return composer


def _one_account_two_registers() -> Composer:
    composer = Composer(START, registers=(1, 2))
    composer.package("1", [MILK])
    composer.cards(CARDS)
    composer.do(None, "bonus:1", "bonus.charge", card=CARD, amount=9000)
    for register in (1, 2):
        composer.open_shift(register)
        unit = f"receipt:{register}/1/1"
        composer.do(register, unit, "receipt.open", kind="sale")
        composer.do(register, unit, "receipt.add", barcode="4600000000015")
        composer.do(register, unit, "receipt.card", number=CARD)
    payment = {"type": "bonus", "amount": 8000}
    composer.at_once(*[(register, f"receipt:{register}/1/1", "receipt.pay", payment) for register in (1, 2)])
    for register in (1, 2):
        unit = f"receipt:{register}/1/1"
        composer.do(register, unit, "receipt.pay", type="cash", amount=8990)
        composer.do(register, unit, "receipt.close")
    return composer


def _priorities_9_and_10() -> Composer:
    composer = _shop()
    composer.actions("2", _promotions(("A", "9.0", "5.00"), ("B", "10.0", "7.00")))
    composer.receipt([("4600000000015", 1000)], 10000)
    return composer


def _last_second() -> Composer:
    composer = _shop()
    composer.actions("2", _promotions(("A", "1", "5.00"), end="2025-11-23T09:00:00"))
    composer.now = START.replace(hour=5, minute=59, second=50)
    composer.receipt([("4600000000015", 1000)], 10000)  # the line is added at 09:00:00 in Moscow
    return composer


def _coupon_without_card() -> Composer:
    composer = _shop()
    condition = '<conditions><coupon number="9900001"/></conditions>'
    composer.actions("2", _promotions(("A", "1", "5.00"), tail=condition))
    unit = "receipt:1/1/1"
    composer.do(1, unit, "receipt.open", kind="sale")
    composer.do(1, unit, "receipt.add", barcode="4600000000015")
    composer.do(1, unit, "receipt.coupon", number="9900001")
    composer.do(1, unit, "receipt.pay", type="cash", amount=10000)
    composer.do(1, unit, "receipt.close")
    return composer


def _other_shop() -> Composer:
    composer = _shop()
    entry = (
        '<goods-catalog><price-entry marking-of-the-good="100501" price="99.00">'
        "<shop-indices>10</shop-indices><begin-date>2020-01-01T00:00:00</begin-date><number>1</number>"
        '<department number="1"/></price-entry></goods-catalog>'
    )
    composer.document("2", entry.encode())
    return composer


def _one_ti() -> Composer:
    composer = Composer(START)
    composer.package("1", [MILK])
    composer.package("1", [BREAD])
    return composer


def _over_midnight() -> Composer:
    composer = _shop()
    composer.receipt([("4600000000015", 1000)], 10000)
    composer.now = datetime(2025, 11, 23, 21, 10, tzinfo=UTC)
    composer.receipt([("4600000000015", 1000)], 10000)
    return composer


def _refused_push() -> Composer:
    composer = _shop()
    composer.receipt([("4600000000015", 1000)], 10000)
    composer.do(1, "sync:1", "sync")
    composer.do(None, "erp:1", "erp.refuse", calls=1)
    composer.do(None, "export:1", "export")
    return composer


def _half_wrong() -> Composer:
    composer = _shop()
    entries = "".join(
        f'<price-entry marking-of-the-good="{article}" price="91.00"><number>1</number>'
        '<begin-date>2020-01-01T00:00:00</begin-date><department number="1"/></price-entry>'
        for article in ("100501", "999999")
    )
    composer.document("2", f"<goods-catalog>{entries}</goods-catalog>".encode())
    return composer


def _two_registers() -> Composer:
    composer = Composer(START, registers=(1, 2))
    composer.package("1", [MILK])
    for register in (1, 2):
        composer.open_shift(register)
        composer.receipt([("4600000000015", 1000)], 10000, register)
        composer.do(register, f"sync:{register}", "sync")
    return composer


def _namespace() -> Composer:
    composer = Composer(START)
    plain = document([MILK])
    composer.document(
        "1", plain.replace(b"<goods-catalog", b'<goods-catalog xmlns="http://www.crystals.ru"', 1)
    )
    return composer


def _eastern_morning() -> Composer:
    composer = Composer(datetime(2025, 11, 22, 22, tzinfo=UTC), zone="Asia/Vladivostok")
    composer.package("1", [MILK])
    composer.open_shift()
    composer.receipt([("4600000000015", 1000)], 10000)
    return composer


SCENARIOS: dict[str, tuple[Callable[[], Composer], str]] = {
    "R10": (_withdrawn_by_child, "price-agreement/server-price"),
    "R03": (_weighed, "receipt-arithmetic/line-amount"),
    "R07": (_two_departments, "price-agreement/server-price"),
    "R25": (_mixed_payment, "receipt-arithmetic/payments"),
    "R19": (_lost_reply, "exported-once/duplicate"),
    "R26": (_annulled, "z-report/purchase-amount"),
    "R05": (_split_discount, "receipt-arithmetic/lines-sum"),
    "R04": (_half_kopeck, "receipt-arithmetic/line-rounding"),
    "R06": (_restricted_line_last, "restrictions/min-price"),
    "R08": (_two_price_numbers, "price-agreement/register-price"),
    "R09": (_price_of_this_evening, "price-agreement/register-sells"),
    "R24": (_new_rate_before_the_return, "returns/vat-rate"),
    "R27": (_two_logins, "shifts/two-open"),
    "R28": (_code_like_a_label, "price-agreement/register-sells"),
    "R29": (_serial_with_91, "marks/changed"),
    "R30": (_one_account_two_registers, "bonus/overdrawn"),
    "R31": (_priorities_9_and_10, "promotions/priority"),
    "R32": (_last_second, "promotions/missing"),
    "R34": (_coupon_without_card, "cards/coupon-as-card"),
    "R12": (_one_ti, "import-honest/goods-missing"),
    "R15": (_half_wrong, "price-agreement/register-price"),
    "R16": (_other_shop, "price-agreement/server-price"),
    "R20": (_refused_push, "exported-once/never-pushed"),
    "R22": (_over_midnight, "operating-day/shift-split"),
    "R23": (_eastern_morning, "operating-day/other-day"),
    "R35": (_namespace, "import-honest/goods-missing"),
    "R38": (_two_registers, "exported-once/taken-twice"),
}


#: A flaky defect is given this many runs to show itself: at a rate of a third 1 in 10^5 does not.
FLAKY_RUNS = 28
#: So often the same scenario is played where it must be good.
CLEAN_RUNS = 3


def _defects() -> list[tuple[str, dict[str, bool], bool]]:
    """Class of each recorded defect that these scenarios show, where it is played, and whether it is flaky.

    The releases are the last without the defect, the first and the last with it, the first with its fix, and
    the newest: to play all defects on all releases would take minutes and tell no more.
    """
    record = json.loads(RECORD.read_text())["defects"]
    found = []
    for defect in record:
        first = RELEASES.index(defect["first_bad"]["release"])
        fixed = defect.get("fixed")
        end = RELEASES.index(fixed["release"]) if fixed else len(RELEASES)
        played = {first - 1, first, end - 1, min(end, len(RELEASES) - 1), len(RELEASES) - 1}
        places = {RELEASES[place]: first <= place < end for place in sorted(played) if place >= 0}
        if defect["class"] in SCENARIOS:
            found.append((defect["class"], places, bool(defect.get("flaky"))))
    return found


def test_every_scenario_belongs_to_a_recorded_defect() -> None:
    """No scenario here is for a defect that the record does not know."""
    assert {name for name, _, _ in _defects()} == set(SCENARIOS)


@pytest.mark.parametrize(("name", "places", "flaky"), _defects(), ids=[name for name, _, _ in _defects()])
def test_defect_is_bad_exactly_in_its_releases(
    play: Callable[[str, Scenario], Outcome], name: str, places: dict[str, bool], flaky: bool
) -> None:
    """On the releases with the defect its signature shows; on the others the same scenario is good."""
    make, signature = SCENARIOS[name]
    scenario = make().scenario(name)

    def shown(tag: str, is_bad: bool) -> set[str | None]:
        seen: set[str | None] = set()
        for _ in range((FLAKY_RUNS if is_bad else CLEAN_RUNS) if flaky else 1):
            outcome = play(tag, scenario)
            assert outcome.tells
            seen.add(outcome.signature)
            if is_bad and outcome.signature is not None:
                break
        return seen - {None} or {None}

    seen = {tag: shown(tag, is_bad) for tag, is_bad in places.items()}

    assert seen == {tag: {signature if is_bad else None} for tag, is_bad in places.items()}
