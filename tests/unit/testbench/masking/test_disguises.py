"""Canaries in disguise: names and numbers that a plain search would not see do not come out either."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbench.masking import Masker, MaskingError, disguises, rules

KEY = b"a key of the tests, 32 bytes long"
CARDS = (
    '<cards-catalog><internal-card number="2013800000017"><client last-name="Иванова" first-name="Мария"/>'
    '</internal-card><internal-card number="2013800000024"><client last-name="Petrova" first-name="Olga"/>'
    "</internal-card></cards-catalog>"
)


@pytest.fixture
def masker() -> Masker:
    made = Masker(KEY)
    made.learn("cards.xml", CARDS.encode())
    return made


@pytest.mark.parametrize(
    ("text", "canaries"),
    [
        ("client=ИвановаМария came", ("Иванов", "Мария")),
        ("выдано Ивановой, звонили ИВАНОВУ", ("Иванов", "ИВАНОВ")),
        ("for petrova and PETROVA and olgapetrova", ("etrova", "PETROVA")),
        ("thread-PetrovaOlga_17", ("Petrova", "Olga")),
        ("СНИЛС 112-233-445 95", ("112-233-445",)),
        ("card 2013800000017 of Petrova", ("2013800000017", "Petrova")),
    ],
)
def test_names_are_found_inside_words_declined_and_in_any_case(
    masker: Masker, text: str, canaries: tuple[str, ...]
) -> None:
    """What a document named once is found however a log writes it."""
    masked = masker.mask_text(text)

    assert not [canary for canary in canaries if canary in masked]


@pytest.mark.parametrize(
    "hide",
    [
        lambda text: json.dumps({"note": text}),
        lambda text: json.dumps(json.dumps({"note": text})),
        lambda text: "".join(f"&#{ord(char)};" for char in text),
        lambda text: "".join(f"&#x{ord(char):x};" for char in text),
        lambda text: f"GET /find?q={quote(text)}&p=1",
        lambda text: f"GET /find?q={quote_plus(text)}&p=1",
        lambda text: f"sent {base64.b64encode(f'<x>{text}, {text}</x>'.encode()).decode()} bytes",
        lambda text: f"sent {base64.b64encode(json.dumps({'a': text, 'b': text}).encode()).decode()}",
        lambda text: f"<!-- {text} -->",
    ],
    ids=["json", "json-in-json", "xml-10", "xml-16", "url", "url-plus", "b64-xml", "b64-json", "comment"],
)
def test_encoded_names_do_not_come_out(masker: Masker, hide: Callable[[str], str]) -> None:
    """Neither as they were nor when the output is decoded again."""
    masked = masker.mask_text(hide("Иванова Мария"))
    shown = masked + unquote_plus(masked)
    for token in masked.split():
        if len(token) > 24 and token.isascii() and "<" not in token and "%" not in token:
            shown += base64.b64decode(token + "===").decode("utf-8", "replace")
    shown += disguises.without_escapes(shown)

    assert "Иванова" not in shown
    assert "Мария" not in shown


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1251", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["set.log", "set.log.gz", "cards.xml", "cards.xml.gz"])
def test_every_encoding_is_masked_and_kept(masker: Masker, encoding: str, name: str) -> None:
    """A file comes out in its own encoding, readable, without the name; a compressed one compressed."""
    body = "касса 5: Иванова, карта 2013800000017, товар 4600000000015"
    text = f'<?xml version="1.0" encoding="{encoding}"?><a>{body}</a>' if ".xml" in name else body
    data = text.encode(encoding)
    is_zipped = name.endswith(".gz")
    masked = masker.mask_file(name, gzip.compress(data) if is_zipped else data)
    shown = (gzip.decompress(masked) if is_zipped else masked).decode(encoding)

    assert "Иванова" not in shown
    assert "2013800000017" not in shown
    assert "касса 5" in shown
    assert "товар 4600000000015" in shown


def test_a_name_of_a_file_is_masked_as_what_refers_to_it(masker: Masker) -> None:
    """The file and the journal's entry that names it still belong together."""
    name = "exchange/cards/success/cards-Ivanova_Petrova-2013800000017.xml"
    line = json.dumps({"type": "import.done", "payload": {"document": name.rpartition("/")[2]}})
    masked = masker.mask_name(name)

    assert masked.startswith("exchange/cards/success/cards-Ivanova_")
    assert "Petrova" not in masked
    assert "2013800000017" not in masked
    assert masker.mask_json(json.loads(line))["payload"]["document"] == masked.rpartition("/")[2]


def test_goods_stay_as_they_are() -> None:
    """A cashier named like a good changes no name, article, price or barcode of goods."""
    masker = Masker(KEY)
    masker.learn("z.xml", "<zreport><userName>Маслова Роза</userName></zreport>".encode())
    goods = (
        '<goods-catalog><good marking-of-the-good="100501"><name>Масло сливочное</name>'
        '<bar-code code="4600000000015"/><price-entry price="89.90"/></good></goods-catalog>'
    ).encode()

    assert masker.mask_file("goods.xml", goods) == goods
    assert "Маслов" not in masker.mask_text("чек Масловой")


def test_a_bomb_is_refused() -> None:
    """A small .gz that unpacks to more than evidence may be is left out, and told."""
    bomb = gzip.compress(bytes(65 * 1024**2))

    with pytest.raises(MaskingError, match="more than"):
        Masker(KEY).mask_file("set.log.gz", bomb)


@given(st.lists(st.integers(0, 10**9 - 1), min_size=2, max_size=2, unique=True))
def test_control_numbers_stay_valid_and_no_two_people_become_one(numbers: list[int]) -> None:
    """SNILS, INN and cards: a valid number stays valid, two numbers stay two."""
    first, second = (f"{number:09d}" for number in numbers)
    one, two = (rules.snils(KEY, body + rules.snils_control(body)) for body in (first, second))
    inns = [rules.inn(KEY, body + rules.inn_checks(body)) for body in (first, second)]
    cards = [rules.card(KEY, f"4276{body}" + rules.luhn(f"4276{body}")) for body in (first, second)]

    assert one != two
    assert one[9:] == rules.snils_control(one[:9])
    assert inns[0] != inns[1]
    assert inns[0][9:] == rules.inn_checks(inns[0][:9])
    assert cards[0] != cards[1]
    assert cards[0][-1] == rules.luhn(cards[0][:-1])


@given(st.text(max_size=80))
def test_masking_is_decided_by_key_and_text_alone(text: str) -> None:
    """Two maskers of one key agree; whatever the text is, it can be masked."""
    assert Masker(KEY).mask_text(text) == Masker(KEY).mask_text(text)


@given(st.emails())
def test_a_masked_address_stays(address: str) -> None:
    """What was masked once is not masked again to something else."""
    masked = rules.email(KEY, address)

    assert rules.email(KEY, masked) == masked
