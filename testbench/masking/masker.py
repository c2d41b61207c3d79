"""The masker: one key, one consistent pseudonym per value, over every kind of file that a store gives.

Known fields are masked by their names; all other text by patterns, and by every value that was learned from
a known field before. So hand in structured files (exchange documents, journals) before logs, or call
``learn`` first: a name that a log spells without any hint is found only because a document named it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape, unescape

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeTree

from testbench.masking import disguises, rules
from testbench.masking.errors import MaskingError
from testbench.masking.fields import DIGESTS, GOODS, KEPT, kind_of, normalised
from testbench.masking.names import Names
from testbench.masking.patterns import (
    ATTRIBUTE,
    BASE64_LINES,
    BASE64_TEXT,
    BASE64_XML,
    FREE_TEXT,
    HARMLESS,
    IN_FILE_NAMES,
    KEY_VALUE,
    NAME_KEYS,
    NAME_LIKE,
    NAME_TOKEN,
    NAME_WORD,
    NUMBER,
    PERSONAL,
    RUSSIAN_KEYS,
    TAG,
    WORD,
)

#: More than this is not evidence that a person looks through; asking for a shorter window is the way out.
MAX_BYTES = 64 * 1024**2
#: What may come out of base64 of something zipped: a line of a log holds a message, not a day.
MAX_ZIPPED_IN_LINE = 8 * 1024**2
_UNREADABLE = "[unreadable base64 removed]"
#: Base64 documents may hold base64 documents; deeper nesting than this is an attack.
MAX_NESTING = 3
#: Characters for private use stand for what is already masked while a text is worked on.
_OPEN, _CLOSE = "\ue000", "\ue001"
_SET_ASIDE = "".join(chr(0xE010 + digit) for digit in range(10))
_RESERVED = re.compile(f"[{_OPEN}{_CLOSE}{_SET_ASIDE}]")
_ASIDE = re.compile(f"{_OPEN}([{_SET_ASIDE}]+){_CLOSE}")
_SUFFIX = re.compile(r"[a-z][a-z0-9]{0,4}")
_QUOTES = {"&quot;": '"', "&apos;": "'"}


class Masker:
    """Masks values, texts and files under one key."""

    def __init__(self, key: bytes) -> None:
        """Args: key: at least 16 secret bytes; the same key gives the same pseudonyms.

        Raises:
            MaskingError: the key is shorter than that.
        """
        if len(key) < 16:
            raise MaskingError("the masking key is shorter than 16 bytes; make one of 32 random bytes")
        self._key = key
        self._replaced: Counter[str] = Counter()
        self._values: dict[str, set[str]] = {}
        self._learned: dict[str, str] = {}
        self._names = Names()
        self._nesting = 0

    def manifest(self) -> dict[str, Any]:
        """What was masked: kinds and counts, never values, and a fingerprint of the key."""
        kinds = {
            kind: {"values": len(self._values[kind]), "replaced": count}
            for kind, count in sorted(self._replaced.items())
        }
        return {"schema": 1, "key": rules.fingerprint(self._key), "kinds": kinds}

    def mask_value(self, kind: str, value: str) -> str:
        """The pseudonym of one value of a known kind (the kinds of ``testbench.masking.fields``)."""
        if not value.strip():
            return value
        masked = self._pseudonym(kind, value)
        kind = {"guid": "card", "pan": "card"}.get(kind, kind)
        self._replaced[kind] += 1
        self._values.setdefault(kind, set()).add(masked)
        self._learn(kind, value, masked)
        return masked

    def learn(self, name: str, data: bytes) -> None:
        """Remember the personal values of a file without masking it; see the module's first lines.

        Raises:
            MaskingError: as ``mask_file``.
        """
        replaced, values = self._replaced.copy(), {kind: set(seen) for kind, seen in self._values.items()}
        self.mask_file(name, data)
        self._replaced, self._values = replaced, values

    def mask_text(self, text: str) -> str:
        """Free text, possibly with XML or JSON in it: logs, descriptions."""
        text = disguises.without_escapes(text)
        out: list[str] = []
        place, element = 0, ""
        for tag in TAG.finditer(text):
            out.append(self._between(element, text[place : tag.start()]))
            out.append(self._tag(tag))
            place = tag.end()
            element = "" if tag["close"] or tag[0].endswith("/>") else tag["name"]
        out.append(self._between(element, text[place:]))
        return "".join(out)

    def mask_json(self, value: Any, name: str = "", context: str = "") -> Any:
        """A JSON value; objects with "type" and "payload" are journal entries, the type is the context."""
        if isinstance(value, dict):
            kind = value.get("type")
            inner = str(kind) if isinstance(kind, str) and "payload" in value else context
            return {key: self.mask_json(item, str(key), inner) for key, item in value.items()}
        if isinstance(value, list):
            return [self.mask_json(item, name, context) for item in value]
        if isinstance(value, str):
            return self._field(name, context, value)
        if isinstance(value, int) and not isinstance(value, bool) and kind_of(name, context):
            masked = self._field(name, context, str(value))
            return int(masked) if masked.lstrip("-").isdigit() else masked
        return value

    def mask_xml(self, data: bytes) -> bytes:
        """An XML document, changed in place: declaration, BOM, namespaces, order and spacing stay.

        A document that is not well-formed (half written) is masked as text and stays as broken as it was.

        Raises:
            MaskingError: it brings its own entities or document type.
        """
        try:
            SafeTree.fromstring(data, forbid_dtd=True)
        except DefusedXmlException as problem:
            raise MaskingError(f"XML with its own DTD or entities is not stored: {problem}") from None
        except (ParseError, ValueError, LookupError, RecursionError):
            pass
        if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:64]:
            text, encode = disguises.decoded(data)
            return encode(self.mask_text(text))
        encoding = _declared_encoding(data)
        return self.mask_text(data.decode(encoding, "surrogateescape")).encode(encoding, "surrogateescape")

    def mask_file(self, name: str, data: bytes) -> bytes:
        """A file by its name: .xml, .json, .jsonl; anything else is text.

        Raises:
            MaskingError: it is too large, binary, or XML that brings its own entities.
        """
        if len(data) > MAX_BYTES:
            raise MaskingError(f"{name}: {len(data)} bytes exceed {MAX_BYTES}; ask for a shorter window")
        lower = name.lower()
        if lower.endswith(".gz"):
            inner = disguises.unzipped(name, data, MAX_BYTES)
            return disguises.zipped(self.mask_file(name[:-3].removesuffix(".gz"), inner))
        if lower.endswith(".xml"):
            return self.mask_xml(data)
        text, encode = disguises.decoded(data)
        if "\0" in text[:4096]:
            raise MaskingError(f"{name}: is binary; only text, JSON and XML can be masked: left out")
        if lower.endswith(".jsonl"):
            masked = "".join(self._json_text(line) for line in text.splitlines(keepends=True))
        elif lower.endswith(".json"):
            masked = self._json_text(text)
        else:
            masked = self.mask_text(text)
        return encode(masked)

    def mask_name(self, path: str) -> str:
        """A file's path inside evidence; folders, dates and the suffix stay.

        Call it when all files are learned: what refers to the file (a journal's "document") is masked by the
        same rule, and the two must agree.
        """
        folder, slash, name = path.rpartition("/")
        stem, dot, suffix = name.rpartition(".")
        if not _SUFFIX.fullmatch(suffix) or not dot:
            stem, dot, suffix = name, "", ""
        done: list[str] = []
        words = stem
        for kind, pattern in FREE_TEXT:
            if kind in IN_FILE_NAMES:
                words = pattern.sub(partial(self._found, kind, partial(_aside, done)), words)
        words = NUMBER.sub(lambda found: self._learned.get(found[0], found[0]), words)
        words = NAME_TOKEN.sub(lambda found: self._names.replace(found[0]), words)
        return f"{folder}{slash}{_back(done, words)}{dot}{suffix}"

    def _json_text(self, text: str) -> str:
        body = text.rstrip("\r\n")
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return self.mask_text(text)
        compact = '": ' not in body[:200]
        separators = (",", ":") if compact else (", ", ": ")
        masked = json.dumps(self.mask_json(value), ensure_ascii=False, separators=separators)
        return masked + text[len(body) :]

    def _pseudonym(self, kind: str, value: str) -> str:
        key, bare = self._key, value.strip()
        if kind == "name":
            named = NAME_WORD.sub(lambda found: rules.word(key, found[0]), value)
            return re.sub(r"\d+", lambda found: rules.number(key, "tab", found[0]), named)
        if kind == "email":
            return rules.email(key, bare)
        if kind == "snils":
            return rules.snils(key, value)
        if kind == "marking":
            return rules.marking(key, value)
        if kind == "qr":
            return rules.fiscal_payload(key, value)
        if kind == "birthday":
            return rules.birthday(value)
        if kind == "phone":
            return rules.phone(key, value)
        if kind in ("card", "pan", "guid") and "*" in bare and bare.rpartition("*")[2].isdigit():
            return rules.starred_card(key, bare)
        if not (bare.isascii() and bare.replace(" ", "").replace("-", "").isdigit()):
            return rules.signs(key, kind, value)
        if kind in ("card", "pan", "guid"):
            solid = "".join(char for char in bare if char.isdigit())
            masked = iter(rules.card(key, solid))
            return "".join(next(masked) if char.isdigit() else char for char in value)
        if kind == "inn" and bare.isdigit():
            return value.replace(bare, rules.inn(key, bare))
        return re.sub(r"\d+", lambda found: rules.number(key, kind, found[0]), value)

    def _learn(self, kind: str, value: str, masked: str) -> None:
        if kind == "name":
            pairs = zip(NAME_WORD.findall(value), NAME_WORD.findall(masked), strict=True)
            for old, new in pairs:
                self._names.learn(old, new)
        elif kind not in ("birthday", "qr") and len(value) > 7:
            self._learned[value.strip()] = masked.strip()

    def _field(self, name: str, context: str, value: str) -> str:
        kind = kind_of(name, context)
        if kind == "guid" and not (value.isdigit() and len(value) > 7):
            kind = None  # a client's own identifier, which is not its card's number
        if kind is not None:
            return self.mask_value(kind, value)
        if rules.is_marking(value):
            return self.mask_value("marking", value)
        if normalised(name) == "document":
            return self.mask_name(value)
        if normalised(name) in KEPT:
            return self._kept(normalised(name), value)
        if normalised(name) == "name" and "<" not in value:
            return self._free(disguises.without_escapes(value), is_good=True)
        return self.mask_text(value)

    def _kept(self, field: str, value: str) -> str:
        """A field that says nothing of a person, until somebody puts a person's data into it."""
        if field in DIGESTS or not PERSONAL.search(value) or HARMLESS.fullmatch(value):
            return value
        if field in GOODS:
            return value if value.isdigit() else self._free(disguises.without_escapes(value), is_good=True)
        return self.mask_text(value)

    def _tag(self, tag: re.Match[str]) -> str:
        attributes = tag["attributes"]
        if not attributes:
            return tag[0]
        element = normalised(tag["name"])
        given = {found["name"]: found["value"] for found in ATTRIBUTE.finditer(attributes)}

        def changed(found: re.Match[str]) -> str:
            name, raw = found["name"], found["value"]
            if element == "pluginproperty" and name == "value":
                name = given.get("key", name)
            masked = raw
            if element == "cardrange":
                masked = _wide_range(name, raw, given)
            else:
                plain = unescape(raw, _QUOTES)
                new = self._field(name, element, plain)
                if new != plain:
                    masked = escape(new, {'"': "&quot;", "'": "&apos;"})
            return f"{found['name']}{found['gap']}{found['quote']}{masked}{found['quote']}"

        start, end = tag.start("attributes") - tag.start(), tag.end("attributes") - tag.start()
        return tag[0][:start] + ATTRIBUTE.sub(changed, attributes) + tag[0][end:]

    def _between(self, element: str, text: str) -> str:
        """The text after an opening tag: the value of that element, else free text."""
        if not text.strip():
            return text
        if element and (kind_of(element) or normalised(element) in KEPT):
            plain = unescape(text, _QUOTES)
            new = self._field(element, "", plain)
            return text if new == plain else escape(new)
        return self._free(text, is_good=normalised(element) == "name")

    def _free(self, text: str, *, is_good: bool = False) -> str:
        """By patterns; what one pattern masked is set aside, so that the next one does not mask the mask.

        Args:
            is_good: the text is the name of a good, group or country, where words that only resemble a
                person's name stay.
        """
        done: list[str] = []
        aside = partial(_aside, done)
        text = _RESERVED.sub("?", text)
        text = BASE64_XML.sub(lambda found: aside(self._embedded(found)), text)
        text = BASE64_LINES.sub(lambda found: self._encoded(found[0], aside), text)
        text = BASE64_TEXT.sub(lambda found: self._encoded(found[0], aside), text)
        text = disguises.in_url_codes(text, self._inside)
        text = KEY_VALUE.sub(lambda found: self._pair(found, aside), text)
        for kind, pattern in FREE_TEXT:
            text = pattern.sub(partial(self._found, kind, aside), text)
        text = WORD.sub(lambda found: self._word(found[0], is_good), text)
        return _back(done, text)

    def _word(self, word: str, is_good: bool) -> str:
        known = self._learned.get(word)
        if known is not None:
            return known
        # The name of a file inside a text joins a number with words: cards-Ivanova_2013800000017.
        word = NUMBER.sub(lambda found: self._learned.get(found[0], found[0]), word)
        return self._names.replace(word, only_whole=is_good)

    def _inside(self, text: str) -> str:
        """Text inside an encoding of a text; encodings inside each other are followed so deep and no deeper.

        Raises:
            MaskingError: they are nested deeper.
        """
        if self._nesting >= MAX_NESTING:
            raise MaskingError("encoded texts inside each other, too deep; this is not evidence")
        self._nesting += 1
        try:
            return self.mask_text(text)
        finally:
            self._nesting -= 1

    def _encoded(self, code: str, aside: Callable[[str], str]) -> str:
        """Base64 of other text, zipped or not: masked inside; what is no text (a key, a picture) stays."""
        given = disguises.from_base64(code)
        if given is None:
            return code
        data, again = given
        is_zipped = data.startswith(disguises.GZIP)
        if is_zipped:
            try:
                data = disguises.unzipped("a line", data, MAX_ZIPPED_IN_LINE)
            except MaskingError:
                return aside(_UNREADABLE)
        text, encode = disguises.decoded(data)
        if not disguises.is_readable(text):
            return code
        masked = self._inside(text)
        if masked == text:
            return code
        content = encode(masked)
        return aside(again(disguises.zipped(content) if is_zipped else content))

    def _found(self, kind: str, aside: Callable[[str], str], found: re.Match[str]) -> str:
        value = found.groupdict().get("value") or found[0]
        if kind == "pan" and not _luhn_valid(value):
            return found[0]
        return found[0].replace(value, aside(self.mask_value(kind, value)))

    def _pair(self, found: re.Match[str], aside: Callable[[str], str]) -> str:
        key = found["key"]
        kind = RUSSIAN_KEYS.get(key.lower()) or kind_of(key)
        bare = found["value"].strip("\\\"'")
        if kind is None and key.lower() in NAME_KEYS and NAME_LIKE.match(bare):
            kind = "name"
        if kind is None or not bare or (kind == "name" and not NAME_WORD.search(bare)):
            return found[0]
        return f"{key}{found['gap']}{found['value'].replace(bare, aside(self.mask_value(kind, bare)))}"

    def _embedded(self, found: re.Match[str]) -> str:
        """A document inside base64: masked as a document; what cannot be read is removed, not trusted."""
        try:
            data = base64.b64decode(re.sub(r"\s", "", found[0]), validate=True)
        except (binascii.Error, ValueError):
            return _UNREADABLE
        if self._nesting >= MAX_NESTING:
            raise MaskingError("base64 documents inside each other, too deep; this is not evidence")
        self._nesting += 1
        try:
            return base64.b64encode(self.mask_xml(data)).decode()
        finally:
            self._nesting -= 1


def _aside(done: list[str], masked: str) -> str:
    """What is masked already, put away; its sign, which no pattern takes for anything."""
    done.append(masked)
    return _OPEN + "".join(_SET_ASIDE[int(digit)] for digit in str(len(done) - 1)) + _CLOSE


def _back(done: list[str], text: str) -> str:
    return _ASIDE.sub(lambda found: done[int("".join(str(_SET_ASIDE.index(c)) for c in found[1]))], text)


def _luhn_valid(value: str) -> bool:
    solid = "".join(char for char in value if char.isdigit())
    return solid[-1:] == rules.luhn(solid[:-1])


def _wide_range(name: str, raw: str, given: dict[str, str]) -> str:
    """A card range becomes all numbers of its first 6 digits: masked cards keep those, and stay inside."""
    start = given.get("startField", "")
    if not start.isdigit() or len(start) < 8:
        return raw
    if name == "startField":
        return start[:6] + "0" * (len(start) - 6)
    return str(10 ** (len(start) - 6)) if name == "countField" else raw


def _declared_encoding(data: bytes) -> str:
    found = re.search(rb"^[^>]{0,100}encoding=[\"']([A-Za-z0-9_.-]{1,40})[\"']", data[:200])
    name = found[1].decode("ascii").lower() if found else "utf-8"
    return name if name in ("utf-8", "windows-1251", "cp1251", "cp866", "koi8-r", "iso-8859-1") else "utf-8"
