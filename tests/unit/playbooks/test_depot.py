"""Registers take the release from their server's depot, served as on the hosts by Python's http.server."""

import functools
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from garant.depot import Papers, fetch_package, fetch_papers, place, read_staged
from garant.errors import RefusedError


class Quiet(http.server.SimpleHTTPRequestHandler):
    #: Called with the path of each request, before it is answered.
    heed: Callable[[str], None] = staticmethod(lambda path: None)

    def do_GET(self) -> None:
        type(self).heed(self.path)
        super().do_GET()

    def log_message(self, *args: Any) -> None: ...


Serve = Callable[[Path], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a folder on loopback; returns its URL."""
    servers: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(folder: Path) -> str:
        handler = functools.partial(Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    Quiet.heed = staticmethod(lambda path: None)
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def store(host_of: Any, release_of: Any, desk: Any, serve: Serve) -> Any:
    """An updated server with its depot, the release, and a register of it."""
    server, release = host_of("server"), release_of("10.4.2.0")
    assert desk.update(server, release)["state"] == "done"
    register = host_of("register", server_url=server.url)
    digest = json.loads((release / "manifest.json").read_text())["digest"]
    return server, register, digest, serve(server.root / "var/lib/garant/depot")


def test_register_is_updated_from_its_server(store: Any, desk: Any) -> None:
    """Given the digest and the depot alone, a register fetches, verifies and installs the release."""
    _, register, digest, url = store

    result = desk.call(register, "update", digest=digest, depot_url=url)

    assert (result["state"], register.version()) == ("done", "10.4.2.0"), result["reason"]
    staged = register.root / "var/lib/garant/staging" / digest.removeprefix("sha256:")
    assert not (staged / "package.tar.zst").exists()


def test_shift_opened_during_the_transfer_is_noticed(store: Any, desk: Any) -> None:
    """Trade is looked at again right before the stop: what was true before the transfer may not be so now."""
    _, register, digest, url = store

    def open_shift(path: str) -> None:
        if path.endswith("package.tar.zst"):
            register.says(shift={"number": 8, "open": True})

    Quiet.heed = staticmethod(open_shift)

    result = desk.call(register, "update", digest=digest, depot_url=url)

    assert (result["state"], result["phases"][-1]["name"]) == ("refused", "recheck")
    assert "shift 8 is open" in result["reason"]
    assert register.starts_and_stops() == ["start"]


def test_stripped_signature_in_the_depot_is_refused(store: Any, desk: Any) -> None:
    """The register verifies itself: a depot without the second signature brings nothing."""
    server, register, digest, url = store
    folder = server.root / "var/lib/garant/depot" / digest.removeprefix("sha256:")
    (folder / "signatures.json").write_text('["anna.sig"]')

    result = desk.call(register, "update", digest=digest, depot_url=url)

    assert (result["state"], register.version()) == ("refused", "10.4.1.0")
    assert "1 of 2" in result["reason"]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 100_000])
def test_altered_package_in_the_depot_is_refused(store: Any, desk: Any, content: bytes) -> None:
    """Another size or content than was signed never reaches the releases' folder."""
    server, register, digest, url = store
    package = server.root / "var/lib/garant/depot" / digest.removeprefix("sha256:") / "package.tar.zst"
    package.unlink()
    package.write_bytes(content)

    result = desk.call(register, "update", digest=digest, depot_url=url)

    assert (result["state"], register.version()) == ("refused", "10.4.1.0")
    assert [path.name for path in (register.root / "opt/set/releases").iterdir()] == ["10.4.1.0"]


def test_same_size_other_content_is_refused(store: Any, desk: Any) -> None:
    """A flipped byte does not change the size; the digest finds it."""
    server, register, digest, url = store
    package = server.root / "var/lib/garant/depot" / digest.removeprefix("sha256:") / "package.tar.zst"
    content = bytearray(package.read_bytes())
    content[50] ^= 1
    package.unlink()
    package.write_bytes(bytes(content))

    assert "approved is" in desk.call(register, "update", digest=digest, depot_url=url)["reason"]


def test_release_that_is_not_offered_is_refused(store: Any, desk: Any) -> None:
    """Before the server was staged its registers are told so, by name."""
    _, register, _, url = store

    result = desk.call(register, "update", digest="sha256:" + "0" * 64, depot_url=url)

    assert result["state"] == "refused"
    assert "stage the release on the store's server first" in result["reason"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ftp://127.0.0.1", "file:///etc/passwd"])
def test_depot_that_cannot_be_used_is_refused(url: str, tmp_path: Path) -> None:
    """Silence and other protocols are refusals: nothing was touched."""
    with pytest.raises(RefusedError):
        fetch_package(url, "sha256:" + "0" * 64, tmp_path, 10)


@pytest.mark.parametrize("index", ["{", "3", '["../../etc/passwd"]', '[".hidden"]'])
def test_depot_with_a_senseless_index_is_refused(serve: Serve, tmp_path: Path, index: str) -> None:
    """Names from the depot become paths on the host, so they are checked."""
    folder = tmp_path / ("0" * 64)
    folder.mkdir()
    (folder / "signatures.json").write_text(index)
    (folder / "manifest.json").write_text("{}")

    with pytest.raises(RefusedError):
        fetch_papers(serve(tmp_path), "sha256:" + "0" * 64)


def test_papers_are_kept_byte_for_byte(tmp_path: Path) -> None:
    """Signatures are over bytes: what is placed is what is read."""
    papers = Papers(b'{"a":"\xd1\x81"}\n', {"anna.sig": b"one\n"})

    place(tmp_path / "s", papers)

    assert read_staged(tmp_path / "s") == papers
