"""Every way in which an answer fails to come has its own name."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from testbench.drivers.set10.wire import HANG_SECONDS, HangError, OutOfTimeError, Wire, WireError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def server() -> Iterator[Callable[[list[bytes]], int]]:
    """A server that gives one scripted answer per connection; an empty one closes without an answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(answers: list[bytes]) -> int:
        def run() -> None:
            for answer in answers:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    if answer:
                        connection.sendall(answer)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield serve
    listener.shutdown(socket.SHUT_RDWR)  # ends an accept that no client came for
    for thread in threads:
        thread.join()
    listener.close()


def _wire(port: int, seconds: float = 5.0) -> Wire:
    return Wire("127.0.0.1", port, time.monotonic() + seconds)


def test_idle_connection_that_was_closed_is_opened_again(server: Callable[[list[bytes]], int]) -> None:
    """A kept connection that the server closed costs nothing: the request goes out on a new one."""
    wire = _wire(server([OK, OK]))
    first = wire.get("/a").json()
    assert wire._connection is not None
    select.select([wire._connection.sock], [], [])  # until the server's end has arrived

    assert [first, wire.get("/b").json()] == [{}, {}]
    wire.close()


def test_fresh_connection_is_not_tried_again(server: Callable[[list[bytes]], int]) -> None:
    """A request that broke off on a fresh connection may have been acted on: it is not repeated."""
    wire = _wire(server([b""]))

    with pytest.raises(WireError, match="GET /a"):
        wire.get("/a")


def test_refused_connection_is_no_hang() -> None:
    """Nobody listens: that is not a hang."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(WireError) as caught:
        _wire(port).get("/a")

    assert not isinstance(caught.value, HangError)


@pytest.mark.parametrize(("seconds", "kind"), [(HANG_SECONDS + 0.1, HangError), (0.05, OutOfTimeError)])
def test_silence_until_the_deadline(seconds: float, kind: type[WireError]) -> None:
    """Waiting long until the run's end is a hang; a request that had hardly begun then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = _wire(listener.getsockname()[1], seconds=seconds)
        with pytest.raises(WireError) as caught:
            wire.get("/a")
    wire.close()

    assert type(caught.value) is kind


def test_body_that_is_no_json_is_none(server: Callable[[list[bytes]], int]) -> None:
    """An HTML error page is not a JSON answer."""
    wire = _wire(server([OK.replace(b"{}", b"<>")]))

    assert wire.get("/").json() is None
    wire.close()
