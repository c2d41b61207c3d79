"""Hosts that speak SSH with the pinned key, and are hostile or broken: each ends in time, with its reason."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import paramiko
import pytest

from pipeline.diagnosis.collector import Collected, How, collect
from pipeline.diagnosis.wire import Limits
from pipeline.errors import GarantError
from pipeline.fleet.errors import IdentityError
from pipeline.fleet.tables import HostRow

#: What a host does when the collecting program is started on it; it gets the channel and its command.
Behaviour = Callable[[paramiko.Channel, str], None]


def compressed(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


def archive(*files: tuple[str, bytes], whole: bool = True) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        for name, content in [*files, *([("missing.json", b"[]")] if whole else [])]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


GOOD = compressed(archive(("VERSION", b"10.4.7.0\n")))


class _Server(paramiko.ServerInterface):
    """Lets everybody in; ``answers`` false: never answers the request to run a program."""

    def __init__(self, behaviour: Behaviour, over: threading.Event, answers: bool) -> None:
        self._behaviour, self._over, self._answers = behaviour, over, answers

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if not self._answers:
            self._over.wait(60)
            return True

        def act() -> None:
            try:
                while channel.recv(
                    65536
                ):  # its program, to the end: only then is the request answered for sure
                    pass
                self._behaviour(channel, command.decode())
            except (OSError, EOFError):
                pass  # cut off, as it should be
            finally:
                with suppress(OSError, EOFError):  # the other side may be gone by now
                    channel.close()

        threading.Thread(target=act, daemon=True).start()
        return True


class Host:
    """A host of the test's own making on the loopback."""

    def __init__(self, key: paramiko.PKey, behaviour: Behaviour, *, answers: bool = True) -> None:
        self.over = threading.Event()
        self._key, self._behaviour, self._answers = key, behaviour, answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(self._key)
            self.transports.append(transport)
            try:
                transport.start_server(server=_Server(self._behaviour, self.over, self._answers))
            except (paramiko.SSHException, EOFError):
                transport.close()

    def close(self) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for transport in self.transports:
            transport.close()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our key and the hosts' key."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("identity", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    return folder


@pytest.fixture
def host(keys: Path) -> Iterator[Callable[..., HostRow]]:
    """Makes hosts; all have the pinned key."""
    key = paramiko.Ed25519Key.from_private_key_file(str(keys / "host"))
    made: list[Host] = []

    def make(behaviour: Behaviour, name: str = "h1", *, answers: bool = True) -> HostRow:
        made.append(Host(key, behaviour, answers=answers))
        return row(keys, name, made[-1].port)

    yield make
    for one in made:
        one.close()


def row(keys: Path, name: str, port: int, jump: str | None = None) -> HostRow:
    public = " ".join((keys / "host.pub").read_text().split()[:2])
    return HostRow(
        id=name, store_id="s", role="server", register=None, address="127.0.0.1", port=port, user="root",
        host_key=public, jump=jump, state="in-service",
    )  # fmt: skip


def gathered(keys: Path, *hosts: HostRow, silence_s: float = 20, whole_s: float = 40) -> list[Collected]:
    limits = Limits(silence_s=silence_s, whole_s=whole_s, patience_s=0)
    return collect(hosts, How(since_s=3600, limits=limits, connect_s=10), identity=keys / "identity")


def reason(keys: Path, host: HostRow, **limits: float) -> str:
    (result,) = gathered(keys, host, **limits)
    assert len(result.missing) == 1
    return result.missing[0]["reason"]


def sends(*pieces: bytes, code: int = 0, complaint: bytes = b"") -> Behaviour:
    def behave(channel: paramiko.Channel, _command: str) -> None:
        for piece in pieces:
            channel.sendall(piece)
        if complaint:
            channel.sendall_stderr(complaint)
        channel.send_exit_status(code)

    return behave


def waits(channel: paramiko.Channel, _command: str) -> None:
    """Silent, with its connection open, until cut off."""
    while not channel.closed:
        time.sleep(0.05)


def test_a_good_host_is_collected_from(keys: Path, host: Callable[..., HostRow]) -> None:
    """The program is asked for as it should be, and what it sends is taken."""
    commands: list[str] = []

    def behave(channel: paramiko.Channel, command: str) -> None:
        commands.append(command)
        sends(GOOD)(channel, command)

    (result,) = gathered(keys, host(behave))

    assert (result.version, result.missing) == ("10.4.7.0", [])
    assert "/usr/bin/python3 -I -" in commands[0]


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (sends(code=1, complaint=b"Traceback\n\x1b[2Jboom"), "exit code 1: Traceback [2Jboom"),
        (sends(compressed(b"")), "no archive"),
        (sends(compressed(archive(("VERSION", b"1"), whole=False))), "cut short"),
        (sends(b"garbage" * 1000), "no archive"),
        (sends(GOOD[:-10]), "no archive"),
        (sends(compressed(b"noise" * 1000)), "no archive"),
        (lambda channel, _command: channel.sendall(GOOD[:20]), "the connection broke"),
    ],
)
def test_a_broken_host_is_listed_with_its_reason(
    keys: Path, host: Callable[..., HostRow], behaviour: Behaviour, told: str
) -> None:
    """What it lacks, what it said, how its stream ended."""
    assert told in reason(keys, host(behaviour))


def test_a_silent_host_is_given_up(keys: Path, host: Callable[..., HostRow]) -> None:
    """After the silence allowed."""
    assert "sent nothing for 1 s" in reason(keys, host(waits), silence_s=1)


def test_a_host_that_drips_is_cut_off(keys: Path, host: Callable[..., HostRow]) -> None:
    """A byte now and then is never silence, but the whole has its limit; what came is kept."""

    def drip(channel: paramiko.Channel, _command: str) -> None:
        channel.sendall(compressed(archive(("VERSION", b"10.4.7.0"), whole=False) + b"x" * 2**20)[:-1])
        while True:
            channel.sendall_stderr(b"x")
            channel.sendall(b"")
            time.sleep(0.05)

    (result,) = gathered(keys, host(drip), whole_s=2)

    assert result.missing[0]["reason"].startswith("it was not done after 2 s and was cut off")


def test_a_host_that_never_answers_the_request_is_cut_off(keys: Path, host: Callable[..., HostRow]) -> None:
    """The protocol has waits without a limit of their own."""
    assert "not done after 2 s" in reason(keys, host(waits, answers=False), whole_s=2)


def test_a_host_that_never_says_how_it_ended_is_cut_off(keys: Path, host: Callable[..., HostRow]) -> None:
    """Its stream is over, half of it; its exit code never comes."""

    def behave(channel: paramiko.Channel, command: str) -> None:
        channel.sendall(compressed(archive(("VERSION", b"1"), whole=False)))
        channel.shutdown_write()
        waits(channel, command)

    (result,) = gathered(keys, host(behave), whole_s=2)

    assert "not done after 2 s" in result.missing[0]["reason"]
    assert result.version == "1"


def test_a_flood_of_complaints_does_not_hold_the_evidence_up(
    keys: Path, host: Callable[..., HostRow]
) -> None:
    """Far more than the connection's window on stderr, before and within what was asked for."""

    def flood(channel: paramiko.Channel, _command: str) -> None:
        for piece in (GOOD[:10], GOOD[10:]):
            for _ in range(300):
                channel.sendall_stderr(b"complaint " * 3000)
            channel.sendall(piece)
        channel.send_exit_status(0)

    (result,) = gathered(keys, host(flood))

    assert (result.version, result.missing) == ("10.4.7.0", [])


def test_a_bomb_ends_with_its_reason(keys: Path, host: Callable[..., HostRow]) -> None:
    """A few kilobytes that unpack to gigabytes, in a header, sent without end."""
    info = tarfile.TarInfo("VERSION")
    info.type, info.size = tarfile.XHDTYPE, 2**40
    first = compressed(info.tobuf(tarfile.GNU_FORMAT))
    block = compressed(b"\0" * 2**24)

    def endless(channel: paramiko.Channel, _command: str) -> None:
        channel.sendall(first)
        while True:
            channel.sendall(block)

    assert "more than evidence can be" in reason(keys, host(endless))


def test_a_host_that_goes_on_after_its_end_is_left(keys: Path, host: Callable[..., HostRow]) -> None:
    """When all is here, nobody waits for more."""

    def behave(channel: paramiko.Channel, _command: str) -> None:
        channel.sendall(GOOD)
        while True:
            channel.sendall(b"more" * 10_000)

    (result,) = gathered(keys, host(behave))

    assert (result.version, result.missing) == ("10.4.7.0", [])


def test_hostile_hosts_take_nothing_from_a_good_one(keys: Path, host: Callable[..., HostRow]) -> None:
    """Each host's reason is its own, in the order asked."""
    names = json.dumps([{"what": 1}]).encode()
    hosts = [
        host(sends(b"garbage"), "bad"),
        host(sends(GOOD), "good"),
        host(sends(compressed(archive(("missing.json", names), whole=False))), "worse"),
    ]
    bad, good, worse = gathered(keys, *hosts)

    assert [result.host for result in (bad, good, worse)] == ["bad", "good", "worse"]
    assert (good.version, good.missing) == ("10.4.7.0", [])
    assert [bad.missing[0]["what"], worse.missing[0]["what"]] == ["everything", "everything"]
    assert "cannot be read" in worse.missing[0]["reason"]


def test_a_host_behind_another_is_reached_through_it(keys: Path, host: Callable[..., HostRow]) -> None:
    """The jump host of the fleet carries the connection; without it the host is listed, not guessed at."""
    inner = host(sends(GOOD), "inner")

    class Jump(_Server):
        def check_channel_direct_tcpip_request(
            self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
        ) -> int:
            destinations.append(destination)
            return paramiko.common.OPEN_SUCCEEDED

    destinations: list[tuple[str, int]] = []
    key = paramiko.Ed25519Key.from_private_key_file(str(keys / "host"))
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(3) as pool:

        def relay() -> None:
            connection, _ = listener.accept()
            transport = paramiko.Transport(connection)
            transport.add_server_key(key)
            transport.start_server(server=Jump(sends(), threading.Event(), True))
            channel = transport.accept(20)
            with socket.create_connection(destinations[0]) as far:
                back = pool.submit(_copy, far.recv, channel.sendall)
                _copy(channel.recv, far.sendall)
                far.shutdown(socket.SHUT_RDWR)
                back.result()
            transport.close()

        done = pool.submit(relay)
        jump = row(keys, "jump", listener.getsockname()[1])
        behind = row(keys, "inner", inner.port, jump="jump")
        (result,) = collect([behind], How(since_s=60), identity=keys / "identity", jumps={"jump": jump})
        done.result(20)
    assert (result.version, result.missing) == ("10.4.7.0", [])
    assert destinations == [("127.0.0.1", inner.port)]
    assert "reached through jump" in reason(keys, behind)


def _copy(take: Callable[[int], bytes], give: Callable[[bytes], object]) -> None:
    try:
        while data := take(65536):
            give(data)
    except OSError:
        pass


def test_our_own_lacks_are_told_once(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no zstd on this machine: one error with the way out, and no host is asked."""
    nobody = row(keys, "h1", 9)

    def asked(identity: Path) -> None:
        collect([nobody], How(since_s=60), identity=identity)

    with pytest.raises(IdentityError, match="ssh-keygen"):
        asked(tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GarantError, match="apt-get install zstd"):
        asked(keys / "identity")
