"""Real hosts without a product: how they are reached, what a cut costs, what they are spared and left."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from pipeline.diagnosis.collector import Collected, How, Throttle, collect
from pipeline.diagnosis.recipe import Item, Recipe
from pipeline.diagnosis.wire import Limits
from pipeline.fleet import ssh
from pipeline.fleet.tables import HostRow
from testbench.stores import StorePlan, Stores, detect_mode
from testbench.stores.processes import cgroup2_mount

pytestmark = [pytest.mark.stores, pytest.mark.timeout(900)]

SERVER, FIRST, SECOND = "lab-server", "lab-r1", "lab-r2"
LOG, JOURNAL, SMALL = "var/log/set/set.log", "var/lib/set/journal.jsonl", "opt/set/VERSION"
ITEMS = (
    Item(what="version", source=f"/{SMALL}", target="VERSION", max_bytes=1024),
    Item(what="log", source=f"/{LOG}", target="set.log", tail=True),
    Item(what="documents", source="/srv/*.xml", target="documents/", cut="files", required=False),
)
RECIPE = Recipe(name="test", server=ITEMS, register=ITEMS)
LOG_BYTES = 12 * 2**20
#: No Python there: the host is asked by its shell.
NOWHERE = "/nowhere/python3"
TOOLS = {
    "cat-only": "sh ls cat",
    "small": "sh ls cat dd gzip head tail sha256sum date stat nice",
    "zstd": "sh ls cat dd zstd head sha256sum date nice ionice",
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """One store whose hosts have a log of some megabytes that compresses to about half."""
    if os.geteuid() != 0:
        pytest.skip("local stores with systemd need root")
    check = detect_mode().checks[0]
    if not check.available:
        pytest.skip("; ".join(f"{lack.what} ({lack.remedy})" for lack in check.lacks))
    made = Stores.up(
        [StorePlan(name="lab", registers=2, disk_mb=160)], tmp_path_factory.mktemp("lab") / "state"
    )
    try:
        for host in (SERVER, FIRST, SECOND):
            root = made.host_root(host)
            (root / LOG).write_text(
                "".join(f"{secrets.token_hex(1024)}\n" for _ in range(LOG_BYTES // 2049)), encoding="ascii"
            )
            (root / SMALL).write_text("10.4.7.0\n")
        yield made
    finally:
        made.down()


def hosts(stores: Stores, *names: str, port: int | None = None, jump: str | None = None) -> list[HostRow]:
    """The hosts as the fleet has them."""
    return [
        HostRow(
            id=host["name"],
            store_id="lab",
            role=host["role"],
            register=host["register"],
            address=host["address"],
            port=port or host["port"],
            user="root",
            host_key=host["host_key"],
            jump=jump,
            state="in-service",
        )
        for host in stores.describe()["stores"][0]["hosts"]
        if host["name"] in names
    ]


def how(**changes: object) -> How:
    usual = How(since_s=3600, recipe=RECIPE, share=1.0, connect_s=3, limits=Limits(silence_s=20))
    return replace(usual, **changes)  # type: ignore[arg-type]


def identity(stores: Stores) -> Path:
    return Path(stores.describe()["ssh"]["identity"])


def log_of(stores: Stores, host: str) -> str:
    return hashlib.sha256((stores.host_root(host) / LOG).read_bytes()).hexdigest()


def sha256(result: Collected) -> str:
    return hashlib.sha256(result.files["set.log"]).hexdigest()


def files_and_processes(stores: Stores, host: str) -> tuple[set[str], str]:
    """Every file of the host's disk with size and time, and what runs on it but for sshd's own sessions."""
    root, found = stores.host_root(host), set()
    for top in sorted(root.iterdir()):
        if top.is_symlink() or top.name in ("proc", "sys", "dev", "run", "usr"):
            continue
        for path in top.rglob("*"):
            status = path.lstat()
            if path.name not in ("sshd.log", "systemd"):  # sshd notes every connection
                found.add(f"{path.relative_to(root)} {status.st_size} {status.st_mtime_ns}")
    return found, leftovers(stores, host)


def leftovers(stores: Stores, host: str) -> str:
    """Processes of a collection that run on the host."""
    words = r"-e '[p]ython3 -I' -e '[z]std' -e '[g]zip' -e '[d]d if' -e '[c]at <'"
    return stores.run(host, f"ps -e -o args= | grep {words}").stdout


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)


@pytest.fixture
def small_sshd(stores: Stores, request: pytest.FixtureRequest) -> Iterator[str]:
    """A second sshd on the first register: no SFTP, and few programs on its path; their set's name."""
    name = str(getattr(request, "param", "small"))
    root, folder = stores.host_root(FIRST), "/opt/tools"
    programs = TOOLS[name].split()
    script = f"mkdir {folder} && for t in {' '.join(programs)}; do ln -s $(command -v $t) {folder}/; done"
    assert stores.run(FIRST, script).returncode == 0
    (root / "etc/ssh/small").write_text(
        "Port 2222\nHostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin prohibit-password\nUsePAM no\n"
        f"SetEnv PATH={folder}\nPidFile /run/sshd-small.pid\n"
    )
    assert stores.run(FIRST, "/usr/sbin/sshd -f /etc/ssh/small").returncode == 0
    yield name
    stores.run(FIRST, f"kill $(cat /run/sshd-small.pid); rm -r {folder} /etc/ssh/small")


def test_a_register_behind_its_server_is_reached_through_it(stores: Stores) -> None:
    """The way back to us is closed on the register: directly it is silent, through the server all comes."""
    direct, (jump,) = hosts(stores, FIRST), hosts(stores, SERVER)
    behind = hosts(stores, FIRST, jump=SERVER)
    network = stores.state_dir / "netns" / FIRST
    enter = ["nsenter", f"--net={network}", "--", "ip", "route"]
    closed = ["prohibit", f"{stores.site.controller}/32"]
    subprocess.run([*enter, "add", *closed], check=True)
    try:
        (silent,) = collect(direct, how(), identity=identity(stores))
        (found,) = collect(behind, how(), identity=identity(stores), jumps={SERVER: jump})
        jump.host_key = hosts(stores, SECOND)[0].host_key
        (refused,) = collect(behind, how(), identity=identity(stores), jumps={SERVER: jump})
    finally:
        subprocess.run([*enter, "del", *closed], check=True)

    assert "does not answer" in silent.missing[0]["reason"]
    assert (found.missing, sha256(found)) == ([], log_of(stores, FIRST))
    assert found.address.endswith(f"through {SERVER}")
    assert f"host {SERVER} shows the key" in refused.missing[0]["reason"]


class Cutting(Throttle):
    """Cuts the store's link once, when so many bytes have come; brings it back when the loss was noticed."""

    def __init__(self, stores: Stores, after: int | None) -> None:
        super().__init__(None)
        self.total, self._stores, self._after = 0, stores, after
        self.restored: threading.Timer | None = None

    def taken(self, size: int) -> None:
        self.total += size
        if self._after is not None and self.total >= self._after:
            self._after = None
            self._stores.cut("lab")
            self.restored = threading.Timer(3, self._stores.restore, ["lab"])
            self.restored.start()


@pytest.mark.parametrize("by", ["python", "shell"])
def test_a_cut_in_the_midst_is_gone_on_from_there(stores: Stores, by: str, small_sshd: str) -> None:
    """What came is not sent again; the whole is, by its digest, what the host has."""
    port, python = (None, "/usr/bin/python3") if by == "python" else (2222, NOWHERE)
    limits = Limits(silence_s=1.5, patience_s=60)
    whole, cut = Cutting(stores, None), None
    (uncut,) = collect(
        hosts(stores, FIRST, port=port), how(throttle=whole, python=python), identity=identity(stores)
    )
    cut = Cutting(stores, whole.total * 2 // 3)
    try:
        (found,) = collect(
            hosts(stores, FIRST, port=port),
            how(throttle=cut, python=python, limits=limits),
            identity=identity(stores),
        )
    finally:
        if cut.restored is not None:
            cut.restored.join()

    assert uncut.missing == []
    assert cut.restored is not None
    assert (found.missing, sha256(found)) == ([], log_of(stores, FIRST))
    assert found.tries > uncut.tries
    assert cut.total < 1.45 * whole.total  # from the beginning it would be 1.67 times


def test_a_link_that_stays_away_leaves_what_came(stores: Stores) -> None:
    """Whole lines of the log, and a word on where it ends."""

    class Away(Cutting):
        def taken(self, size: int) -> None:
            self.total += size
            if self.total > 2 * 2**20:
                self._stores.cut("lab")

    try:
        (found,) = collect(
            hosts(stores, FIRST),
            how(throttle=Away(stores, None), limits=Limits(silence_s=1, patience_s=1)),
            identity=identity(stores),
        )
    finally:
        stores.restore("lab")
        until(lambda: stores.run(FIRST, "true").returncode == 0)  # neighbours have to find each other again

    log = (stores.host_root(FIRST) / LOG).read_bytes()
    came = found.files["set.log"]
    assert 0 < len(came) < len(log)
    assert log.startswith(came)
    assert came.endswith(b"\n")
    assert [entry["what"] for entry in found.missing] == ["the end of set.log", "the rest"]


@pytest.mark.parametrize("small_sshd", list(TOOLS), indirect=True)
def test_a_register_with_a_shell_and_cat_is_enough(stores: Stores, small_sshd: str) -> None:
    """No SFTP, no Python, a full disk: everything comes, cut as elsewhere, and nothing is left there."""
    root, (register,) = stores.host_root(FIRST), hosts(stores, FIRST, port=2222)
    (root / "srv/a b.xml").write_text("<a/>")
    (root / "srv/link.xml").symlink_to("/etc/shadow")
    stores.fill(FIRST)
    try:
        with (
            ssh.connect(register, identity=identity(stores)) as client,
            pytest.raises(paramiko.SSHException),
        ):
            client.open_sftp()
        before = files_and_processes(stores, FIRST)
        (found,) = collect([register], how(python=NOWHERE), identity=identity(stores))
        after = files_and_processes(stores, FIRST)
    finally:
        stores.unfill(FIRST)
        for name in ("a b.xml", "link.xml"):
            (root / "srv" / name).unlink()

    assert (found.version, found.missing) == ("10.4.7.0", [])
    assert sha256(found) == log_of(stores, FIRST)
    assert sorted(found.files) == ["VERSION", "documents/a b.xml", "set.log"]
    assert after == before


def test_a_shell_collects_the_end_of_what_is_too_large(stores: Stores, small_sshd: str) -> None:
    """From a whole line on; what is no text that grows is left out, with its size."""
    items = (
        replace(ITEMS[1], max_bytes=2**20),
        Item(what="image", source=f"/{LOG}", target="image", max_bytes=2**20),
        Item(what="gone", source="/none", target="gone"),
        Item(what="status", source="http://127.0.0.1:8095/status", target="status.json"),
        Item(what="rows", source="/x.db", target="rows.jsonl", database="sqlite", query="SELECT 1"),
    )
    recipe = Recipe(name="test", server=items, register=items)
    (found,) = collect(
        hosts(stores, FIRST, port=2222), how(python=NOWHERE, recipe=recipe), identity=identity(stores)
    )

    log = (stores.host_root(FIRST) / LOG).read_bytes()
    came = found.files["set.log"]
    assert log.endswith(came)
    assert log[-len(came) - 1 : -len(came)] == b"\n"
    assert 0.9 * 2**20 < len(came) <= 2**20
    assert list(found.files) == ["set.log"]
    assert [entry["what"] for entry in found.missing] == [
        "the beginning of set.log", "image: image", "gone", "status: status.json", "rows: rows.jsonl",
    ]  # fmt: skip


COLLECTOR = """
    import sys
    from tests.integration.diagnosis.test_on_the_wire import NOWHERE, Throttle, collect, hosts, how, identity
    from testbench.stores import Stores
    from pathlib import Path
    stores = Stores.open(Path(sys.argv[1]))
    port, python = (2222, NOWHERE) if sys.argv[2] == "shell" else (None, "/usr/bin/python3")
    collect(
        hosts(stores, "lab-r1", port=port), how(throttle=Throttle(50_000), python=python),
        identity=identity(stores),
    )
"""


@pytest.mark.parametrize("by", ["python", "shell"])
def test_a_killed_collector_leaves_nothing_on_the_host(stores: Stores, by: str, small_sshd: str) -> None:
    """kill -9 in mid-transfer: its programs end there, and every file is as it was."""
    before = files_and_processes(stores, FIRST)
    command = [sys.executable, "-c", textwrap.dedent(COLLECTOR), str(stores.state_dir), by]
    collector = subprocess.Popen(command, cwd=Path(__file__).parents[3])
    try:
        until(lambda: leftovers(stores, FIRST) != "" or collector.poll() is not None)
        assert collector.poll() is None
    finally:
        collector.send_signal(signal.SIGKILL)
        collector.wait()
    until(lambda: leftovers(stores, FIRST) == "")

    assert files_and_processes(stores, FIRST) == before


@pytest.mark.parametrize(("by", "share"), [("python", 0.15), ("shell", 0.06)])
def test_a_register_is_not_loaded_above_its_share(
    stores: Stores, by: str, share: float, small_sshd: str
) -> None:
    """The kernel's account of all that ran on the host, sshd's part too, set against the time that passed."""
    mount = cgroup2_mount()
    account = mount and mount / f"garant-stores-{stores.site.index}" / FIRST / "cpu.stat"
    if account is None or not account.exists():
        pytest.skip("no cgroup of the hosts on this machine: nobody counts their processor time")
    port, python = (None, "/usr/bin/python3") if by == "python" else (2222, NOWHERE)
    entry = b'{"seq":1,"at":"2025-01-01T00:00:00+03:00","type":"price.check","payload":{"barcode":"1"}}\n'
    journal = stores.host_root(FIRST) / JOURNAL
    journal.write_bytes(entry * (12 * 2**20 // len(entry)))
    whole_journal = Item(what="journal", source=f"/{JOURNAL}", target="journal", tail=True, cut="lines")
    items = (*ITEMS, whole_journal) if by == "python" else ITEMS

    def used() -> float:
        return int(account.read_text().split()[1]) / 1e6

    before, began = used(), time.monotonic()
    recipe = Recipe(name="test", server=items, register=items)
    (found,) = collect(
        hosts(stores, FIRST, port=port),
        how(share=share, python=python, recipe=recipe),
        identity=identity(stores),
    )
    rate = (used() - before) / (time.monotonic() - began)
    journal.unlink()

    assert found.missing == []
    # Beyond the share there is what sshd takes for the key exchange and for encrypting.
    assert rate <= share + 0.04


def test_a_certificate_opens_the_door(stores: Stores, tmp_path: Path) -> None:
    """A host that trusts a certificate authority and no key; an expired certificate is refused and named."""
    root = stores.host_root(SECOND)
    key, authority = tmp_path / "identity", tmp_path / "authority"
    shutil.copy(identity(stores), key)
    shutil.copy(f"{identity(stores)}.pub", tmp_path / "identity.pub")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(authority)], check=True)

    def issue(validity: str) -> None:
        command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "garant", "-n", "root", "-V", validity]
        subprocess.run([*command, f"{key}.pub"], check=True)

    (root / "etc/ssh/authority.pub").write_text((tmp_path / "authority.pub").read_text())
    (root / "etc/ssh/certified").write_text(
        "Port 2223\nHostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin prohibit-password\nUsePAM no\n"
        "TrustedUserCAKeys /etc/ssh/authority.pub\nAuthorizedKeysFile none\nPidFile /run/sshd-certified.pid\n"
    )
    assert stores.run(SECOND, "/usr/sbin/sshd -f /etc/ssh/certified").returncode == 0
    certified = hosts(stores, SECOND, port=2223)
    try:
        (without,) = collect(certified, how(), identity=key)
        issue("-2h:-1h")
        (expired,) = collect(certified, how(), identity=key)
        issue("-1h:+1h")
        (found,) = collect(certified, how(), identity=key)
    finally:
        stores.run(SECOND, "kill $(cat /run/sshd-certified.pid)")

    assert "with our key: put the public key" in without.missing[0]["reason"]
    assert "with our certificate: look at" in expired.missing[0]["reason"]
    assert (found.version, found.missing) == ("10.4.7.0", [])
