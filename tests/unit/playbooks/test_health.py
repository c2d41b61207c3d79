"""When a product counts as healthy; a real HTTP server, virtual time."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from garant.errors import ChangeError
from garant.layout import HostConfig, HostLayout
from garant.product import POLL, STEADY, Product


@dataclass
class Host:
    """Answers by its own seconds, which pass only when the product's waiting sleeps."""

    #: (from second, to second) in which it is ready; otherwise it answers 503.
    ready: list[tuple[float, float]] = field(default_factory=list)
    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def product(host: Host, tmp_path: Path) -> Iterator[Product]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_ready = any(begin <= host.now < end for begin, end in host.ready)
            body = json.dumps({"version": "10.4.8.0", "state": "ready", "goods": 40}).encode()
            self.send_response(200 if is_ready else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Product(HostLayout(tmp_path), HostConfig(role="register", port=server.server_port, server_url=None))
    server.shutdown()
    server.server_close()
    thread.join()


def healthy_after(product: Product, host: Host, timeout: float) -> float:
    product.wait_healthy("10.4.8.0", 40, timeout, monotonic=host.monotonic, sleep=host.sleep)
    return host.now


def test_ready_for_a_while_is_healthy(product: Product, host: Host) -> None:
    """A product that comes up and stays is healthy as soon as it has stayed for a moment."""
    host.ready = [(2.0, 1e9)]

    assert healthy_after(product, host, 8.0) == pytest.approx(2.0 + STEADY, abs=2 * POLL)


def test_a_product_that_dies_and_is_restarted_is_not_healthy(product: Product, host: Host) -> None:
    """Ready now and then, between two restarts, is not healthy: the host would be left with it."""
    host.ready = [(second, second + STEADY / 2) for second in range(60)]

    with pytest.raises(ChangeError, match="not healthy after 8 s: it does not answer"):
        healthy_after(product, host, 8.0)


def test_a_late_start_is_watched_to_its_end(product: Product, host: Host) -> None:
    """One that is ready just before the time is over still gets its moment to prove itself."""
    host.ready = [(7.8, 1e9)]

    assert healthy_after(product, host, 8.0) > 8.0
