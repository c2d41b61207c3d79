"""Takes from a host's tar stream what was asked for; the stream is hostile until it has passed here."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Sequence
from typing import IO

from pipeline.diagnosis.recipe import (
    MAX_HOST_BYTES,
    MAX_HOST_MEMBERS,
    MAX_MISSING,
    Item,
    plain_text,
    refusal,
)
from pipeline.errors import UnavailableError

_LIST = "missing.json"
_LIST_BYTES = 2**20
#: A tar is read in blocks; beside the files there are headers and padding.
_OVERHEAD = 2 * 1024 * MAX_HOST_MEMBERS


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
) -> None:
    """Fill ``files`` and ``missing`` as the stream comes; what came before an error stays.

    Args:
        items: what was asked for; nothing else is taken.
        reserve: called with the bytes of each file before it is read; may raise.

    Raises:
        UnavailableError: the stream is no archive, is cut short, or is larger than evidence can be.
    """
    try:
        with tarfile.open(fileobj=_Limited(stream, MAX_HOST_BYTES + _OVERHEAD), mode="r|") as archive:  # type: ignore[call-overload]
            for count, member in enumerate(archive):
                if count >= MAX_HOST_MEMBERS:
                    raise UnavailableError(f"it sent over {MAX_HOST_MEMBERS} files: take a shorter window")
                if member.name == _LIST and member.isreg():
                    _take_list(archive, member, missing)
                    return
                reason = _refusal(member, items, files)
                if reason is None:
                    reserve(member.size)
                    files[member.name] = _content(archive, member)
                elif len(missing) < MAX_MISSING:
                    missing.append({"what": plain_text(member.name, 200), "reason": reason})
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise UnavailableError(f"what it sent is no archive: {plain_text(error, 200)}") from error
    raise UnavailableError("what it sent was cut short: collect again")


def _refusal(member: tarfile.TarInfo, items: Sequence[Item], files: dict[str, bytes]) -> str | None:
    # A sparse file is regular too, but is larger than what is sent for it.
    if not member.isreg() or member.issparse():
        return "it is not a plain file"
    if member.name in files:
        return "it was sent twice; the first is kept"
    return refusal(member.name, member.size, items) if member.size >= 0 else "its size is not a size"


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    content = file.read() if file is not None else b""
    if len(content) != member.size:
        raise UnavailableError("what it sent was cut short: collect again")
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
