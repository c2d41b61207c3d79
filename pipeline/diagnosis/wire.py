"""Runs the collecting program on a host and takes in what it sends, within limits of time and size.

Nothing that the other side does, or fails to do, keeps us longer than the limit: a host may be silent, send a
byte a minute, answer no request of the protocol, or complain without end.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import paramiko

from pipeline.diagnosis.recipe import MAX_HOST_BYTES, Item, plain_text
from pipeline.errors import GarantError, UnavailableError

_CHUNK = 256 * 1024
#: Bytes of complaints that are kept; the rest is read and dropped, or the host's window would fill with it.
_COMPLAINTS = 2000
_PROGRAM = Path(__file__).with_name("remote.py")
_NO_PYTHON, _NO_ZSTD = 91, 92


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one host, in seconds.

    Attributes:
        silence_s: between two pieces of what it sends.
        whole_s: for all of it; the link is cut then, and what came is kept.
    """

    silence_s: float = 60.0
    whole_s: float = 300.0


def require_zstd() -> None:
    """Raise GarantError when this machine cannot unpack what the hosts send."""
    if shutil.which("zstd") is None:
        raise GarantError("this machine has no zstd: apt-get install zstd (as root); see `garant doctor`")


@contextmanager
def sent(
    client: paramiko.SSHClient, items: Sequence[Item], *, python: str, seconds: float, limits: Limits
) -> Iterator[IO[bytes]]:
    """The tar stream that the program on the host writes, as it comes in.

    Args:
        python: the interpreter on the host.
        seconds: how far back the time in question goes.

    Raises:
        UnavailableError: the block failed, and the host or the link is the reason: that goes before the
            block's own error, which can only see that something is missing.
    """
    watch = _Watch(client, limits.whole_s)
    command = ["zstd", "-d", "-q", "-c", "-M128MB"]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as unzip,
        ThreadPoolExecutor(2, thread_name_prefix="wire") as readers,
        watch,
    ):
        assert unzip.stdin is not None
        assert unzip.stdout is not None
        over = threading.Event()
        taking: Future[None] | None = None
        try:
            channel = _begin(client, items, python, seconds, limits.silence_s)
            complaints = readers.submit(_complaints, channel)
            taking = readers.submit(_take, channel, unzip.stdin, complaints, over, limits.silence_s)
            yield unzip.stdout
        except BaseException:
            unzip.kill()  # or the other thread would wait for it to take more
            reason = taking.exception() if taking is not None and over.is_set() else None
            if watch.rang.is_set():
                raise UnavailableError(
                    f"it was not done after {limits.whole_s:.0f} s and was cut off: look at its link and load"
                ) from reason
            if reason is not None:
                raise reason from None
            raise
        finally:
            client.close()
            unzip.kill()


class _Watch:
    """Closes the connection when the time is over.

    That wakes every wait on it, also those of the protocol that have no timeout of their own.
    """

    def __init__(self, client: paramiko.SSHClient, seconds: float) -> None:
        self.rang = threading.Event()
        self._client = client
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_exc: object) -> None:
        self._timer.cancel()
        self._timer.join()

    def _ring(self) -> None:
        self.rang.set()
        self._client.close()


def _begin(
    client: paramiko.SSHClient, items: Sequence[Item], python: str, seconds: float, silence_s: float
) -> paramiko.Channel:
    order = json.dumps({"items": [item.as_json() for item in items], "seconds": seconds})
    interpreter = shlex.quote(python)
    transport = client.get_transport()
    assert transport is not None
    channel = transport.open_session(timeout=silence_s)
    channel.settimeout(silence_s)
    # pipefail is not in every shell; a program that died shows as an archive without missing.json
    channel.exec_command(
        f"test -x {interpreter} || exit {_NO_PYTHON}; command -v zstd >/dev/null || exit {_NO_ZSTD}; "
        f"{interpreter} -I - {shlex.quote(order)} | zstd -3 -q -c"
    )
    # A host that ended before it had read its program is told from its exit code.
    with contextlib.suppress(OSError):
        channel.sendall(_PROGRAM.read_bytes())
        channel.shutdown_write()
    return channel


def _take(
    channel: paramiko.Channel,
    sink: IO[bytes],
    complaints: Future[str],
    over: threading.Event,
    silence_s: float,
) -> None:
    """Copy to ``sink`` what the host sends; ``over`` is set when its end, good or bad, is the host's doing.

    Raises:
        UnavailableError: what it sent is not all.
    """
    received = 0
    try:
        while chunk := _received(channel, silence_s):
            received += len(chunk)
            if received > MAX_HOST_BYTES:
                raise UnavailableError(f"it sent more than {MAX_HOST_BYTES} bytes: take a shorter window")
            sink.write(chunk)
        over.set()
    except UnavailableError:
        over.set()
        channel.close()
        raise
    except OSError:  # whoever reads from the sink had enough, and says why
        channel.close()
        return
    finally:
        # The order matters: the reader sees the end of the stream only after ``over`` says whose it is.
        with contextlib.suppress(OSError):
            sink.close()
    code = channel.recv_exit_status()
    if code != 0:
        raise UnavailableError(_reason(code, plain_text(complaints.result(), 500)))


def _received(channel: paramiko.Channel, silence_s: float) -> bytes:
    try:
        return channel.recv(_CHUNK)
    except TimeoutError:
        raise UnavailableError(f"it sent nothing for {silence_s:.0f} s: look at its link and load") from None


def _reason(code: int, said: str) -> str:
    if code == _NO_PYTHON:
        return "it has no Python at the path set: correct `host_python` in garant.yaml, or install it"
    if code == _NO_ZSTD:
        return "it has no zstd: install the package zstd on the host"
    if code < 0:
        return "the connection broke: look at its link, then collect again"
    return f"its collection failed with exit code {code}: {said or 'no message'}"


def _complaints(channel: paramiko.Channel) -> str:
    """Its standard error: the beginning is kept, all of it is read, or the host would wait for us."""
    kept = b""
    while True:
        try:
            chunk = channel.recv_stderr(_CHUNK)
        except TimeoutError:  # silence here is good news
            if channel.closed:
                break
            continue
        if not chunk:
            break
        kept = (kept + chunk)[:_COMPLAINTS]
    return kept.decode("utf-8", "replace")
