"""Takes from a host's tar stream what was asked for; the stream is hostile until it has passed here."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

from pipeline.diagnosis.recipe import (
    MAX_HOST_BYTES,
    MAX_HOST_MEMBERS,
    MAX_MISSING,
    Item,
    item_of,
    plain_text,
    refusal,
)
from pipeline.errors import UnavailableError

_LIST = "missing.json"
_LIST_BYTES = 2**20
#: A tar is read in blocks; beside the files there are headers and padding.
_OVERHEAD = 2 * 1024 * MAX_HOST_MEMBERS
_CHUNK = 64 * 1024
_CUT = "what it sent was cut short: collect again"


@dataclass
class Progress:
    """How far a host's stream has come; after a cut the next one goes on from here.

    Attributes:
        name: the file that was being sent.
        start: the byte of the host's file that ``data`` begins with.
        data: what came of it.
        now: the host's time that the window was counted back from, as it wrote it.
    """

    name: str | None = None
    start: int = 0
    data: bytearray = field(default_factory=bytearray)
    now: float | None = None


class _Limited:
    """The stream up to a number of bytes: headers too can be made to unpack to any size."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._left = stream, limit

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise UnavailableError("it sent more than evidence can be: take a shorter window")
        return data


def unpack(
    stream: IO[bytes],
    items: Sequence[Item],
    files: dict[str, bytes],
    missing: list[dict[str, str]],
    *,
    reserve: Callable[[int], None] = lambda _size: None,
    progress: Progress | None = None,
) -> None:
    """Fill ``files`` and ``missing`` as the stream comes; what came before an error stays.

    Args:
        items: what was asked for; nothing else is taken.
        reserve: called with the bytes of each file before it is read, and with a negative number for those of
            them that did not come; may raise.
        progress: of the stream before, which was cut; brought on by this one.

    Raises:
        UnavailableError: the stream is no archive, is cut short, or is larger than evidence can be.
    """
    progress = progress or Progress()
    try:
        with tarfile.open(fileobj=_Limited(stream, MAX_HOST_BYTES + _OVERHEAD), mode="r|") as archive:  # type: ignore[call-overload]
            for count, member in enumerate(archive):
                if count >= MAX_HOST_MEMBERS:
                    raise UnavailableError(f"it sent over {MAX_HOST_MEMBERS} files: take a shorter window")
                if member.name == _LIST and member.isreg():
                    _take_list(archive, member, missing)
                    return
                reason = _refusal(member, items, files, progress)
                if reason is None:
                    reason = _take(archive, member, files, reserve, progress)
                    _note_rest(member, items, missing)
                if reason is not None and len(missing) < MAX_MISSING:
                    missing.append({"what": plain_text(member.name, 200), "reason": reason})
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise UnavailableError(f"what it sent is no archive: {plain_text(error, 200)}") from error
    raise UnavailableError(_CUT)


def _refusal(
    member: tarfile.TarInfo, items: Sequence[Item], files: dict[str, bytes], progress: Progress
) -> str | None:
    # A sparse file is regular too, but is larger than what is sent for it.
    if not member.isreg() or member.issparse():
        return "it is not a plain file"
    if member.name in files:
        return "it was sent twice; the first is kept"
    start = _start(member)
    if start and (member.name != progress.name or start != len(progress.data)):
        return "it was sent from another place on than asked for"
    return refusal(member.name, start + member.size, items) if member.size >= 0 else "its size is not a size"


def _start(member: tarfile.TarInfo) -> int:
    """The first byte of the file that the member has: not 0 where it goes on after a cut."""
    return max(int(member.pax_headers.get("GARANT.from", "0")), 0)


def _take(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    files: dict[str, bytes],
    reserve: Callable[[int], None],
    progress: Progress,
) -> str | None:
    """Read the member into ``files``; returns why it is not taken after all."""
    reserve(member.size)
    start = _start(member)
    if not start:
        progress.data = bytearray()
    progress.name = member.name
    progress.now = _number(member.pax_headers.get("GARANT.now"))
    _fill(archive, member, start, reserve, progress)
    content = bytes(progress.data)
    progress.name, progress.data = None, bytearray()
    digest = member.pax_headers.get("GARANT.sha256")
    if digest != hashlib.sha256(content).hexdigest() and (start or digest is not None):
        reserve(-len(content))
        return "it is not what the host said that it would send: collect again"
    files[member.name] = content
    return None


def _fill(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    start: int,
    reserve: Callable[[int], None],
    progress: Progress,
) -> None:
    file = archive.extractfile(member)
    try:
        while file is not None and (chunk := file.read(_CHUNK)):
            progress.data += chunk
    except tarfile.ReadError as error:
        raise UnavailableError(_CUT) from error
    finally:
        absent = start + member.size - len(progress.data)
        if absent:
            reserve(-absent)
    if absent:
        raise UnavailableError(_CUT)


def _number(text: str | None) -> float | None:
    number = float(text) if text is not None else None
    return number if number is not None and 0 < number < 2**33 else None


def _note_rest(member: tarfile.TarInfo, items: Sequence[Item], missing: list[dict[str, str]]) -> None:
    left = member.pax_headers.get("GARANT.left")
    item = item_of(member.name, items)
    if left and item is not None and len(missing) < MAX_MISSING:
        part = "the beginning of" if item.tail else "the rest of"
        missing.append({"what": f"{part} {member.name}", "reason": plain_text(left, 500)})


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    content = file.read() if file is not None else b""
    if len(content) != member.size:
        raise UnavailableError(_CUT)
    return content


def _take_list(archive: tarfile.TarFile, member: tarfile.TarInfo, missing: list[dict[str, str]]) -> None:
    if member.size > _LIST_BYTES:
        raise UnavailableError("its list of what is missing is too long to be one")
    try:
        listed = json.loads(_content(archive, member))
        entries = [(entry["what"], entry["reason"]) for entry in listed]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UnavailableError(
            f"its list of what is missing cannot be read ({type(error).__name__})"
        ) from error
    room = max(MAX_MISSING - len(missing), 0)
    missing += [
        {"what": plain_text(what, 200), "reason": plain_text(reason, 500)} for what, reason in entries[:room]
    ]
    if len(entries) > room:
        missing.append({"what": "other things", "reason": f"{len(entries) - room} more are not listed"})
