"""Runs the collecting program on a host and takes in what it sends, within limits of time and size.

Nothing that the other side does, or fails to do, keeps us longer than the limit: a host may be silent, send a
byte a minute, answer no request of the protocol, or complain without end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import paramiko

from pipeline.diagnosis.errors import LinkError
from pipeline.diagnosis.recipe import MAX_HOST_BYTES, Item, plain_text
from pipeline.diagnosis.unpacking import Progress
from pipeline.errors import GarantError, UnavailableError

_CHUNK = 256 * 1024
#: Bytes of complaints that are kept; the rest is read and dropped, or the host's window would fill with it.
_COMPLAINTS = 2000
#: One text on the host: the first is what the second imports here.
_PROGRAM = tuple(Path(__file__).with_name(name) for name in ("windows.py", "remote.py"))
_NO_PYTHON = 91
_ZSTD, _GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
#: Into ``$g``: the lowest priority for processor and disk, where the host knows them: cashiers come first.
LOWEST = (
    'g=; command -v nice >/dev/null && g="nice -n 19"; command -v ionice >/dev/null && g="ionice -c 3 $g"; '
)
#: The least that a connection holds in flight when the bandwidth is limited (bytes).
_LEAST_WINDOW = 64 * 1024


class NoPythonError(UnavailableError):
    """The host has no Python at the path set."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one host, in seconds.

    Attributes:
        silence_s: between two pieces of what it sends.
        whole_s: for all of it; the link is cut then, and what came is kept.
        patience_s: how long a link that broke in the midst of it may stay away.
    """

    silence_s: float = 60.0
    whole_s: float = 900.0
    patience_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked of a host.

    Attributes:
        items: what is collected.
        python: the interpreter on the host.
        since_s: how far back the time in question begins (seconds before now).
        until_s: how far back it ends.
        share: of one processor that the collection may take there.
        compress: what it may compress with; it takes the first that it has, or none.
        rate: bytes a second that the link may carry, None for no limit; ``taken`` keeps it.
        taken: called with the bytes of each piece that came; it waits where a limit asks for it.
    """

    items: Sequence[Item]
    python: str
    since_s: float
    until_s: float = 0.0
    share: float = 0.25
    compress: Sequence[str] = ("zstd", "gzip")
    rate: int | None = None
    taken: Callable[[int], None] = lambda _size: None

    def window_bytes(self) -> int:
        """What the host may send before we have taken it: a limit would mean little with megabytes of it."""
        if self.rate is None:
            return paramiko.common.DEFAULT_WINDOW_SIZE
        return max(_LEAST_WINDOW, min(self.rate // 2, paramiko.common.DEFAULT_WINDOW_SIZE))

    def text(self, limit_s: float, have: Sequence[str], progress: Progress) -> str:
        """For the program on the host.

        Args:
            limit_s: after so many seconds it ends itself.
            have: what came before a cut.
            progress: of the file that was on its way then.
        """
        resume: dict[str, Any] = {}
        if progress.name is not None and progress.data:
            digest = hashlib.sha256(progress.data).hexdigest()
            resume = {"name": progress.name, "bytes": len(progress.data), "sha256": digest}
        return json.dumps(
            {
                "items": [item.as_json() for item in self.items],
                "since_s": self.since_s,
                "until_s": self.until_s,
                "now": progress.now,
                "share": self.share,
                "compress": list(self.compress),
                "limit_s": limit_s,
                "have": list(have),
                "resume": resume,
            }
        )


def require_zstd() -> None:
    """Raise GarantError when this machine cannot unpack what the hosts send."""
    if shutil.which("zstd") is None:
        raise GarantError("this machine has no zstd: apt-get install zstd (as root); see `garant doctor`")


@contextmanager
def sent(
    client: paramiko.SSHClient,
    order: Order,
    *,
    limits: Limits,
    have: Sequence[str] = (),
    progress: Progress | None = None,
) -> Iterator[IO[bytes]]:
    """The tar stream that the program on the host writes, as it comes in.

    Args:
        have: files that came before a cut: not sent again.
        progress: how far the one that was cut had come: it goes on from there.

    Raises:
        UnavailableError: the block failed, and the host or the link is the reason: that goes before the
            block's own error, which can only see that something is missing. LinkError: it was the link.
        NoPythonError: the host has no Python there.
    """
    watch = _Watch(client, limits.whole_s)
    with ThreadPoolExecutor(2, thread_name_prefix="wire") as readers, watch:
        over = threading.Event()
        taking: Future[None] | None = None
        unpacking: subprocess.Popen[bytes] | None = None
        try:
            channel = _begin(client, order, order.text(limits.whole_s, have, progress or Progress()), limits)
            complaints = readers.submit(_complaints, channel)
            first = _first(channel, complaints, limits.silence_s)
            unpacking = subprocess.Popen(
                _unpacker(first), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            assert unpacking.stdin is not None
            assert unpacking.stdout is not None
            taking = readers.submit(
                _take, channel, first, unpacking.stdin, complaints, over, order.taken, limits.silence_s
            )
            yield unpacking.stdout
        except BaseException as error:
            if unpacking is not None:
                unpacking.kill()  # or the other thread would wait for it to take more
            reason = taking.exception() if taking is not None and over.is_set() else None
            if watch.rang.is_set():
                raise UnavailableError(
                    f"it was not done after {limits.whole_s:.0f} s and was cut off: look at its link and load"
                ) from reason
            if reason is not None:
                raise reason from None
            if isinstance(error, (paramiko.SSHException, EOFError, ConnectionError, TimeoutError)):
                raise LinkError(f"the connection broke: {error or type(error).__name__}") from error
            raise
        finally:
            client.close()
            if unpacking is not None:
                unpacking.kill()
                with unpacking:  # closes its pipes and waits for it
                    pass


def _unpacker(first: bytes) -> list[str]:
    """What unpacks a stream that begins so; each host compresses with what it has."""
    if first.startswith(_ZSTD):
        return ["zstd", "-d", "-q", "-c", "-M128MB"]
    return ["gzip", "-d", "-c"] if first.startswith(_GZIP) else ["cat"]


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


def _begin(client: paramiko.SSHClient, order: Order, text: str, limits: Limits) -> paramiko.Channel:
    program = b"\n".join(part.read_bytes() for part in _PROGRAM)
    interpreter = shlex.quote(order.python)
    transport = client.get_transport()
    assert transport is not None
    channel = transport.open_session(window_size=order.window_bytes(), timeout=limits.silence_s)
    channel.settimeout(limits.silence_s)
    # The program is read from stdin, not from a file: the disk may be full, and nothing is to be left on it.
    reader = f"import sys; exec(compile(sys.stdin.buffer.read({len(program)}), 'collect', 'exec'))"
    channel.exec_command(
        f'test -x {interpreter} || exit {_NO_PYTHON}; {LOWEST}exec $g {interpreter} -I -c "{reader}"'
    )
    # A host that ended before it had read its program is told from its exit code.
    with contextlib.suppress(OSError):
        channel.sendall(program + text.encode())
        channel.shutdown_write()
    return channel


def _first(channel: paramiko.Channel, complaints: Future[str], silence_s: float) -> bytes:
    """The stream's first bytes, which say how it is compressed; raises as ``_take`` when there are none."""
    first = b""
    while len(first) < len(_ZSTD) and (chunk := _received(channel, silence_s)):
        first += chunk
    if not first:
        _require_good_end(channel, complaints)
    return first


def _take(
    channel: paramiko.Channel,
    first: bytes,
    sink: IO[bytes],
    complaints: Future[str],
    over: threading.Event,
    taken: Callable[[int], None],
    silence_s: float,
) -> None:
    """Copy to ``sink`` what the host sends; ``over`` is set when its end, good or bad, is the host's doing.

    Raises:
        UnavailableError: what it sent is not all.
    """
    received, chunk = 0, first
    try:
        while chunk:
            received += len(chunk)
            if received > MAX_HOST_BYTES:
                raise UnavailableError(f"it sent more than {MAX_HOST_BYTES} bytes: take a shorter window")
            sink.write(chunk)
            taken(len(chunk))
            chunk = _received(channel, silence_s)
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
    _require_good_end(channel, complaints)


def _require_good_end(channel: paramiko.Channel, complaints: Future[str]) -> None:
    code = channel.recv_exit_status()
    if code == _NO_PYTHON:
        raise NoPythonError("it has no Python at the path set: correct `host_python` in garant.yaml")
    if code < 0:
        raise LinkError("the connection broke: look at its link, then collect again")
    if code != 0:
        said = plain_text(complaints.result(), 500)
        raise UnavailableError(f"its collection failed with exit code {code}: {said or 'no message'}")


def _received(channel: paramiko.Channel, silence_s: float) -> bytes:
    try:
        return channel.recv(_CHUNK)
    except TimeoutError:
        raise LinkError(f"it sent nothing for {silence_s:.0f} s: look at its link and load") from None


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
