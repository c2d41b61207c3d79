"""The fleet's hosts over a real sshd, and Ansible's view through the real ansible-inventory."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.application import Garant
from pipeline.database import Base, Database
from pipeline.engine.memory import MemoryEngine
from pipeline.errors import GarantError, UnavailableError
from pipeline.fleet import service, ssh
from pipeline.fleet.check import check_hosts, record_checks
from pipeline.fleet.errors import HostKeyChangedError, HostLoginError, IdentityError
from pipeline.fleet.importer import import_fleet
from pipeline.fleet.keys import fingerprint
from pipeline.fleet.reading import read_fleet
from pipeline.fleet.tables import HostRow
from pipeline.intake import service as intake
from pipeline.settings import Settings

ROOT = Path(__file__).parents[4]
NOW = datetime(2026, 3, 12, 6, tzinfo=UTC)


def keygen(file: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file], check=True)
    return file


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Sshd:
    """A real sshd of the test's own, on loopback."""

    port: int
    folder: Path
    user: str

    @property
    def public(self) -> str:
        return " ".join((self.folder / "host.pub").read_text().split()[:2])

    @property
    def identity(self) -> Path:
        return self.folder / "ours"

    def row(self, **changes: Any) -> HostRow:
        values: dict[str, Any] = {
            "id": "k-1-server",
            "store_id": "k-1",
            "role": "server",
            "address": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "host_key": self.public,
            "jump": None,
            "version": None,
        }
        return HostRow(**{**values, **changes})


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """sshd with an Ed25519 host key that lets our key in."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no sshd on this machine: apt-get install openssh-server (make setup does it for root)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd separates its privileges there
    folder = tmp_path_factory.mktemp("sshd")
    keygen(folder / "host")
    keygen(folder / "ours")
    keygen(folder / "strange")
    port = free_port()
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/ours.pub\nStrictModes no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin yes\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", folder / "config"], stderr=log)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield Sshd(port=port, folder=folder, user=pwd.getpwuid(os.geteuid()).pw_name)
    finally:
        process.terminate()
        process.wait(10)


def test_pinned_key_lets_us_work(sshd: Sshd) -> None:
    """With the pinned key and our identity a command runs, over an authenticated cipher."""
    with ssh.connect(sshd.row(), identity=sshd.identity) as client:
        transport = client.get_transport()
        assert transport is not None
        cipher = transport.remote_cipher
        _, stdout, _ = client.exec_command("echo there", timeout=10)
        with stdout:
            answer = stdout.read()

    assert answer == b"there\n"
    assert cipher == "aes128-gcm@openssh.com"


def test_other_key_is_refused_with_both_fingerprints(sshd: Sshd) -> None:
    """A host that shows another key is not talked to."""
    pinned = " ".join((sshd.folder / "strange.pub").read_text().split()[:2])
    with (
        pytest.raises(HostKeyChangedError) as error,
        ssh.connect(sshd.row(host_key=pinned), identity=sshd.identity),
    ):
        pytest.fail("connected to a host with another key")

    assert fingerprint(pinned) in str(error.value)
    assert fingerprint(sshd.public) in str(error.value)
    assert "--accept-new-key k-1-server" in str(error.value)


def test_login_refused(sshd: Sshd) -> None:
    """Our key is not accepted: said as such, with what to do."""
    with (
        pytest.raises(HostLoginError, match="authorized_keys"),
        ssh.connect(sshd.row(), identity=sshd.folder / "strange"),
    ):
        pytest.fail("let in with a strange key")


def test_nobody_there(sshd: Sshd) -> None:
    """A closed port, and a port where no SSH speaks, are unavailable hosts."""
    with pytest.raises(UnavailableError, match="does not answer"), _connected(sshd, free_port()):
        pytest.fail("connected to nobody")
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(UnavailableError, match="k-1-server"),
        ssh.connect(sshd.row(port=silent.getsockname()[1]), identity=sshd.identity, timeout_s=0.3),
    ):
        pytest.fail("connected to silence")


def _connected(sshd: Sshd, port: int) -> Any:
    return ssh.connect(sshd.row(port=port), identity=sshd.identity)


def test_identity_is_ours_to_mend(sshd: Sshd, tmp_path: Path) -> None:
    """A missing or unusable private key is our fault, and no host is asked."""
    bad = tmp_path / "bad"
    bad.write_text("no key")
    for identity in (tmp_path / "none", bad):
        with pytest.raises(IdentityError, match=str(identity)):
            check_hosts([sshd.row()], identity=identity, python=sys.executable)


def test_through_a_jump_host(sshd: Sshd) -> None:
    """A host behind another one is reached through it; without that one's row it is refused."""
    host, jump = sshd.row(id="k-1-r1", jump="k-1-server"), sshd.row()
    with ssh.connect(host, identity=sshd.identity, jump=jump) as client:
        _, stdout, _ = client.exec_command("echo behind", timeout=10)
        with stdout:
            assert stdout.read() == b"behind\n"
    with pytest.raises(HostLoginError, match="k-1-server"), ssh.connect(host, identity=sshd.identity):
        pytest.fail("connected without the jump host")


def test_check_names_each_fault(sshd: Sshd) -> None:
    """One clear result per host, in the order given, whatever the others do."""
    strange = " ".join((sshd.folder / "strange.pub").read_text().split()[:2])
    hosts = [
        sshd.row(id="a"),
        sshd.row(id="b", host_key=strange),
        sshd.row(id="c", port=free_port()),
        sshd.row(id="d", user="nobody-such"),
    ]
    found = check_hosts(hosts, identity=sshd.identity, python=sys.executable)

    assert [(one.host, one.result) for one in found] == [
        ("a", "no-product"),
        ("b", "host-key-changed"),
        ("c", "unreachable"),
        ("d", "login-refused"),
    ]


@pytest.fixture
def garant(database: Database, tmp_path: Path) -> Garant:
    """The application on either database."""
    numbers = itertools.count(1)
    settings = Settings(home=tmp_path / "home")
    return Garant(
        settings,
        database=database,
        engine=MemoryEngine(lambda: NOW),
        clock=lambda: NOW,
        new_id=lambda: f"id{next(numbers)}",
    )


def test_import_check_and_cases_on_both_databases(garant: Garant, sshd: Sshd, tmp_path: Path) -> None:
    """Import twice, record a check, open cases: the same on SQLite and PostgreSQL."""
    for expected in (17, 0):
        with garant.unit("person:anna") as unit:
            read = read_fleet(ROOT / "inventory" / "example-fleet.yaml")
            assert len(import_fleet(unit, read).created) == expected
    host = sshd.row(id="kupets-12-server", store_id="kupets-12")
    checks = check_hosts([host], identity=sshd.identity, python=sys.executable)
    with garant.unit("person:anna") as unit:
        record_checks(unit, checks)
        number = intake.open_case(
            unit,
            client_id="kupets",
            store_id="kupets-12",
            channel="phone",
            received_at=NOW,
            subject="Касса",
            text="молчит",
        ).id
    with garant.unit("person:anna") as unit:
        intake.classify(unit, number, ["loyalty"], software_defect=True)

    with garant.database.reading() as session:
        assert service.host(session, "kupets-12-server").state == "down"
        assert [row.id for row in intake.awaiting_diagnosis(session)] == [number]


Inventory = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with the example fleet in its database; its path has a blank."""
    home = tmp_path / "a home"
    home.mkdir()
    (home / "garant.yaml").write_text(yaml.safe_dump({"ssh_identity": str(tmp_path / "key")}))
    database = Database(f"sqlite:///{home / 'garant.db'}")
    Base.metadata.create_all(database.engine)
    app = Garant(Settings(home=home), database=database, engine=MemoryEngine(lambda: NOW), clock=lambda: NOW)
    fleet = yaml.safe_load((ROOT / "inventory" / "example-fleet.yaml").read_text(encoding="utf-8"))
    fleet["clients"][0]["stores"][0]["hosts"][1]["jump"] = "kupets-12-server"
    file = tmp_path / "fleet.yaml"
    file.write_text(yaml.safe_dump(fleet, allow_unicode=True), encoding="utf-8")
    with app.unit("test") as unit:
        import_fleet(unit, read_fleet(file))
    app.close()
    return home


def ansible_inventory(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    programs = Path(sys.executable).parent
    environment = {**os.environ, "GARANT_HOME": str(home), "ANSIBLE_HOME": str(home / "ansible")}
    environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1"}
    command = [programs / "ansible-inventory", "-i", ROOT / "inventory" / "garant_inventory.py", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_ansible_sees_the_fleet(home: Path) -> None:
    """Groups and variables as the playbooks expect them, without a warning from Ansible."""
    done = ansible_inventory(home, "--list")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    told = json.loads(done.stdout)

    assert told["store_kupets_12"]["hosts"] == [f"kupets-12-{n}" for n in ("r1", "r2", "r3", "server")]
    assert set(told["role_server"]["hosts"]) == {"baltmart-1-server", "kupets-12-server", "kupets-31-server"}
    assert len(told["client_kupets"]["hosts"]) == 9
    register = told["_meta"]["hostvars"]["kupets-31-r2"]
    assert register["set_register"] == 2
    assert register["set_role"] == "register"
    assert register["set_store"] == "kupets-31"
    assert register["set_client"] == "kupets"
    assert register["set_server_lan"] == "192.168.0.10"
    assert register["ansible_host"] == "198.51.100.12"
    assert register["ansible_python_interpreter"] == "/usr/bin/python3"
    assert f'UserKnownHostsFile="{home}/fleet/known_hosts"' in register["ansible_ssh_common_args"]
    jumping = told["_meta"]["hostvars"]["kupets-12-r1"]["ansible_ssh_common_args"]
    assert "ProxyCommand=ssh -F none" in jumping
    assert len((home / "fleet" / "known_hosts").read_text().splitlines()) == 12


def test_ansible_reaches_a_host_by_its_pinned_key(sshd: Sshd, tmp_path: Path) -> None:
    """`ansible ping` works by the inventory, also through a jump host, and only with the pinned key."""
    home = tmp_path / "a home"
    home.mkdir()
    (home / "garant.yaml").write_text(
        yaml.safe_dump({"ssh_identity": str(sshd.identity), "host_python": sys.executable})
    )
    strange = " ".join((sshd.folder / "strange.pub").read_text().split()[:2])
    base = {"address": "127.0.0.1", "port": sshd.port, "user": sshd.user, "host_key": sshd.public}
    hosts = [
        {"name": "k-1-server", "role": "server", **base},
        {"name": "k-1-r1", "role": "register", "register": 1, **base, "jump": "k-1-server"},
        {
            "name": "k-1-r2",
            "role": "register",
            "register": 2,
            **base,
            "address": "localhost",
            "host_key": strange,
        },
    ]
    file = tmp_path / "fleet.yaml"
    file.write_text(
        yaml.safe_dump(
            {"clients": [{"id": "k", "name": "K", "stores": [{"id": "k-1", "name": "K1", "hosts": hosts}]}]}
        )
    )
    database = Database(f"sqlite:///{home / 'garant.db'}")
    Base.metadata.create_all(database.engine)
    app = Garant(Settings(home=home), database=database, engine=MemoryEngine(lambda: NOW), clock=lambda: NOW)
    with app.unit("test") as unit:
        import_fleet(unit, read_fleet(file))
    app.close()
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "GARANT_HOME": str(home),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(home / "cp"),
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=no",
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(home),
    }
    inventory = ROOT / "inventory" / "garant_inventory.py"
    done = subprocess.run(
        [programs / "ansible", "-i", inventory, "store_k_1", "-m", "ping", "-o"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert "k-1-server | SUCCESS" in done.stdout, done.stdout + done.stderr
    assert "k-1-r1 | SUCCESS" in done.stdout, done.stdout + done.stderr
    assert "k-1-r2 | UNREACHABLE" in done.stdout


def test_inventory_without_database_says_what_to_do(tmp_path: Path) -> None:
    """No traceback and no empty fleet: the reason, exit 1."""
    script = ROOT / "inventory" / "garant_inventory.py"
    environment = {**os.environ, "GARANT_HOME": str(tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, script, "--list"], env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1
    assert "garant db upgrade" in done.stderr
    assert "Traceback" not in done.stderr


def test_identity_must_be_set(garant: Garant, tmp_path: Path) -> None:
    """An inventory without an SSH identity is refused with the setting's name."""
    from pipeline.fleet.inventory import inventory

    with garant.database.reading() as session, pytest.raises(GarantError, match="ssh_identity"):
        inventory(session, garant.settings, known_hosts=tmp_path / "known_hosts")
