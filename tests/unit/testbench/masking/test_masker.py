"""Canaries: personal data planted in every kind of file; none of it comes out."""

from __future__ import annotations

import base64
import json

import pytest

from testbench.masking import Masker, MaskingError

KEY = b"a key of the tests, 32 bytes long"
CARD, PAN, PHONE, TAB = "2013800000017", "4111111111111111", "79123456789", "8317"
NAMES = ("Zvezdochkina", "Evpraksiya", "Kondratyevna")
MAIL, INN, FN, FP = "evpraksiya@shop.example.ru", "7707083893", "9999078900001234", "3344556677"
SERIAL, STAMP = "5ABCDEFGHIJKL", "22N00001CUS7K1M0QV0A8V63021712345678"
QR = f"t=20251123T2153&s=285.76&fn={FN}&i=112233&fp={FP}&n=1"
CANARIES = (CARD, PAN, PHONE, *NAMES, MAIL, INN, FN, FP, SERIAL, STAMP[3:], "1990-03-31")

PURCHASES = f"""<?xml version="1.0" encoding="UTF-8"?>
<purchases count="1"><purchase tabNumber="{TAB}" userName="{" ".join(NAMES)}" shop="101" cash="1" shift="248"
 number="69" amount="285.76" inn="{INN}" fiscalnum="{FN}" qrcode="{QR.replace("&", "&amp;")}">
 <plugin-property key="CASHIER_NAME" value="{NAMES[0]} {NAMES[1][0]}.{NAMES[2][0]}."/>
 <positions><position goodsCode="100501" barCode="4600000000015" amount="161.82">
  <plugin-property key="excise-token" value="010460000000001521{SERIAL}"/></position></positions>
 <payments><payment typeClass="BankCardPaymentEntity" amount="500.0" description="{PAN}">
  <plugin-property key="card.number" value="{PAN}"/></payment></payments>
 <discountCards><discountCard>{CARD}</discountCard></discountCards><card number="{CARD}" type="INTERNAL"/>
 <exciseBottles><bottle barcode="4600000000770" exciseBarcode="{STAMP}"/></exciseBottles>
</purchase></purchases>"""
CARDS = f"""<cards-catalog><internal-card number="{CARD}" card-type-guid="5">
 <client guid="{CARD}" last-name="{NAMES[0]}" first-name="{NAMES[1]}" middle-name="{NAMES[2]}"
  birth-date="1990-03-31" mobile-phone="{PHONE}" email="{MAIL}"/></internal-card>
 <TargetCustomersGroups><TargetCustomersGroup code="S"><cust guid="{CARD}"/></TargetCustomersGroup>
 </TargetCustomersGroups></cards-catalog>"""
Z = f"""<reports><zreport><userTabNumber>{TAB}</userTabNumber><userName>{" ".join(NAMES)}</userName>
 <amountByPurchaseFiscal>285.76</amountByPurchaseFiscal></zreport></reports>"""
CASH = f'<withdrawals><withdrawal amount="5" username="{" ".join(NAMES)}" tabNumber="{TAB}"/></withdrawals>'
DISCOUNTS = f'<purchases><purchase><discount card-number="{CARD}" amount="1.0"/></purchase></purchases>'
SOAP = f"<Envelope><Body><return>{base64.b64encode(PURCHASES.encode()).decode()}</return></Body></Envelope>"
JOURNAL = "\n".join(
    json.dumps(entry)
    for entry in (
        {"seq": 1, "type": "shift.open", "payload": {"tab_number": TAB}},
        {"seq": 2, "type": "receipt.card", "payload": {"number": CARD}},
        {"seq": 3, "type": "receipt.add", "payload": {"barcode": f"010460000000001521{SERIAL}"}},
        {"seq": 4, "type": "x", "payload": {"note": f"called {PHONE}, {MAIL}"}, "result": {"qr": QR}},
    )
)
LOG = (
    f"INFO cashier={' '.join(NAMES)} tabNumber={TAB} card {CARD}\n"
    f"INFO {NAMES[0]} came back; phone +7 (912) 345-67-89, pan 4111 1111 1111 1111, mail {MAIL}\n"
    f"INFO customer {NAMES[1]}: inn={INN} {QR} mark 010460000000001521{SERIAL}\n"
    f"DEBUG sent {base64.b64encode(PURCHASES.encode()).decode()}\n"
    f'DEBUG got {{"cardNumber": "{CARD}", "exciseBarcode": "{STAMP}"}} <discountCard>{CARD}</discountCard>\n'
)
FILES = {
    "purchases.xml": PURCHASES,
    "catalog-cards.xml": CARDS,
    "zreports.xml": Z,
    "cash_out.xml": CASH,
    "discounts.xml": DISCOUNTS,
    "soap.xml": SOAP,
    "journal.jsonl": JOURNAL,
    "half.xml": PURCHASES[:-40],
    "broken.jsonl": JOURNAL[:-9],
    "set.log": LOG,
}


def _revealed(data: bytes) -> str:
    """Everything that a reader can see: also what is inside base64."""
    text = data.decode()
    for part in text.replace("<", " ").replace(">", " ").split():
        if len(part) > 200:
            text += base64.b64decode(part).decode("utf-8", "replace")
    return text + "".join(char for char in text if char.isalnum())


@pytest.mark.parametrize("name", FILES)
def test_no_canary_comes_out(name: str) -> None:
    """Whatever kind of file personal data is planted in, none of it is in the masked file."""
    masker = Masker(KEY)
    for other, content in FILES.items():
        masker.learn(other, content.encode())

    shown = _revealed(masker.mask_file(name, FILES[name].encode()))

    assert [canary for canary in CANARIES if canary in shown] == []


def test_what_the_reproduction_needs_stays() -> None:
    """Barcodes, articles, prices, amounts, receipt numbers and the document's form are untouched."""
    masked = Masker(KEY).mask_file("purchases.xml", PURCHASES.encode()).decode()

    for kept in ('barCode="4600000000015"', 'goodsCode="100501"', 'amount="161.82"', 'number="69"'):
        assert kept in masked
    assert masked.count("\n") == PURCHASES.count("\n")


def test_one_value_has_one_mask_everywhere() -> None:
    """A card in the journal, in the cards catalogue, in SOAP and in the log is the same card."""
    masker = Masker(KEY)
    journal = [json.loads(line) for line in masker.mask_file("j.jsonl", JOURNAL.encode()).splitlines()]
    card = journal[1]["payload"]["number"]

    for name in ("catalog-cards.xml", "discounts.xml", "set.log", "purchases.xml"):
        assert card in masker.mask_file(name, FILES[name].encode()).decode()


def test_number_in_a_name_is_a_tab_number() -> None:
    """SET names a cashier without a name "Cashier 8317": the number is masked as the tab number is."""
    masker = Masker(KEY)
    tab = masker.mask_value("tab", TAB)

    assert masker.mask_value("name", f"Cashier {TAB}").split()[1] == tab
    assert tab != TAB


def test_masked_card_stays_in_its_range() -> None:
    """The range of the masked card's type is widened, so that the card still belongs to it."""
    document = """<cards-catalog><internal-card-type guid="5"><card-range guid="9"
      startField="2013800000000" countField="1000"/></internal-card-type></cards-catalog>"""
    masked = Masker(KEY).mask_file("cards.xml", document.encode()).decode()
    card = int(Masker(KEY).mask_value("card", CARD))

    assert 'startField="2013800000000" countField="10000000"' in masked
    assert 2013800000000 <= card < 2013800000000 + 10000000


def test_dialect_stays_byte_for_byte() -> None:
    """BOM, declaration, namespace and attribute order decide how a product parses: they are kept."""
    document = (
        b'\xef\xbb\xbf<?xml version="1.0"?>\r\n<p xmlns="http://www.crystals.ru" b="1" a=\'2\' >\r\n</p>'
    )

    assert Masker(KEY).mask_file("x.xml", document) == document


def test_windows_1251_is_kept() -> None:
    """An old document stays in its own encoding."""
    document = '<?xml version="1.0" encoding="windows-1251"?><r><userName>Иванова</userName></r>'
    masked = Masker(KEY).mask_file("x.xml", document.encode("cp1251")).decode("cp1251")

    assert "Иванова" not in masked
    assert masked.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><x>&a;</x>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
    ],
)
def test_own_entities_are_refused(data: bytes) -> None:
    """XML bombs and outside entities are refused, not expanded."""
    with pytest.raises(MaskingError, match="entities"):
        Masker(KEY).mask_file("x.xml", data)


def test_binary_is_refused() -> None:
    """What cannot be looked through is not stored."""
    with pytest.raises(MaskingError, match="binary"):
        Masker(KEY).mask_file("set.db", b"SQLite format 3\0")


def test_manifest_holds_counts_and_no_values() -> None:
    """The manifest says what was masked, how often, and under which key, and nothing of what it was."""
    masker = Masker(KEY)
    masker.mask_file("purchases.xml", PURCHASES.encode())
    manifest = json.dumps(masker.manifest())

    assert masker.manifest()["kinds"]["card"] == {"values": 2, "replaced": 4}
    assert [canary for canary in CANARIES if canary in manifest] == []
    assert KEY.decode() not in manifest


def test_short_key_is_refused() -> None:
    """A key that can be guessed masks nothing."""
    with pytest.raises(MaskingError, match="16 bytes"):
        Masker(b"short")


def test_every_canary_is_planted() -> None:
    """The canary test can fail: each canary is visible in at least one of the planted files."""
    shown = "".join(_revealed(content.encode()) for content in FILES.values())

    assert [canary for canary in CANARIES if canary not in shown] == []
