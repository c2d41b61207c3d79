"""Pure rules of pseudonymisation: which value becomes which under one key.

Every rule is a function of (key, value) only, so one value gets one mask in every file and on every day, and
formats and check digits stay valid, because the product would take another path otherwise. Digits are
permuted (a keyed Feistel network over the decimal digits), never hashed, so two different cards cannot fall
together.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import string

MASKED_EMAIL = re.compile(r"u[0-9a-f]{12}@masked\.invalid")
_ROUNDS = 8
_VOWELS = "aeiou"
_CONSONANTS = "bdgklmnprstvz"
_VOWELS_RU = "аеиоу"
_CONSONANTS_RU = "бвгдзклмнпрст"
_SYLLABLES = 4


def fingerprint(key: bytes) -> str:
    """Names the key without giving it away (first 16 hex digits of a keyed hash)."""
    return hmac.new(key, b"fingerprint", hashlib.sha256).hexdigest()[:16]


def _stream(key: bytes, kind: str, value: str) -> int:
    return int.from_bytes(hmac.new(key, f"{kind}\0{value}".encode(), hashlib.sha256).digest(), "big")


def digits(key: bytes, kind: str, value: str) -> str:
    """Another string of as many digits; a permutation of all strings of that length.

    Args:
        key: the masking key.
        kind: values of different kinds are permuted independently.
        value: decimal digits only.
    """
    if len(value) < 2:
        order = sorted(string.digits, key=lambda digit: _stream(key, kind, digit))
        return "".join(order[int(digit)] for digit in value)
    half = len(value) // 2
    left, right = value[:half], value[half:]
    for turn in range(_ROUNDS):
        mixed = (int(left) + _stream(key, f"{kind}/{len(value)}/{turn}", right)) % 10 ** len(left)
        left, right = right, str(mixed).zfill(len(left))
    return left + right


def number(key: bytes, kind: str, value: str) -> str:
    """Like ``digits``, but no leading zero appears (cycle walking keeps it a permutation)."""
    masked = digits(key, kind, value)
    while masked[:1] == "0" and value[:1] != "0":
        masked = digits(key, kind, masked)
    return masked


def luhn(payload: str) -> str:
    """The check digit of the Luhn algorithm (ISO/IEC 7812) for ``payload``."""
    total = 0
    for place, digit in enumerate(reversed(payload)):
        doubled = int(digit) * (2 - place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def ean(payload: str) -> str:
    """The check digit of EAN-8, EAN-13 and GTIN-14 (GS1) for ``payload``."""
    total = sum(int(digit) * (3 - 2 * (place % 2)) for place, digit in enumerate(reversed(payload)))
    return str(-total % 10)


def card(key: bytes, value: str) -> str:
    """A card number: length and first 6 digits (issuer, card range) stay, a valid check digit stays valid."""
    if len(value) < 8:
        return digits(key, "card", value)
    prefix, body, check = value[:6], value[6:-1], value[-1]
    masked = prefix + digits(key, f"card/{prefix}", body)
    if check == luhn(value[:-1]):
        return masked + luhn(masked)
    if check == ean(value[:-1]):
        return masked + ean(masked)
    return prefix + digits(key, f"card/{prefix}", body + check)


def starred_card(key: bytes, value: str) -> str:
    """A truncated card number ("220000******1234"): the shown last digits are permuted."""
    head, _, tail = value.rpartition("*")
    return f"{head}*{digits(key, 'card-tail', tail)}"


def inn(key: bytes, value: str) -> str:
    """A taxpayer number of 10 or 12 digits with valid check digits; the region and office (4 digits) stay."""
    if len(value) not in (10, 12):
        return digits(key, "inn", value)
    checks = 1 if len(value) == 10 else 2
    body = value[:4] + digits(key, f"inn/{value[:4]}", value[4 : len(value) - checks])
    return body + inn_checks(body)


def inn_checks(body: str) -> str:
    """Check digits of a taxpayer number (order of the Federal Tax Service): 9 digits give 1, 10 give 2."""
    weights = [3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]
    result = ""
    for size in (9,) if len(body) == 9 else (10, 11):
        line = body + result
        total = sum(w * int(d) for w, d in zip(weights[-size:], line, strict=True))
        result += str(total % 11 % 10)
    return result


def snils(key: bytes, value: str) -> str:
    """A pension insurance number in its own format; a valid control number stays valid."""
    solid = "".join(char for char in value if char.isdigit())
    if len(solid) != 11:
        return signs(key, "snils", value)
    body = digits(key, "snils", solid[:9])
    # Two numbers that differ in a wrong control number only must not fall together.
    shift = (int(solid[9:]) - int(snils_control(solid[:9]))) % 100
    masked = iter(body + f"{(int(snils_control(body)) + shift) % 100:02d}")
    return "".join(next(masked) if char.isdigit() else char for char in value)


def snils_control(body: str) -> str:
    """The two control digits of nine digits (Pension Fund's rule: weights 9 to 1, modulo 101, 100 is 00)."""
    total = sum(int(digit) * weight for digit, weight in zip(body, range(9, 0, -1), strict=True))
    return f"{total % 101 % 100:02d}"


def phone(key: bytes, value: str) -> str:
    """A phone number in its own format; country and first operator digit stay when there are 11 digits."""
    found = [char for char in value if char.isdigit()]
    keep = 2 if len(found) == 11 else 1 if len(found) > 7 else 0
    masked = iter("".join(found[:keep]) + digits(key, "phone", "".join(found[keep:])))
    return "".join(next(masked) if char.isdigit() else char for char in value)


def email(key: bytes, value: str) -> str:
    """An address in the reserved domain, so that nothing can ever be sent there; a masked one stays."""
    if MASKED_EMAIL.fullmatch(value):
        return value
    return f"u{_stream(key, 'email', value.lower()) % 16**12:012x}@masked.invalid"


def word(key: bytes, value: str) -> str:
    """A made-up word for one word of a name: script and capitals stay; an initial becomes an initial."""
    russian = any("а" <= char <= "я" or char == "ё" for char in value.lower())
    consonants, vowels = (_CONSONANTS_RU, _VOWELS_RU) if russian else (_CONSONANTS, _VOWELS)
    stream = _stream(key, "word", value.lower())
    if len(value) == 1:
        made = consonants[stream % len(consonants)]
        return made.upper() if value.isupper() else made
    made = ""
    for _ in range(_SYLLABLES):
        stream, consonant = divmod(stream, len(consonants))
        stream, vowel = divmod(stream, len(vowels))
        made += consonants[consonant] + vowels[vowel]
    if value.isupper():
        return made.upper()
    return made.capitalize() if value[:1].isupper() else made


def signs(key: bytes, kind: str, value: str) -> str:
    """An opaque code: each digit becomes a digit, each letter a letter of its case, the rest stays."""
    stream = hmac.new(key, f"{kind}\0{value}".encode(), hashlib.sha256)
    made = []
    for place, char in enumerate(value):
        turn = stream.copy()
        turn.update(str(place).encode())
        roll = int.from_bytes(turn.digest()[:8], "big")
        for alphabet in (string.digits, string.ascii_uppercase, string.ascii_lowercase):
            if char in alphabet:
                char = alphabet[roll % len(alphabet)]
                break
        made.append(char)
    return "".join(made)


def marking(key: bytes, value: str) -> str:
    """A marking code: 01 and the GTIN stay (they decide how it is sold), serial and crypto tail are masked.

    What is not of the form 01<GTIN>21<serial> is an excise stamp or a tobacco code: all of it is masked but
    its first 3 characters.
    """
    if is_marking(value):
        groups = value[18:].split("\x1d")
        masked = [signs(key, "marking", groups[0])]
        masked += [group[:2] + signs(key, "marking", group[2:]) for group in groups[1:]]
        return value[:18] + "\x1d".join(masked)
    return value[:3] + signs(key, "marking", value[3:])


def is_marking(value: str) -> bool:
    """Whether it has the form 01<GTIN of 14 digits>21<serial>."""
    return len(value) > 18 and value[:2] == "01" and value[2:16].isdigit() and value[16:18] == "21"


def birthday(value: str) -> str:
    """An ISO date: the year stays (age limits), month and day do not."""
    return value[:4] + "-01-01" + value[10:] if value[4:5] == "-" else "1970-01-01"


def fiscal_payload(key: bytes, value: str) -> str:
    """A fiscal QR payload (t=..&s=..&fn=..&i=..&fp=..&n=..): drive, document and sign are masked."""
    parts = []
    for part in value.split("&"):
        name, equals, content = part.partition("=")
        if name.removeprefix("amp;") in ("fn", "i", "fp") and content.isdigit():
            content = number(key, "fiscal", content)
        parts.append(f"{name}{equals}{content}")
    return "&".join(parts)
