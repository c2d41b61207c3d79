"""Runs on the store's host, sent over the wire: ``python3 -I - ORDER`` with this text on stdin.

Standard library only, Python 3.9 or newer. Writes a tar stream to stdout and nothing to the host's disk, so a
full disk is no obstacle. The stream ends with ``missing.json``: what could not be had and why.
"""

import glob
import io
import json
import os
import stat
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from typing import Any

#: A document may be older than its import: it lay there while the product was down (seconds).
BEFORE_IMPORT = 86_400
#: To the product on the loopback; a proxy of the host's environment has no part in it.
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class LeftOut(Exception):  # noqa: N818 - no error: it is listed
    """Something is not in what is sent; the text is the reason."""


def sources(item: dict[str, Any], since: float) -> Iterator[tuple[str, str]]:
    """(name in the evidence, path or URL) of an item; raises LeftOut for what is not sent."""
    source, target = item["source"], item["target"]
    if source.startswith("http:"):
        yield target, source
        return
    if not target.endswith("/"):
        yield target, source
        return
    found = []
    for path in glob.glob(source):
        try:
            changed = os.lstat(path).st_mtime
        except OSError:
            continue  # moved on since the listing
        if item["cut"] != "files" or changed >= since - BEFORE_IMPORT:
            found.append((changed, path))
    newest = sorted(found, reverse=True)[: item["max_files"]]
    for _, path in newest:
        yield target + os.path.basename(path), path
    if len(found) > len(newest):
        raise LeftOut(f"{len(found) - len(newest)} older files of the time in question")
    if not found and item["required"]:
        raise LeftOut("no such file: " + source)


def content(item: dict[str, Any], source: str, since: float) -> tuple[bytes, str]:
    """The bytes of one file or answer, and what of it was left out.

    Raises OSError or LeftOut with the reason.
    """
    most = item["max_bytes"]
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
        data, reached = from_window(data, since)
    if whole or reached:
        return data, ""
    return data, f"of {size} bytes the last {most} were taken"


def from_window(data: bytes, since: float) -> tuple[bytes, bool]:
    """The journal from the shift that is open when the window begins; whether that is all in ``data``."""
    place, shift = 0, None
    for line in data.splitlines(keepends=True):
        try:
            entry = json.loads(line)
            at = datetime.fromisoformat(entry["at"].replace("Z", "+00:00")).timestamp()
            kind = entry["type"]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            place += len(line)
            continue
        if at >= since:
            start = place if shift is None else shift
            return data[start:], place > 0
        if kind == "shift.open":
            shift = place
        elif kind == "shift.close":
            shift = None
        place += len(line)
    return (data[shift:] if shift is not None else b""), place > 0


def main(order: dict[str, Any]) -> None:
    """Send everything that can be had."""
    missing = []
    # By the host's own clock: if that is wrong, so are the times in its journal.
    since = time.time() - order["seconds"]
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:

        def add(name: str, data: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))

        for item in order["items"]:
            try:
                for name, source in sources(item, since):
                    try:
                        data, left_out = content(item, source, since)
                        add(name, data)
                        if left_out:
                            missing.append({"what": "the beginning of " + name, "reason": left_out})
                    except (OSError, ValueError, LeftOut) as error:
                        missing.append({"what": item["what"] + ": " + name, "reason": str(error)})
            except LeftOut as error:
                missing.append({"what": item["what"], "reason": str(error)})
        add("missing.json", json.dumps(missing).encode())


if __name__ == "__main__":
    os.nice(19)  # the register's cashier comes first
    main(json.loads(sys.argv[1]))
