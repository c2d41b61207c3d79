"""Text that hides what it says: escapes of JSON, XML and URLs, other encodings, compressed logs (pure)."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import zlib
from collections.abc import Callable
from functools import partial
from urllib.parse import quote, unquote_plus

from testbench.masking.errors import MaskingError

#: \u0418 (also doubly escaped: JSON inside a JSON log line), &#1048; and &#x418;.
_ESCAPED = re.compile(r"\\{1,4}u(?P<json>[0-9A-Fa-f]{4})|&#(?P<ten>\d{2,7});|&#x(?P<hex>[0-9A-Fa-f]{2,6});")
_URL = re.compile(r"[\w.~+*-]*(?:%[0-9A-Fa-f]{2}[\w.~+*-]*)+")
_PLAIN = frozenset("@.-+ ")
#: How a .gz file begins.
GZIP = b"\x1f\x8b\x08"
#: Not printable, but in texts all the same; GS parts a marking code.
_SPACING = dict.fromkeys(map(ord, "\n\r\t\x1d"))
_BOMS = (
    (b"\xff\xfe", "utf-16-le", "\ufeff"),
    (b"\xfe\xff", "utf-16-be", "\ufeff"),
)


def without_escapes(text: str) -> str:
    """Escaped letters and digits as themselves; what means something else unescaped (quotes, <) stays.

    Every reader takes the two for the same text, so nothing needs to be escaped again.
    """
    if "\\u" not in text and "&#" not in text:
        return text
    return _ESCAPED.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    digits, base = (found["ten"], 10) if found["ten"] else (found["json"] or found["hex"], 16)
    code = int(digits, base)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        return found[0]
    char = chr(code)
    return char if char.isalnum() or char in _PLAIN else found[0]


def in_url_codes(text: str, mask: Callable[[str], str]) -> str:
    """The text with what is URL-encoded in it masked; tokens that hold nothing personal stay as they were."""

    def changed(found: re.Match[str]) -> str:
        for encoding in ("utf-8", "windows-1251"):
            try:
                plain = unquote_plus(found[0], encoding, errors="strict")
            except ValueError:
                continue
            masked = mask(plain)
            return (
                found[0] if masked == plain else quote(masked, safe="", encoding=encoding, errors="replace")
            )
        return found[0]

    return _URL.sub(changed, text) if "%" in text else text


def decoded(data: bytes) -> tuple[str, Callable[[str], bytes]]:
    """A file's text, and the function that writes a text in the same encoding.

    UTF-16 is told by its byte order mark, or by where its zero bytes are; else it is UTF-8, and
    windows-1251 where it cannot be UTF-8.
    """
    for bom, encoding, mark in _BOMS:
        if data.startswith(bom):
            body = data[2:].decode(encoding, "surrogatepass")
            return mark + body, partial(str.encode, encoding=encoding, errors="surrogatepass")
    wide = _utf16_without_mark(data[:4096])
    if wide is not None:
        try:
            text = data.decode(wide)
        except UnicodeDecodeError:
            text = "\0"
        head = "".join(text[:2000].split())
        # Two bytes of anything make some letter of some script; stores write Latin and Cyrillic.
        if head.isprintable() and sum(char < "\u0500" for char in head) * 20 >= 19 * len(head):
            return text, partial(str.encode, encoding=wide)
    try:
        return data.decode("utf-8"), lambda text: text.encode("utf-8", "surrogateescape")
    except UnicodeDecodeError as problem:
        # One broken byte in a long UTF-8 text is damage, not another encoding.
        if _is_utf8_with_damage(data, problem):
            return _surrogates(data)
    try:
        return data.decode("windows-1251"), _cyrillic
    except UnicodeDecodeError:
        return _surrogates(data)


def _utf16_without_mark(head: bytes) -> str | None:
    """Which UTF-16 it is: the zero bytes of its spaces, digits and tags are all on one side."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if 16 * (even + odd) < len(head) or min(even, odd) > max(even, odd) // 20:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _surrogates(data: bytes) -> tuple[str, Callable[[str], bytes]]:
    return data.decode("utf-8", "surrogateescape"), lambda text: text.encode("utf-8", "surrogateescape")


def _cyrillic(text: str) -> bytes:
    return text.encode("windows-1251", "replace")


def _is_utf8_with_damage(data: bytes, problem: UnicodeDecodeError) -> bool:
    """Whether the Cyrillic in it is UTF-8 for the most part: there it is led by D0 or D1."""
    leads = len(re.findall(rb"[\xd0\xd1][\x80-\xbf]", data))
    others = sum(byte >= 0x80 for byte in data) - 2 * leads
    return leads > others


def from_base64(code: str) -> tuple[bytes, Callable[[bytes], str]] | None:
    """What base64 holds, and the function that writes bytes in the same form; None where it is none.

    Padding may be left out, and the lines of a broken text are joined.
    """
    solid = "".join(code.split())
    bare = solid.rstrip("=")
    is_for_addresses = "-" in bare or "_" in bare
    alphabet = b"-_" if is_for_addresses else b"+/"
    try:
        data = base64.b64decode(bare + "=" * (-len(bare) % 4), alphabet, validate=True)
    except (binascii.Error, ValueError):
        return None

    def again(content: bytes) -> str:
        made = base64.b64encode(content, alphabet).decode("ascii")
        return made if solid != bare else made.rstrip("=")

    return data, again


def is_readable(text: str) -> bool:
    """Whether it is text at all, and not a key or a picture that some encoding can read."""
    bare = text.removeprefix("\ufeff").translate(_SPACING)
    return len(bare) > 0 and bare.isprintable()


def unzipped(name: str, data: bytes, limit: int) -> bytes:
    """What a .gz file holds.

    Raises:
        MaskingError: it is damaged, or more than ``limit`` bytes come out of it.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            content = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise MaskingError(f"{name}: cannot be unpacked ({problem}): left out") from None
    if len(content) > limit:
        raise MaskingError(f"{name}: more than {limit} bytes come out of it; ask for a shorter window")
    return content


def zipped(data: bytes) -> bytes:
    """As .gz; the same content gives the same bytes on every day."""
    return gzip.compress(data, mtime=0)
