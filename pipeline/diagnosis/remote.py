"""Runs on the store's host, sent over the wire with ``windows.py`` before it; the order follows on stdin.

Standard library only, Python 3.9 or newer. Writes a compressed tar stream to stdout and nothing to the host's
disk, so a full disk is no obstacle. Each file's header says what belongs to it: its digest, from which byte
it goes on after a cut, what of it was left out. The stream ends with ``missing.json``: what could not be had,
and why.
"""

import glob
import hashlib
import io
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import IO, Any

if __name__ != "__main__":  # on the host it is one text with this one
    from pipeline.diagnosis.windows import journal_window, log_window

#: A document may be older than its import: it lay there while the product was down (seconds).
BEFORE_IMPORT = 86_400
#: Work between two looks at the share: so large are the steps that it goes in (bytes).
STEP = 64 * 1024
#: To the product on the loopback; a proxy of the host's environment has no part in it.
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class LeftOut(Exception):  # noqa: N818 - no error: it is listed
    """Something is not in what is sent; the text is the reason."""


class Pace:
    """Stop and go: never more than a share of one processor, our own work and the compressor's together.

    Measured, not guessed: after each step the time of the processor that both have used since the beginning
    is set against the time that has passed, and what is too much is waited for.
    """

    def __init__(self, share: float) -> None:
        self._share, self._began = share, time.monotonic()
        self._ticks = os.sysconf("SC_CLK_TCK")
        self.compressor: subprocess.Popen[bytes] | None = None
        # Nothing to wait for but errors: the controller is gone, or the link is.
        self._poll = select.poll()
        self._poll.register(1, 0)

    def used(self) -> float:
        """Seconds of the processor."""
        used = time.process_time()
        if self.compressor is not None:
            try:
                with open(f"/proc/{self.compressor.pid}/stat", "rb") as status:
                    fields = status.read().rpartition(b")")[2].split()
                used += (int(fields[11]) + int(fields[12])) / self._ticks
            except (OSError, IndexError, ValueError):
                pass
        return used

    def __call__(self) -> None:
        """Wait until the share is kept; ends the program when nobody listens any more."""
        rest = self.used() / self._share - (time.monotonic() - self._began)
        if self._poll.poll(max(int(rest * 1000), 0)):
            raise SystemExit(0)


class Paced:
    """A stream that is written in steps, with the pace kept after each."""

    def __init__(self, sink: "IO[bytes]", pace: Pace) -> None:
        self._sink, self._pace = sink, pace

    def write(self, data: bytes) -> int:
        """Write all of it."""
        for place in range(0, len(data), STEP):
            self._sink.write(data[place : place + STEP])
            self._pace()
        return len(data)


def opened(pace: Pace, allowed: "list[str]") -> "tuple[IO[bytes], Callable[[], None]]":
    """A compressing stream by the best that the host has, and what ends it."""
    out = sys.stdout.buffer
    if "zstd" in allowed and shutil.which("zstd"):
        child = subprocess.Popen(["zstd", "-3", "-q", "-c"], stdin=subprocess.PIPE)
        pace.compressor = child
        assert child.stdin is not None
        sink = child.stdin

        def end() -> None:
            sink.close()
            if child.wait():
                raise SystemExit(f"zstd ended with exit code {child.returncode}")

        return sink, end
    if "gzip" in allowed:
        import gzip  # a small Python may lack it, as it may lack sqlite3

        zipped = gzip.GzipFile(fileobj=out, mode="wb", compresslevel=3, mtime=0)

        def end() -> None:
            zipped.close()
            out.flush()

        return zipped, end  # type: ignore[return-value]
    return out, out.flush


def sources(item: "dict[str, Any]", since: float, until: float) -> "Iterator[tuple[str, str]]":
    """(name in the evidence, path or URL) of an item; raises LeftOut for what is not sent."""
    source, target = item["source"], item["target"]
    if not target.endswith("/"):
        if item["required"] or source.startswith("http:") or item["database"] or os.path.lexists(source):
            yield target, source
        return
    found = []
    for path in glob.glob(source):
        try:
            changed = os.lstat(path).st_mtime
        except OSError:
            continue  # moved on since the listing
        if item["cut"] != "files" or since - BEFORE_IMPORT <= changed <= until + BEFORE_IMPORT:
            found.append((changed, path))
    newest = sorted(found, reverse=True)[: item["max_files"]]
    for _, path in newest:
        yield target + os.path.basename(path), path
    if len(found) > len(newest):
        raise LeftOut(f"{len(found) - len(newest)} older files of the time in question")
    if not found and item["required"]:
        raise LeftOut("no such file: " + source)


def content(
    item: "dict[str, Any]", source: str, since: float, until: float, pace: Pace
) -> "tuple[bytes, str]":
    """The bytes of one file or answer, and what of it was left out.

    Raises OSError, ValueError, LeftOut or a database's error with the reason.
    """
    most = item["max_bytes"]
    if item["database"]:
        return rows(item, source, pace)
    if source.startswith("http:"):
        with LOOPBACK.open(source, timeout=10) as answer:
            data = answer.read(most + 1)
        if len(data) > most:
            raise LeftOut(f"larger than {most} bytes")
        return data, ""
    # Others may write into an exchange folder: a link there could show any file of the host, and a pipe would
    # hold us for ever. Fixed paths are the product's own, and may well be links to another disk.
    no_link = os.O_NOFOLLOW if item["target"].endswith("/") else 0
    descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | no_link)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise LeftOut("not a regular file")
        size, whole = status.st_size, True
        if size > most:
            if not item["tail"]:
                raise LeftOut(f"{size} bytes, more than the {most} that are taken")
            file.seek(size - most)
            file.readline()  # begin with a whole line
            whole = False
        data = file.read(most)
    reached = False
    if item["cut"] == "lines":
        data, reached = journal_window(data, since, until, pace)
    elif item["cut"] == "log":
        local = [datetime.fromtimestamp(at) for at in (since, until, time.time())]  # noqa: DTZ006 - the log's
        data, reached = log_window(data, local[0], local[1], local[2], pace)
    if whole or reached:
        return data, ""
    return data, f"of {size} bytes the last {most} were taken"


def rows(item: "dict[str, Any]", source: str, pace: Pace) -> "tuple[bytes, str]":
    """The answer of a database, one JSON object a row; nothing is written there, not even a lock file."""
    found: list[bytes] = []
    size = 0

    def add(row: "dict[str, Any]") -> bool:
        nonlocal size
        found.append(json.dumps(plain(row), ensure_ascii=False, default=str).encode() + b"\n")
        size += len(found[-1])
        return size <= int(item["max_bytes"])

    found_rows = sqlite_rows(item, source, pace) if item["database"] == "sqlite" else postgresql_rows(item)
    for row in found_rows:
        pace()
        if not add(row):
            return b"".join(found), f"the rows after the first {item['max_bytes']} bytes"
    return b"".join(found), ""


def sqlite_rows(item: "dict[str, Any]", source: str, pace: Pace) -> "Iterator[dict[str, Any]]":
    """What SQLite answers; the file is opened for reading only."""
    import sqlite3

    os.stat(source)
    # Without a log beside it nobody writes it; SQLite would make one to read by.
    alone = "" if os.path.exists(source + "-wal") else "&immutable=1"
    where = "file:" + urllib.request.pathname2url(source) + "?mode=ro" + alone
    try:
        connection = sqlite3.connect(where, uri=True, timeout=5)
        try:
            connection.row_factory = sqlite3.Row
            connection.set_progress_handler(lambda: pace() or 0, 20_000)  # type: ignore[func-returns-value]
            for row in connection.execute(item["query"]):
                yield {name: row[name] for name in row.keys()}  # noqa: SIM118 - a row is no mapping
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise LeftOut(f"the database says: {error}") from error


def postgresql_rows(item: "dict[str, Any]") -> "Iterator[dict[str, Any]]":
    """What PostgreSQL answers, in a transaction that can write nothing and ends after a minute."""
    # A person's own query, checked to be one reading statement, in a transaction that can only read.
    query = f"SELECT row_to_json(answer) FROM ({item['query']}) AS answer"  # noqa: S608
    command = ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", item["source"], "-c", query]
    if item["user"] and os.geteuid() == 0:
        command = ["runuser", "-u", item["user"], "--", *command]
    options = "-c default_transaction_read_only=on -c statement_timeout=60000"
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=90,
        check=False,
        cwd="/",
        env={**os.environ, "PGOPTIONS": options, "PGCONNECT_TIMEOUT": "10"},
    )
    if done.returncode:
        raise LeftOut("the database says: " + done.stderr.decode("utf-8", "replace").strip()[:300])
    for line in done.stdout.splitlines():
        yield json.loads(line)


def plain(row: "dict[str, Any]") -> "dict[str, Any]":
    """Documents inside a row as documents, so that the fields in them are found and masked by their names."""
    result: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, (bytes, memoryview)):
            value = f"[{len(value)} bytes]"
        if isinstance(value, str) and value[:1] in ("{", "["):
            try:
                result[name] = json.loads(value)
                continue
            except (ValueError, RecursionError):
                pass
        # A field called "document" or "code" may hold any text here: its name alone must not keep it.
        text = isinstance(value, str) and not value.replace("_", "").replace("-", "").isalnum()
        result[name + "_text" if text else name] = value
    return result


def main(order: "dict[str, Any]") -> None:
    """Send everything that can be had, but for what the controller has already."""
    pace = Pace(order["share"])
    signal.signal(signal.SIGALRM, lambda *_: stop(pace))
    signal.alarm(max(int(order["limit_s"]), 1))
    missing: list[dict[str, str]] = []
    # By the host's own clock: if that is wrong, so are the times in its journal. After a cut the same
    # instants are meant as before, or every file would have another beginning.
    now = order["now"] or time.time()
    since, until = now - order["since_s"], now - order["until_s"]
    have, resumed = set(order["have"]), order["resume"]
    sink, end = opened(pace, order["compress"])
    with tarfile.open(fileobj=Paced(sink, pace), mode="w|", bufsize=STEP) as archive:  # type: ignore[call-overload]

        def add(name: str, data: bytes, **headers: str) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.pax_headers = {"GARANT." + key: value for key, value in headers.items()}
            archive.addfile(member, io.BytesIO(data))

        for item in order["items"]:
            try:
                for name, source in sources(item, since, until):
                    if name in have:
                        continue
                    try:
                        data, left_out = content(item, source, since, until, pace)
                    except (OSError, ValueError, ImportError, LeftOut, subprocess.SubprocessError) as error:
                        if item["required"] or not isinstance(error, FileNotFoundError):
                            missing.append({"what": item["what"] + ": " + name, "reason": str(error)})
                        continue
                    headers = {"sha256": hashlib.sha256(data).hexdigest(), "now": repr(now)}
                    if left_out:
                        headers["left"] = left_out
                    start = resumed.get("bytes", 0) if resumed.get("name") == name else 0
                    if start and hashlib.sha256(data[:start]).hexdigest() == resumed["sha256"]:
                        headers["from"] = str(start)
                        data = data[start:]
                    add(name, data, **headers)
            except LeftOut as error:
                missing.append({"what": item["what"], "reason": str(error)})
        add("missing.json", json.dumps(missing).encode())
    end()


def stop(pace: Pace) -> None:
    """Its time is over: nothing of ours stays on the host, whatever the link does."""
    if pace.compressor is not None:
        pace.compressor.kill()
    os._exit(4)


if __name__ == "__main__":
    main(json.loads(sys.stdin.buffer.read()))
