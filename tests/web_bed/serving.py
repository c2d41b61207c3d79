"""The application behind a real server on loopback, in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from pipeline.application import Garant
from pipeline.web.application import create_app
from pipeline.web.serving import Server

TOKEN = "the-token-of-the-tests"


@contextmanager
def served(app: Garant) -> Iterator[str]:
    """The address, without a slash at its end."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = Server(create_app(app, TOKEN))
        thread = threading.Thread(target=server.run, args=([listener],), name="web", daemon=True)
        thread.start()
        try:
            httpx.get(f"{address}/health", timeout=30).raise_for_status()
            yield address
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()
