"""The program that runs on the host, run here."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.diagnosis import remote, windows
from pipeline.diagnosis.recipe import Item

#: 2026-01-01T00:00:00Z
WINDOW = 1_767_225_600.0
END = WINDOW + 86400 * 90


def order(*items: Item, seconds: float = 86400.0, **changes: Any) -> bytes:
    """What the program is given on its stdin after its own text."""
    asked = {
        "items": [item.as_json() for item in items], "since_s": seconds, "until_s": 0, "now": None,
        "share": 1.0, "compress": [], "limit_s": 60, "have": [], "resume": {},
    }  # fmt: skip
    return json.dumps({**asked, **changes}).encode()


def program() -> bytes:
    """Both of its files, as they are sent."""
    return b"\n".join(Path(module.__file__).read_bytes() for module in (windows, remote))


def ran(stdin: bytes, **options: Any) -> subprocess.CompletedProcess[bytes]:
    code = f"import sys; exec(compile(sys.stdin.buffer.read({len(program())}), 'collect', 'exec'))"
    return subprocess.run(
        [sys.executable, "-I", "-c", code],
        input=program() + stdin,
        capture_output=True,
        check=True,
        **options,
    )


def opened(data: bytes) -> tuple[dict[str, bytes], list[dict[str, str]], dict[str, dict[str, str]]]:
    """Files, what is missing, and the header of each file."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as archive:
        files, headers = {}, {}
        for member in archive:
            files[member.name] = archive.extractfile(member).read()  # type: ignore[union-attr]
            headers[member.name] = {k.removeprefix("GARANT."): v for k, v in member.pax_headers.items()}
    missing: list[dict[str, str]] = json.loads(files.pop("missing.json"))
    return files, missing, headers


def sent(*items: Item, seconds: float = 86400.0) -> tuple[dict[str, bytes], list[dict[str, str]]]:
    """What the program sends for these items: files, and what is missing or left out."""
    done = ran(order(*items, seconds=seconds), env={"http_proxy": "http://127.0.0.1:9"})
    files, missing, headers = opened(done.stdout)
    left = [{"what": name, "reason": header["left"]} for name, header in headers.items() if "left" in header]
    return files, missing + left


def line(day: int, kind: str = "receipt.close") -> bytes:
    return json.dumps({"at": f"2026-01-{day:02d}T00:00:00+00:00", "type": kind}).encode() + b"\n"


@pytest.fixture
def product() -> Iterator[str]:
    """A product that answers on the loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * 2000)

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/status"
        server.shutdown()


def test_files_and_answers_are_sent(tmp_path: Path, product: str) -> None:
    """A file, and an answer of the product past any proxy of the host's environment."""
    (tmp_path / "VERSION").write_text("1\n")
    files, missing = sent(
        Item(what="version", source=str(tmp_path / "VERSION"), target="VERSION"),
        Item(what="status", source=product, target="status.json"),
    )

    assert files == {"VERSION": b"1\n", "status.json": b"x" * 2000}
    assert missing == []


def test_what_cannot_be_had_is_listed_and_the_rest_is_sent(tmp_path: Path, product: str) -> None:
    """A missing file, a silent product, an answer and a file that are too large: each with its reason."""
    (tmp_path / "large").write_bytes(b"x" * 20)
    (tmp_path / "VERSION").write_text("1\n")
    files, missing = sent(
        Item(what="journal", source=str(tmp_path / "none"), target="journal.jsonl"),
        Item(what="prices", source="http://127.0.0.1:9/catalog", target="catalog.json"),
        Item(what="status", source=product, target="status.json", max_bytes=1999),
        Item(what="configuration", source=str(tmp_path / "large"), target="set.json", max_bytes=19),
        Item(what="version", source=str(tmp_path / "VERSION"), target="VERSION"),
    )

    assert list(files) == ["VERSION"]
    assert [entry["what"].split(":")[0] for entry in missing] == [
        "journal",
        "prices",
        "status",
        "configuration",
    ]
    assert "No such file" in missing[0]["reason"]
    assert "larger than 1999" in missing[2]["reason"]
    assert "20 bytes, more than the 19" in missing[3]["reason"]


def test_links_and_pipes_in_an_exchange_folder_are_not_followed(tmp_path: Path) -> None:
    """Who may write there can neither show a file of the host nor hold the collection for ever."""
    (tmp_path / "secret").write_text("root:x")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.xml").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "pipe.xml")
    (folder / "good.xml").write_text("<a/>")
    files, missing = sent(Item(what="documents", source=f"{folder}/*.xml", target="in/"))

    assert files == {"in/good.xml": b"<a/>"}
    assert sorted(entry["what"] for entry in missing) == ["documents: in/link.xml", "documents: in/pipe.xml"]


def test_documents_of_before_the_window_stay_where_they_are(tmp_path: Path) -> None:
    """By their time of change, with a day's allowance; the newest go first where there are too many."""
    for age in range(6):
        file = tmp_path / f"{age}.xml"
        file.write_text("<a/>")
        at = file.stat().st_mtime - 86400 * age
        os.utime(file, (at, at))
    item = Item(what="documents", source=f"{tmp_path}/*.xml", target="in/", cut="files", max_files=2)
    files, missing = sent(item, seconds=86400 * 2.5)

    assert list(files) == ["in/0.xml", "in/1.xml"]
    assert missing == [{"what": "documents", "reason": "2 older files of the time in question"}]


def test_the_end_of_a_large_log_is_sent_and_that_is_said(tmp_path: Path) -> None:
    """Whole lines only."""
    (tmp_path / "log").write_bytes(b"".join(b"line %04d\n" % number for number in range(1000)))
    files, missing = sent(
        Item(what="log", source=str(tmp_path / "log"), target="set.log", max_bytes=105, tail=True)
    )

    assert files["set.log"] == b"".join(b"line %04d\n" % number for number in range(990, 1000))
    assert missing == [{"what": "set.log", "reason": "of 10000 bytes the last 105 were taken"}]


def test_a_journal_begins_with_the_shift_that_is_open_when_the_window_begins() -> None:
    """What happened in an older shift is not evidence; what the window's shift began with is."""
    older = line(1, "shift.open") + line(1) + line(1, "shift.close")
    since = WINDOW + 86400 * 4
    of_window = line(2, "shift.open") + line(3) + line(6)

    assert windows.journal_window(older + of_window, since, END) == (of_window, True)
    assert windows.journal_window(older + line(6), since, END) == (line(6), True)
    assert windows.journal_window(line(6), since, END) == (line(6), False)
    assert windows.journal_window(older, since, END) == (b"", True)
    assert windows.journal_window(older + line(2, "shift.open"), since, END) == (line(2, "shift.open"), True)


def test_broken_lines_of_a_journal_are_passed_over() -> None:
    """A journal that was cut or tampered with still gives its window."""
    broken = b"\xff\xfe\n{}\n[]\n" + b'{"at": 1, "type": 2}\n' + b"[" * 5000 + b"\n"
    data = broken + line(1) + broken + line(6) + broken

    assert windows.journal_window(data, WINDOW + 86400 * 4, END) == (line(6) + broken, True)


def test_a_huge_journal_whose_window_is_in_its_end_misses_nothing(tmp_path: Path) -> None:
    """Only a window that begins before what was taken makes the journal partial."""
    now = datetime.now(UTC)  # the program asks the host's clock
    at = [
        json.dumps({"at": (now - timedelta(seconds=age)).isoformat(), "type": "x"})
        for age in range(1000, 0, -1)
    ]
    (tmp_path / "journal").write_text("\n".join(at) + "\n")
    size = len(at[0]) + 1
    item = Item(
        what="journal", source=str(tmp_path / "journal"), target="journal.jsonl",
        max_bytes=size * 500, tail=True, cut="lines",
    )  # fmt: skip
    short, long = sent(item, seconds=60), sent(item, seconds=900)

    assert short[1] == []
    assert 50 <= short[0]["journal.jsonl"].count(b"\n") <= 61
    assert [entry["what"] for entry in long[1]] == ["journal.jsonl"]


def test_the_rows_of_a_database_are_sent_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    """One object a row; documents as documents and free texts under a name of their own, for the masker."""
    folder = tmp_path / "db"
    folder.mkdir()
    file = folder / "set.db"
    with contextlib.closing(sqlite3.connect(file)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE receipt(number, document, code, note)")
        made.execute("INSERT INTO receipt VALUES(1, '{\"cardNumber\": \"1\"}', 'A-1', 'Ivan Petrov')")
        made.commit()
    query = "SELECT * FROM receipt"
    (tmp_path / "text").write_text("no database")
    files, missing = sent(
        Item(what="rows", source=str(file), target="rows.jsonl", database="sqlite", query=query),
        Item(what="other", source=str(tmp_path / "text"), target="x.jsonl", database="sqlite", query=query),
        Item(
            what="older", source=str(tmp_path / "none"), target="y.jsonl", database="sqlite", query=query,
            required=False,
        ),
    )  # fmt: skip

    assert json.loads(files["rows.jsonl"]) == {
        "number": 1, "document": {"cardNumber": "1"}, "code": "A-1", "note_text": "Ivan Petrov",
    }  # fmt: skip
    assert [path.name for path in folder.iterdir()] == ["set.db"]
    assert [entry["what"] for entry in missing] == ["other: x.jsonl"]
    assert "the database says" in missing[0]["reason"]


def test_what_came_before_a_cut_is_not_sent_again(tmp_path: Path) -> None:
    """Whole files are passed over, the broken one goes on at its byte; unless its beginning has changed."""
    (tmp_path / "VERSION").write_text("1\n")
    (tmp_path / "log").write_bytes(b"0123456789")
    items = (
        Item(what="version", source=str(tmp_path / "VERSION"), target="VERSION"),
        Item(what="log", source=str(tmp_path / "log"), target="set.log"),
    )

    def again(prefix: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
        resume = {"name": "set.log", "bytes": len(prefix), "sha256": hashlib.sha256(prefix).hexdigest()}
        done = ran(order(*items, have=["VERSION"], resume=resume, now=1_800_000_000.0))
        files, _, headers = opened(done.stdout)
        return files, headers["set.log"]

    files, header = again(b"0123")
    assert (files, header["from"]) == ({"set.log": b"456789"}, "4")
    assert header["sha256"] == hashlib.sha256(b"0123456789").hexdigest()
    assert float(header["now"]) == 1_800_000_000.0
    files, header = again(b"9999")
    assert (files, "from" in header) == ({"set.log": b"0123456789"}, False)


@pytest.mark.parametrize(("allowed", "magic"), [("zstd", b"\x28\xb5\x2f\xfd"), ("gzip", b"\x1f\x8b")])
def test_it_compresses_with_what_both_sides_have(tmp_path: Path, allowed: str, magic: bytes) -> None:
    """And with nothing, where there is nothing."""
    (tmp_path / "VERSION").write_text("1\n")
    item = Item(what="version", source=str(tmp_path / "VERSION"), target="VERSION")

    assert ran(order(item, compress=[allowed])).stdout.startswith(magic)
    bare = ran(order(item, compress=["zstd"]), env={"PATH": str(tmp_path)})
    assert opened(bare.stdout)[0] == {"VERSION": b"1\n"}
