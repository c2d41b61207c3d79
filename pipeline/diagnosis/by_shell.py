"""Collects from a host that has no Python: a shell, ``cat`` and ``ls`` are all that it must have.

It is asked for a listing, and then for one piece of one file after the other, each through the best
compressor that it has. So a cut costs one piece; and between two pieces the host rests, for as long as the
processor's time that its own shell measured (``times``) asks for. What Python cuts on other hosts is cut
here, after it came.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import paramiko

from pipeline.diagnosis.recipe import MAX_MISSING, Item, plain_text, refusal
from pipeline.diagnosis.remote import BEFORE_IMPORT
from pipeline.diagnosis.shell import Shell
from pipeline.diagnosis.unpacking import Progress
from pipeline.diagnosis.windows import journal_window, log_window
from pipeline.diagnosis.wire import Limits, Order

#: One piece of a file: some 20 ms of a register's processor with gzip.
PIECE = 2 * 2**20
_BLOCK = 65_536
_LISTING_BYTES = 4 * 2**20
_TOOLS = ("zstd", "gzip", "dd", "head", "tail", "sha256sum", "stat", "wget", "curl")


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """What the host said of itself.

    Attributes:
        offset: of its local time from UTC.
        files: by the item's number: (path, size, time of change or None).
    """

    tools: frozenset[str]
    now: float
    offset: timedelta
    files: dict[int, list[tuple[str, int, float | None]]]


def ask(
    client: paramiko.SSHClient,
    order: Order,
    limits: Limits,
    files: dict[str, bytes],
    missing: list[dict[str, str]],
    progress: Progress,
    reserve: Callable[[int], None] = lambda _size: None,
) -> None:
    """Fill ``files`` and ``missing``; what came before an error stays, and ``progress`` knows of the rest.

    Args:
        files: what came already, before a cut: not asked for again.
        progress: how far the file came that was on its way at the cut.
        reserve: called with the bytes of each piece before it is read; may raise.

    Raises:
        LinkError: the link broke.
        UnavailableError: the host cannot be asked this way either, or it took too long.
    """
    shell = Shell(client, order, limits)
    listing = _listed(shell, order.items)
    shell.use(listing.tools)
    asking = _Asking(shell, listing, order, progress, reserve)
    found: list[dict[str, str]] = []
    for number, item in enumerate(order.items):
        try:
            for name, path, size in asking.wanted(number, item):
                if name not in files:
                    try:
                        files[name] = asking.content(item, name, path, size, found)
                    except _LeftOut as left:
                        found.append(_entry(f"{item.what}: {name}", left))
        except _LeftOut as left:
            found.append(_entry(item.what, left))
    missing += found[: max(MAX_MISSING - len(missing), 0)]


def _entry(what: str, reason: object) -> dict[str, str]:
    return {"what": plain_text(what, 200), "reason": plain_text(reason, 500)}


class _LeftOut(Exception):  # noqa: N818 - no error: it is listed
    """Something is not had; the text is the reason."""


def _listed(shell: Shell, items: Sequence[Item]) -> _Listing:
    tools = " ".join(_TOOLS)
    lines = [
        f'for t in {tools}; do command -v $t >/dev/null && echo "tool $t"; done',
        'echo "now $(date +%s) $(date +%z)"',
        # Number, size, time of change, mode, path; `ls -n` is in every system, `stat` is not.
        'p() { set -f; n=$1; f=$2; set -- $(ls -lnd$3 "$f" 2>/dev/null); m=$(stat -c %Y "$f" 2>/dev/null); '
        'test $# -gt 5 && echo "file $n $5 ${m:--} $1 $f"; set +f; }',
    ]
    for number, item in enumerate(items):
        if item.database or item.source.startswith("http:"):
            continue
        follow = "" if item.target.endswith("/") else "L"
        pattern = re.sub(r"[^A-Za-z0-9/_.*?\[\]-]", lambda char: "\\" + char[0], item.source)
        lines.append(f'for f in {pattern}; do p {number} "$f" {follow}; done')
    return _parsed(shell.run("; ".join(lines), _LISTING_BYTES).decode("utf-8", "surrogateescape"), items)


def _parsed(text: str, items: Sequence[Item]) -> _Listing:
    tools, files = set(), dict[int, list[tuple[str, int, float | None]]]()
    now, offset = time.time(), timedelta()
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        with suppress(ValueError, IndexError):  # whatever else it says is no listing
            if kind == "tool" and rest in _TOOLS:
                tools.add(rest)
            elif kind == "now":
                seconds, zone = rest.split(" ")
                now = float(seconds)
                sign = -1 if zone.startswith("-") else 1
                offset = sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
            elif kind == "file":
                number, size, changed, mode, path = rest.split(" ", 4)
                item = items[int(number)]
                if mode.startswith("-") and _is_of(path, item):
                    at = None if changed == "-" else float(changed)
                    files.setdefault(int(number), []).append((path, int(size), at))
    return _Listing(tools=frozenset(tools), now=now, offset=offset, files=files)


def _is_of(path: str, item: Item) -> bool:
    """Whether the path is what the item asks for: its listing is only its word, and names can hold lines."""
    if not item.target.endswith("/"):
        return path == item.source
    wanted, given = PurePosixPath(item.source), PurePosixPath(path)
    return fnmatchcase(str(given.parent), str(wanted.parent)) and fnmatchcase(given.name, wanted.name)


class _Asking:
    """Takes one thing after the other."""

    def __init__(
        self,
        shell: Shell,
        listing: _Listing,
        order: Order,
        progress: Progress,
        reserve: Callable[[int], None],
    ) -> None:
        self._shell, self._listing, self._order = shell, listing, order
        self._progress, self._reserve = progress, reserve
        self._now = progress.now or listing.now
        progress.now = self._now  # after a cut the same instants are meant as before
        self._since, self._until = self._now - order.since_s, self._now - order.until_s

    def wanted(self, number: int, item: Item) -> Iterator[tuple[str, str, int]]:
        """(name in the evidence, path or URL, size) of an item; raises _LeftOut for what is not had."""
        if item.database or item.source.startswith("http:"):
            yield item.target, item.source, 0
            return
        found = self._listing.files.get(number, [])
        if not found and item.required:
            raise _LeftOut(f"no such file, or not a plain one: {item.source}")
        if not item.target.endswith("/"):
            yield from ((item.target, path, size) for path, size, _ in found[:1])
            return
        begin, end = self._since - BEFORE_IMPORT, self._until + BEFORE_IMPORT
        of_window = [(at or 0.0, path, size) for path, size, at in found if at is None or begin <= at <= end]
        newest = sorted(of_window, reverse=True)[: item.max_files]
        for _, path, size in newest:
            yield item.target + PurePosixPath(path).name, path, size
        if len(of_window) > len(newest):
            raise _LeftOut(f"{len(of_window) - len(newest)} older files of the time in question")

    def content(self, item: Item, name: str, path: str, size: int, found: list[dict[str, str]]) -> bytes:
        """One file, answer or table; what is not whole is noted in ``found``."""
        refused = refusal(name, 0, self._order.items)
        if refused is not None:
            raise _LeftOut(refused)
        if item.database:
            return self._rows(item)
        if item.source.startswith("http:"):
            return self._answer(item)
        if size > item.max_bytes and not item.tail:
            raise _LeftOut(f"{size} bytes, more than the {item.max_bytes} that are taken")
        data, whole = self._file(item, name, path, size)
        data, reached = self._window(item, data)
        if not (whole or reached):
            reason = f"of {size} bytes the last {item.max_bytes} were taken"
            found.append(_entry(f"the beginning of {name}", reason))
        return data

    def _file(self, item: Item, name: str, path: str, size: int) -> tuple[bytes, bool]:
        """The file, or its end; and whether it is whole."""
        if "dd" not in self._shell.tools:
            return self._at_once(item, path, size)
        progress, quoted = self._progress, shlex.quote(path)
        if progress.name != name or not self._goes_on(quoted):
            progress.name, progress.data = name, bytearray()
            # Pieces begin at blocks; where only the end is taken, its first line is not whole anyway.
            progress.start = -(-max(size - item.max_bytes, 0) // _BLOCK) * _BLOCK
        while (left := size - progress.start - len(progress.data)) > 0:
            piece = min(PIECE, left)
            block, blocks = (progress.start + len(progress.data)) // _BLOCK, -(-piece // _BLOCK)
            self._reserve(piece)
            command = f"dd if={quoted} bs={_BLOCK} skip={block} count={blocks} 2>/dev/null"
            came = self._shell.run(command, blocks * _BLOCK, packed=True)[:piece]
            progress.data += came
            if len(came) < piece:
                raise _LeftOut("it became shorter while it was read: collect again")
        data, start = bytes(progress.data), progress.start
        progress.name, progress.data, progress.start = None, bytearray(), 0
        self._verify(quoted, data, start)
        return (data[data.find(b"\n") + 1 :], False) if start else (data, True)

    def _at_once(self, item: Item, path: str, size: int) -> tuple[bytes, bool]:
        """For a host that has not even ``dd``: through ``cat``, and after a cut from the beginning again."""
        if size > item.max_bytes and "tail" not in self._shell.tools:
            raise _LeftOut(f"{size} bytes, more than the {item.max_bytes} that are taken")
        taken = min(size, item.max_bytes)
        self._reserve(taken)
        command = f"cat < {shlex.quote(path)}"
        if size > item.max_bytes:
            command = f"tail -c {item.max_bytes} {shlex.quote(path)}"
        # It may grow meanwhile; what is more than was listed is not taken.
        data = self._shell.run(command, item.max_bytes + 4 * PIECE, packed=True)
        if size > item.max_bytes:
            return data[data.find(b"\n") + 1 :], False
        if len(data) < size:
            raise _LeftOut("it became shorter while it was read: collect again")
        return data[:size], True

    def _goes_on(self, quoted: str) -> bool:
        """Whether the file still begins with what came of it before the cut, by the host's own digest."""
        progress = self._progress
        if not progress.data or "sha256sum" not in self._shell.tools:
            return False
        skip, count = progress.start // _BLOCK, len(progress.data) // _BLOCK
        command = f"dd if={quoted} bs={_BLOCK} skip={skip} count={count} 2>/dev/null | sha256sum"
        return self._shell.run(command, 200)[:64].decode("ascii", "replace") == _sha256(bytes(progress.data))

    def _verify(self, quoted: str, data: bytes, start: int) -> None:
        if not {"sha256sum", "head"} <= self._shell.tools:
            return  # the connection's own checks have to do
        reading = f"dd if={quoted} bs={_BLOCK} skip={start // _BLOCK} 2>/dev/null"
        command = f"{reading} | head -c {len(data)} | sha256sum"
        if self._shell.run(command, 200)[:64].decode("ascii", "replace") != _sha256(data):
            raise _LeftOut("it changed while it was read: collect again")

    def _window(self, item: Item, data: bytes) -> tuple[bytes, bool]:
        if item.cut == "lines":
            return journal_window(data, self._since, self._until)
        if item.cut == "log":
            zone = timezone(self._listing.offset)
            since, until, now = (
                datetime.fromtimestamp(at, zone).replace(tzinfo=None)
                for at in (self._since, self._until, self._now)
            )
            return log_window(data, since, until, now)
        return data, False

    def _answer(self, item: Item) -> bytes:
        url = shlex.quote(item.source)
        if "curl" in self._shell.tools:
            command = f"curl -q -s -f --noproxy '*' -m 10 {url}"
        elif "wget" in self._shell.tools:
            command = f"wget -q -T 10 -O - {url}"
        else:
            raise _LeftOut("it has neither Python, curl nor wget to ask its product with")
        self._reserve(item.max_bytes)
        try:
            data = self._shell.run(f"{command} 2>/dev/null", item.max_bytes, packed=True)
        finally:
            self._reserve(-item.max_bytes)
        if not data:
            raise _LeftOut(f"{item.source} gave no answer")
        self._reserve(len(data))
        return data

    def _rows(self, item: Item) -> bytes:
        raise _LeftOut(
            "its databases are asked by Python, which it has not: set `host_python`, or install it"
        )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
