"""Tar streams of hostile hosts: what was asked for is taken, all else is listed or ends the stream."""

from __future__ import annotations

import io
import json
import tarfile
from typing import IO, Any

import pytest

from pipeline.diagnosis import unpacking
from pipeline.diagnosis.collector import Room
from pipeline.diagnosis.recipe import MAX_HOST_MEMBERS, MAX_MISSING
from pipeline.diagnosis.recipe_file import default_recipe
from pipeline.diagnosis.unpacking import unpack
from pipeline.errors import UnavailableError

ITEMS = default_recipe().server


def tar(*members: tuple[str, bytes] | tarfile.TarInfo, missing: object = (), ends: bool = True) -> bytes:
    """A stream of these members; with ``ends`` the list of what is missing comes last."""
    stream = io.BytesIO()
    listed = [("missing.json", json.dumps(missing).encode())] if ends else []
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        for member in [*members, *listed]:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return stream.getvalue()


def taken(data: bytes | IO[bytes], **options: Any) -> tuple[dict[str, bytes], list[dict[str, str]], str]:
    """Files, what is missing, and the reason for which the stream was given up ("" when it was whole)."""
    files: dict[str, bytes] = {}
    missing: list[dict[str, str]] = []
    try:
        unpack(io.BytesIO(data) if isinstance(data, bytes) else data, ITEMS, files, missing, **options)
    except UnavailableError as error:
        return files, missing, str(error)
    return files, missing, ""


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_what_was_asked_for_is_taken() -> None:
    """Files and the host's own list of what it could not give."""
    data = tar(
        ("VERSION", b"1"), ("exchange/reports/a.xml", b"<a/>"), missing=[{"what": "log", "reason": "none"}]
    )

    assert taken(data) == (
        {"VERSION": b"1", "exchange/reports/a.xml": b"<a/>"},
        [{"what": "log", "reason": "none"}],
        "",
    )


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (("../../etc/passwd", b"x"), "its name is not plain"),
        (("/etc/passwd", b"x"), "its name is not plain"),
        (("etc/shadow", b"x"), "it was not asked for"),
        (("VERSION", b"x" * 1025), "1025 bytes exceed the 1024 that it may have"),
        (special("VERSION", tarfile.SYMTYPE, "/etc/shadow"), "it is not a plain file"),
        (special("journal.jsonl", tarfile.LNKTYPE, "VERSION"), "it is not a plain file"),
        (special("set.log", tarfile.CHRTYPE), "it is not a plain file"),
        (special("set.log", tarfile.FIFOTYPE), "it is not a plain file"),
        (special("exchange/reports", tarfile.DIRTYPE), "it is not a plain file"),
        (special("missing.json", tarfile.SYMTYPE, "/etc/shadow"), "it is not a plain file"),
    ],
)
def test_what_is_hostile_is_listed_and_the_rest_is_taken(
    member: tuple[str, bytes] | tarfile.TarInfo, reason: str
) -> None:
    """Traversal, links, devices, pipes, folders, what nobody asked for, what is too large."""
    files, missing, error = taken(tar(member, ("status.json", b"{}")))

    assert (files, error) == ({"status.json": b"{}"}, "")
    assert [entry["reason"] for entry in missing] == [reason]


def test_a_file_sent_twice_is_taken_once() -> None:
    """One name has one content, and so one digest."""
    files, missing, _ = taken(tar(("VERSION", b"1"), ("VERSION", b"2")))

    assert files == {"VERSION": b"1"}
    assert [entry["reason"] for entry in missing] == ["it was sent twice; the first is kept"]


@pytest.mark.parametrize("cut", [100, 700, 1030, 1600])
def test_a_stream_that_is_cut_short_keeps_what_came(cut: int) -> None:
    """Partial evidence is evidence, but it is said to be partial."""
    files, _, error = taken(tar(("VERSION", b"1"), ("journal.jsonl", b"j" * 600))[:cut])

    assert error
    assert set(files) <= {"VERSION"}


def test_a_stream_without_its_list_is_not_whole() -> None:
    """The program died before its end, even where the archive looks complete."""
    files, _, error = taken(tar(("VERSION", b"1"), ends=False))

    assert files == {"VERSION": b"1"}
    assert "cut short" in error


@pytest.mark.parametrize("data", [b"", b"garbage" * 1000, b"\0" * 10240, b"\xff" * 512])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    """Nothing, noise, only zeros."""
    files, _, error = taken(data)

    assert files == {}
    assert error


@pytest.mark.parametrize(
    "listed",
    [b"", b"{", b"[1]", b'[{"what": 1}]', b"null", b"[" * 100_000, b'"text"', b"\xff", b"9" * 5000],
)
def test_a_list_that_cannot_be_read_is_the_hosts_fault(listed: bytes) -> None:
    """One host's nonsense never fails the collection from the others."""
    files, _, error = taken(tar(("VERSION", b"1"), ("missing.json", listed), ends=False))

    assert files == {"VERSION": b"1"}
    assert "cannot be read" in error or "is no archive" in error


def test_a_list_is_limited_and_plain() -> None:
    """Its texts come to a terminal, a database and a page."""
    entries = [{"what": "a\x1b[31m\x00", "reason": "r" * 2000}] * (MAX_MISSING + 5)
    _, missing, error = taken(tar(missing=entries))

    assert error == ""
    assert missing[0] == {"what": "a [31m", "reason": "r" * 500}
    assert missing[-1] == {"what": "other things", "reason": "5 more are not listed"}
    assert len(missing) == MAX_MISSING + 1


def test_endless_members_end() -> None:
    """What is refused is counted too, and listed only so far."""
    stream = tar(*((f"x{number}", b"") for number in range(MAX_HOST_MEMBERS + 1)))
    _, missing, error = taken(stream)

    assert "files" in error
    assert len(missing) == MAX_MISSING


class _Endless:
    """A stream that unpacks to any size: a header first, then zeros; counts what was read."""

    def __init__(self, head: bytes) -> None:
        self._head, self.read_bytes = io.BytesIO(head), 0

    def read(self, size: int) -> bytes:
        self.read_bytes += size
        return self._head.read(size) or b"\0" * size


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"Z"])
def test_a_bomb_is_cut_off(kind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a header, a name or an unknown thing of 64 GiB: no more is read than evidence can be."""
    monkeypatch.setattr(unpacking, "MAX_HOST_BYTES", 2**20)
    info = special("VERSION", kind)
    info.size = 2**36
    stream = _Endless(info.tobuf(tarfile.GNU_FORMAT))
    files, _, error = taken(stream)  # type: ignore[arg-type]

    assert files == {}
    assert "more than evidence can be" in error
    assert stream.read_bytes < 2**26


def test_the_hosts_of_a_store_share_their_room() -> None:
    """Memory is limited for the store, not only for each host; what came before stays."""
    room = Room(10)
    first = taken(tar(("VERSION", b"123456")), reserve=room.reserve)
    second = taken(tar(("VERSION", b"1234"), ("status.json", b"{}")), reserve=room.reserve)

    assert first[2] == ""
    assert second[0] == {"VERSION": b"1234"}
    assert "together sent too much" in second[2]
