"""A shell on a host: runs one command after the other, with the pace, the bandwidth and the time kept."""

from __future__ import annotations

import re
import shlex
import subprocess
import threading
import time
import zlib
from contextlib import suppress
from typing import IO

import paramiko

from pipeline.diagnosis.errors import LinkError
from pipeline.diagnosis.recipe import MAX_HOST_BYTES
from pipeline.diagnosis.wire import LOWEST, Limits, Order
from pipeline.errors import UnavailableError

_BLOCK = 65_536
_TIMES = re.compile(rb"(\d+)m([0-9.]+)s\s+(\d+)m([0-9.]+)s")
_PACK = {"zstd": "| zstd -3 -q -c", "gzip": "| gzip -1 -c", "": ""}


class Shell:
    """Runs commands on the host, keeping the pace, the bandwidth and the time."""

    def __init__(self, client: paramiko.SSHClient, order: Order, limits: Limits) -> None:
        self._client, self._order, self._limits = client, order, limits
        self._began = time.monotonic()
        self._used = 0.0
        self._received = 0
        self.pack = ""
        self.tools: frozenset[str] = frozenset()

    def use(self, tools: frozenset[str]) -> None:
        """Compress with the best that the host has."""
        self.tools = tools
        self.pack = next((tool for tool in self._order.compress if tool in tools), "")

    def run(self, script: str, most: int, *, packed: bool = False) -> bytes:
        """What the script writes, unpacked.

        Raises:
            UnavailableError: it is more than ``most`` bytes, or its time is over.
            LinkError: the link broke.
        """
        pack = self.pack if packed else ""
        # `times` is of the shell and of what it waited for, as the host's own kernel counted it.
        inner = shlex.quote(f"({script}) {_PACK[pack]}; times >&2")
        data, said = self._exchange(f"{LOWEST}exec $g sh -c {inner}", most + 64 * 1024)
        content = _unpacked(pack, data, most)
        self._rest(said)
        return content

    def _exchange(self, command: str, most: int) -> tuple[bytes, bytes]:
        silence_s = self._limits.silence_s
        if time.monotonic() - self._began > self._limits.whole_s:
            raise UnavailableError(
                f"it was not done after {self._limits.whole_s:.0f} s: look at its link and load"
            )
        transport = self._client.get_transport()
        assert transport is not None
        try:
            channel = transport.open_session(window_size=self._order.window_bytes(), timeout=silence_s)
            channel.settimeout(silence_s)
            channel.exec_command(command)
            data = bytearray()
            while chunk := channel.recv(_BLOCK):
                data += chunk
                self._received += len(chunk)
                if len(data) > most or self._received > MAX_HOST_BYTES:
                    raise UnavailableError("it sent more than was asked for")
                self._order.taken(len(chunk))
            said = b""
            while chunk := channel.recv_stderr(_BLOCK):
                said = (said + chunk)[-4096:]
            code = channel.recv_exit_status()
            channel.close()
        except TimeoutError:
            raise LinkError(f"it sent nothing for {silence_s:.0f} s: look at its link and load") from None
        except (paramiko.SSHException, EOFError, ConnectionError) as error:
            raise LinkError(f"the connection broke: {error or type(error).__name__}") from error
        if code < 0:
            raise LinkError("the connection broke: look at its link, then collect again")
        return bytes(data), said

    def _rest(self, said: bytes) -> None:
        times = _TIMES.findall(said)
        if times:
            self._used += sum(60 * int(m) + float(s) for row in times[-2:] for m, s in (row[:2], row[2:]))
        wait = self._used / self._order.share - (time.monotonic() - self._began)
        if wait > 0:
            time.sleep(wait)


def _unpacked(pack: str, data: bytes, most: int) -> bytes:
    """The content of a packed piece, of at most ``most`` bytes: a bomb ends there."""
    if not pack:
        content = data
    elif pack == "gzip":
        try:
            unzip = zlib.decompressobj(wbits=31)
            content = unzip.decompress(data, most + 1)
        except zlib.error as error:
            raise UnavailableError(f"what it sent cannot be unpacked: {error}") from error
    else:
        content = _unzstd(data, most)
    if len(content) > most:
        raise UnavailableError("it sent more than was asked for")
    return content


def _unzstd(data: bytes, most: int) -> bytes:
    command = ["zstd", "-d", "-q", "-c", "-M128MB"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as unpacking:
        assert unpacking.stdin is not None
        assert unpacking.stdout is not None
        feeding = threading.Thread(target=_feed, args=(unpacking.stdin, data), daemon=True)
        feeding.start()
        content = unpacking.stdout.read(most + 1)
        unpacking.kill()
        feeding.join()
    return content


def _feed(sink: IO[bytes], data: bytes) -> None:
    with suppress(OSError), sink:
        sink.write(data)
