"""The product on this host: what it says about itself, stopping and starting it."""

import http.client
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from .errors import ChangeError
from .layout import HostConfig, HostLayout

STATUS_TIMEOUT = 3.0  # seconds
CONTROL_TIMEOUT = 120.0  # seconds for stop and for start
POLL = 0.1  # seconds between two looks at a starting product
STEADY = 1.0  # seconds without a break: a product that dies and is restarted answers now and then, too
MAX_STATUS = 16 << 20  # bytes; a server lists its registers

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Status = dict[str, Any]


def read_status(url: str) -> Status | None:
    """Return what GET ``url``/status answers, or None when it does not answer properly."""
    try:
        with _DIRECT.open(f"{url.rstrip('/')}/status", timeout=STATUS_TIMEOUT) as answer:
            value = json.loads(answer.read(MAX_STATUS))
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return value if isinstance(value, dict) else None


def unhealthy_because(status: Status | None, version: str, goods: int) -> str | None:
    """Return why the product is not healthy (pure): it answers, is ready, is ``version``, keeps its goods."""
    if status is None:
        return "it does not answer"
    if status.get("version") != version:
        return f"it says version {status.get('version')} instead of {version}"
    if status.get("state") != "ready":
        return f"its state is {status.get('state')!r} instead of 'ready'"
    found = status.get("goods")
    if not isinstance(found, int) or found < goods:
        return f"it knows {found} goods, before it knew {goods}"
    return None


class Product:
    """SET on this host."""

    def __init__(self, layout: HostLayout, config: HostConfig, lock: int | None = None) -> None:
        """``lock``: handle of the host's lock, shared with the command that stops the product.

        A stop whose worker was killed goes on by itself. It must not hit the product that a second worker has
        started meanwhile, so the host stays locked until it has ended. A start does not get the handle: a
        daemon would keep it for ever.
        """
        self._lock = lock
        self._control = layout.control(config.role)
        self._url = f"http://127.0.0.1:{config.port}"
        self._server_url = config.server_url
        self.role = config.role

    def status(self) -> Status | None:
        """What the product says, or None."""
        return read_status(self._url)

    def server_status(self) -> Status | None:
        """What this register's server says, or None."""
        return read_status(self._server_url) if self._server_url else None

    def stop(self) -> str:
        """Stop it; ChangeError when the command fails or the product still answers afterwards."""
        said = self._run("stop", () if self._lock is None else (self._lock,))
        if self.status() is not None:
            raise ChangeError(f"{self._control} stop ended well, but the product still answers")
        return said

    def start(self) -> str:
        """Start it; ChangeError when the command fails."""
        return self._run("start", ())

    def start_again(
        self,
        timeout: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> str:
        """Start what must serve, trying for ``timeout`` seconds; ChangeError when all of them fail.

        A supervisor that goes down with the host refuses every command for a moment. Giving up at once would
        call a person to a host that only restarts; so we go on until it comes to itself or we die with it.
        """
        end = monotonic() + timeout
        while True:
            try:
                return self.start()
            except ChangeError:
                if monotonic() >= end:
                    raise
            sleep(POLL)

    def _run(self, verb: str, handles: tuple[int, ...]) -> str:
        command = [str(self._control), verb]
        try:
            # No pipe: a daemon that it starts would inherit its end, and we would wait for its end.
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=CONTROL_TIMEOUT,
                check=False,
                pass_fds=handles,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ChangeError(f"{' '.join(command)}: {error}") from error
        if done.returncode != 0:
            raise ChangeError(f"{' '.join(command)} ended with {done.returncode}")
        return " ".join(command)

    def wait_healthy(
        self,
        version: str,
        goods: int,
        timeout: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> str:
        """Wait until the product is healthy and stays so for ``STEADY``; ``timeout`` in seconds.

        Raises:
            ChangeError: it was not healthy in time; the message says what was wrong when it last was not.
        """
        end, since, trouble = monotonic() + timeout, monotonic(), "it does not answer"
        while True:
            status = self.status()
            why = unhealthy_because(status, version, goods)
            if why is not None:
                since, trouble = monotonic(), why
            elif monotonic() - since >= STEADY:
                assert status is not None
                return f"version {version}, ready, {status['goods']} goods"
            if monotonic() >= (end if why is not None else end + STEADY):
                raise ChangeError(f"version {version} is not healthy after {timeout:g} s: {trouble}")
            sleep(POLL)
