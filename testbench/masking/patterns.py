"""Personal data in free text: logs, descriptions, comments. Patterns are written to run in linear time."""

from __future__ import annotations

import re

#: A tag of XML with well-formed attributes; everything else counts as text.
TAG = re.compile(
    r"<(?P<close>/?)(?P<name>[A-Za-z_][\w:.-]*)"
    r"(?P<attributes>(?:\s+[\w:.-]+\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'))*)\s*/?>"
)
ATTRIBUTE = re.compile(
    r"(?P<name>[\w:.-]+)(?P<gap>\s*=\s*)(?P<quote>[\"'])(?P<value>.*?)(?P=quote)", re.DOTALL
)

#: A whole document in base64, as SOAP carries it ("<?xml", "<good", "<purc", or after a BOM).
BASE64_XML = re.compile(r"(?<![A-Za-z0-9+/])(?:PD94|PGdv|PHB1|PGNh|PHJl|PEFk|77u/)[A-Za-z0-9+/\s]{20,}={0,2}")

#: Base64 of anything else, also with - and _ (for addresses); decoding it shows whether it is text.
BASE64_TEXT = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}={0,2}(?![A-Za-z0-9+/=_-])")
#: The same broken into lines, as mail and old programs do.
BASE64_LINES = re.compile(
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/]{60,76}(?:\r?\n[A-Za-z0-9+/]{60,76})*\r?\n[A-Za-z0-9+/]{1,76}={0,2}"
    r"(?![A-Za-z0-9+/=_-])"
)

#: key=value and "key": "value" in a log line; whether the key names personal data is looked up afterwards.
#: A value without quotes may go on over capitalised words and initials: cashier=Ivanova Olga P.
KEY_VALUE = re.compile(
    r"(?<![\w.-])(?P<key>[A-Za-zА-Яа-яЁё][\w.-]{0,40})(?P<gap>\\?[\"']?\s{0,3}[=:]\s{0,3})"
    r"(?P<value>\\?\"[^\"\n]*\"|'[^'\n]*'|(?:[^\s\"',;|&<>()\[\]{}]|\x1d)+(?:\s[A-ZА-ЯЁ][\w.-]*){0,2})"
)
RUSSIAN_KEYS = {
    "кассир": "name",
    "фио": "name",
    "клиент": "name",
    "покупатель": "name",
    "табельный": "tab",
    "телефон": "phone",
    "тел": "phone",
    "почта": "email",
    "карта": "card",
    "инн": "inn",
    "фн": "fiscal",
    "фп": "fiscal",
}

#: Keys that hold a person's name or something else: masked only where the value looks like a name.
NAME_KEYS = frozenset({"client", "customer", "buyer", "person", "user", "owner"})
NAME_LIKE = re.compile(r"[A-ZА-ЯЁ][a-zа-яё]{2,}")

_CAP = r"[А-ЯЁ][а-яё]+(?:-[А-ЯЁ][а-яё]+)?"
_LATIN = r"[A-Z][a-z]+(?:-[A-Z][a-z]+)?"

#: Kind, pattern; the group ``value`` (or the whole match) is what is masked. Order matters: first wins.
FREE_TEXT: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("email", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")),
    ("qr", re.compile(r"\bt=\d{8}T\d{4,6}&(?:amp;)?s=[\d.]+&[\w=&.;]+")),
    ("marking", re.compile(r"(?<!\d)01\d{14}21[!-;=-~\x1d]{5,120}")),
    ("card", re.compile(r"(?<!\d)\d{4,6}\*{4,12}\d{3,4}(?!\d)")),
    ("pan", re.compile(r"(?<!\d)[2-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{4}(?!\d)")),
    (
        "phone",
        re.compile(
            r"(?<![\d+.])(?:\+7|[78])[\s-]?\(?[3489]\d{2}\)?[\s-]?\d{3}[\s-]?\d{2}[\s-]?\d{2}(?![\d.])"
        ),
    ),
    ("card", re.compile(r"(?i)\b(?:card|карт[аыеуой]{1,2})\b[\s:=№#]{0,4}(?P<value>\d{8,19})(?!\d)")),
    (
        "tab",
        re.compile(r"(?i)\b(?:tab|табельный)\s?(?:number|num|no|номер|№)\s?[=:]?\s?(?P<value>\d{1,10})\b"),
    ),
    ("inn", re.compile(r"(?i)\b(?:inn|инн)\b[\s:=№]{0,4}(?P<value>\d{12}|\d{10})(?!\d)")),
    ("snils", re.compile(r"(?<![\d-])\d{3}-\d{3}-\d{3}[ -]\d{2}(?![\d-])")),
    ("name", re.compile(rf"\b{_CAP}\s{_CAP}\s[А-ЯЁ][а-яё]+(?:вич|вна|чна|ьич)\b")),
    ("name", re.compile(rf"\b{_LATIN}\s{_LATIN}\s[A-Z][a-z]+(?:vich|vna|chna|ich)\b")),
    ("name", re.compile(rf"\b(?:{_CAP}|{_LATIN})\s[A-ZА-ЯЁ]\.\s?[A-ZА-ЯЁ]\.")),
)

#: What only a person's data has: worth a look in a field that is kept else.
PERSONAL = re.compile(r"@|\d(?:[\s()+*-]{0,2}\d){8,}|[^\W\d_]{4,}|%[0-9A-Fa-f]{2}|\*{4}|\\u|&#")
#: A date and time, a version, a digest: as fields that are kept have them.
HARMLESS = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ][\d:.]{5,18})?(?:Z|[+-]\d\d:?\d\d)?|v?\d+(?:\.\d+){1,5}|(?:sha256:)?[0-9a-f]{64}"
)
#: Kinds that show by their form in the name of a file.
IN_FILE_NAMES = frozenset({"email", "pan", "phone", "snils"})

WORD = re.compile(r"\w+(?:-\w+)*")
NAME_WORD = re.compile(r"[^\W\d_]+")
#: Words and numbers of a file's name, which joins them in any way.
NAME_TOKEN = re.compile(r"[^\W\d_]+")
NUMBER = re.compile(r"\d{8,}")
