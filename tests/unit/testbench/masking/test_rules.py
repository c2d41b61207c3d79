"""Pseudonyms keep formats and check digits, and never fall together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbench.masking import rules

KEY = b"a key of the tests, 32 bytes long"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_digits_are_permuted(size: int) -> None:
    """All strings of one length map to all strings of that length: two values never share a mask."""
    masked = {rules.digits(KEY, "tab", str(number).zfill(size)) for number in range(10**size)}

    assert len(masked) == 10**size


@given(st.text("0123456789", min_size=1, max_size=40))
def test_digits_keep_their_length(value: str) -> None:
    """Any digits become as many digits."""
    masked = rules.digits(KEY, "x", value)

    assert masked.isdigit()
    assert len(masked) == len(value)


@pytest.mark.parametrize(
    ("value", "check"),
    [
        ("4111111111111111", rules.luhn),  # a bank card
        ("2013800000017", rules.ean),  # a loyalty card of the samples
    ],
)
def test_card_keeps_prefix_length_and_check_digit(value: str, check: object) -> None:
    """A valid card number becomes another valid one of the same issuer."""
    masked = rules.card(KEY, value)

    assert masked != value
    assert (masked[:6], len(masked)) == (value[:6], len(value))
    assert check(masked[:-1]) == masked[-1]  # type: ignore[operator]


@pytest.mark.parametrize("value", ["7707083893", "500100732259"])
def test_inn_stays_valid(value: str) -> None:
    """A taxpayer number of either length keeps its office and valid check digits."""
    masked = rules.inn(KEY, value)
    checks = 1 if len(value) == 10 else 2

    assert masked != value
    assert masked[:4] == value[:4]
    assert rules.inn_checks(masked[:-checks]) == masked[-checks:]
    assert rules.inn_checks(value[:-checks]) == value[-checks:]


def test_phone_keeps_its_writing() -> None:
    """The same phone in two writings gets the same digits, each in its own format."""
    spoken, dense = rules.phone(KEY, "+7 (912) 345-67-89"), rules.phone(KEY, "79123456789")

    assert "".join(char for char in spoken if char.isdigit()) == dense
    assert [char for char in spoken if not char.isdigit()] == list("+ () --")
    assert dense[:2] == "79"
    assert dense != "79123456789"


def test_marking_code_keeps_gtin_and_groups() -> None:
    """What decides how a good is sold stays; serial and crypto tail go, the separators stay."""
    code = "0104600000000015215ABCDE\x1d91EE06\x1d92abcd=="
    masked = rules.marking(KEY, code)

    assert masked[:18] == code[:18]
    assert [len(group) for group in masked.split("\x1d")] == [len(group) for group in code.split("\x1d")]
    assert "5ABCDE" not in masked
    assert masked.split("\x1d")[1].startswith("91")


def test_qr_payload_keeps_time_sum_and_number() -> None:
    """Of a fiscal QR the drive number, the document number and the fiscal sign are masked, no more."""
    payload = "t=20251123T2153&s=285.76&fn=9999078900001234&i=112233&fp=445566&n=1"
    masked = dict(part.split("=") for part in rules.fiscal_payload(KEY, payload).split("&"))
    plain = dict(part.split("=") for part in payload.split("&"))

    assert {name for name in plain if plain[name] != masked[name]} == {"fn", "i", "fp"}


def test_another_key_gives_another_mask() -> None:
    """Pseudonyms of two keys cannot be compared."""
    other = b"another key of the tests, 32 byte"

    assert rules.card(KEY, "4111111111111111") != rules.card(other, "4111111111111111")
    assert rules.fingerprint(KEY) != rules.fingerprint(other)
