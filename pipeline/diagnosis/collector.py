"""Collects from many hosts at once; what a host does not give is listed with the reason."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paramiko

from pipeline.diagnosis.recipe import MAX_HOST_BYTES, MAX_HOST_FILES, Item, recipe, refusal
from pipeline.errors import GarantError, UnavailableError
from pipeline.fleet.ssh import connect
from pipeline.fleet.tables import HostRow

#: Hosts at once: more do not make it faster on two cores (DESIGN section 9).
AT_ONCE = 10
_CHUNK = 256 * 1024
_MAX_COMPRESSED = MAX_HOST_BYTES
_PROGRAM = Path(__file__).with_name("remote.py")


@dataclass(kw_only=True)
class Collected:
    """What one host gave, in memory and not yet masked: nothing of it may be stored as it is."""

    host: str
    role: str
    register: int | None
    files: dict[str, bytes] = field(default_factory=dict)
    missing: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def version(self) -> str | None:
        """The product's version on the host, when it could be read."""
        return self.files.get("VERSION", b"").decode("ascii", "replace").strip() or None


def collect(
    hosts: Sequence[HostRow],
    *,
    identity: Path,
    python: str,
    timeout_s: float = 60.0,
    done: Callable[[Collected], None] = lambda _: None,
) -> list[Collected]:
    """Collect from all hosts, ``AT_ONCE`` at a time; never raises for what a host does.

    Args:
        identity: the SSH key to log in with.
        python: the interpreter on the hosts.
        timeout_s: longest silence of one host, in seconds.
        done: called as each host is finished, in the order in which they finish.
    """
    results: list[Collected] = []
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="collect") as pool:
        for result in pool.map(lambda host: _collect_one(host, identity, python, timeout_s), hosts):
            done(result)
            results.append(result)
    return results


def _collect_one(host: HostRow, identity: Path, python: str, timeout_s: float) -> Collected:
    result = Collected(host=host.id, role=host.role, register=host.register)
    begun = time.monotonic()
    items = recipe(host.role)
    try:
        with connect(host, identity=identity, timeout_s=timeout_s) as client:
            stream = _run(client, items, python, timeout_s)
        _unpack(stream, items, result)
    except (GarantError, OSError, paramiko.SSHException, EOFError) as error:
        reason = str(error) or type(error).__name__
        result.missing.append({"what": "everything" if not result.files else "the rest", "reason": reason})
    result.seconds = time.monotonic() - begun
    return result


def _run(client: paramiko.SSHClient, items: Sequence[Item], python: str, timeout_s: float) -> bytes:
    """The compressed stream that the program on the host writes."""
    asked = shlex.quote(json.dumps([item.as_json() for item in items]))
    # pipefail is not in every shell; a program that died shows as an archive without missing.json
    stdin, stdout, stderr = client.exec_command(f"{python} - {asked} | zstd -3 -q -c", timeout=timeout_s)
    stdin.write(_PROGRAM.read_text(encoding="utf-8"))
    stdin.channel.shutdown_write()
    stream = bytearray()
    while chunk := stdout.read(_CHUNK):
        stream += chunk
        if len(stream) > _MAX_COMPRESSED:
            raise UnavailableError(f"it sent more than {_MAX_COMPRESSED} bytes: take a shorter window")
    if stdout.channel.recv_exit_status() != 0:
        said = stderr.read(2000).decode("utf-8", "replace").strip()
        raise UnavailableError(f"its collection failed: {said or 'no message'}")
    return bytes(stream)


def _unpack(stream: bytes, items: Sequence[Item], result: Collected) -> None:
    """Take from the archive what was asked for; it is hostile until it has passed here."""
    total, whole = 0, False
    command = ["zstd", "-d", "-q", "-c", "-M128MB"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as unzip:
        assert unzip.stdin is not None
        assert unzip.stdout is not None
        with ThreadPoolExecutor(1) as feeder:
            fed = feeder.submit(_feed, unzip.stdin, stream)
            try:
                with tarfile.open(fileobj=unzip.stdout, mode="r|") as archive:
                    for member in archive:
                        total += member.size
                        if total > MAX_HOST_BYTES or len(result.files) > MAX_HOST_FILES:
                            raise UnavailableError(
                                f"more than {MAX_HOST_BYTES} bytes or {MAX_HOST_FILES} files"
                            )
                        content = _content(archive, member)
                        if member.name == "missing.json":
                            result.missing += _missing(content)
                            whole = True
                        elif (
                            reason := refusal(member.name, member.size, items)
                            if member.isreg()
                            else "no file"
                        ):
                            result.missing.append({"what": member.name[:200], "reason": reason})
                        else:
                            result.files[member.name] = content
            except tarfile.TarError as error:
                raise UnavailableError(f"what it sent is no archive: {error}") from error
            finally:
                unzip.kill()
                fed.result()
    if not whole:
        raise UnavailableError("what it sent was cut short")


def _feed(pipe: Any, stream: bytes) -> None:
    try:
        with pipe:
            pipe.write(stream)
    except OSError:  # the reader had enough
        pass


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if not member.isreg():
        return b""
    file = archive.extractfile(member)
    return file.read() if file is not None else b""


def _missing(content: bytes) -> list[dict[str, str]]:
    listed = json.loads(io.BytesIO(content).read())
    return [{"what": str(entry["what"])[:200], "reason": str(entry["reason"])[:500]} for entry in listed]
