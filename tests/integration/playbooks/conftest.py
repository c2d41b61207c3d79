"""Local stores with the reference SET, releases of it, and the playbooks run as the controller runs them."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ansible_runner
import pytest

from testbench.products.cache import BuildCache
from testbench.products.description import load_product
from testbench.reference.history import build_history
from testbench.stores import ModeUnavailableError, StorePlan, Stores, detect_mode

ROOT = Path(__file__).parents[3]
PLAYBOOKS = ROOT / "playbooks"
if str(ROOT / "tests/playbooks_bed") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests/playbooks_bed"))

from releases import Keyring, make_release  # noqa: E402

OLD, NEW = "10.4.5.0", "10.4.6.0"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """Two approvers and an author."""
    return Keyring(tmp_path_factory.mktemp("keys"), ("anna", "boris", "denis"))


@pytest.fixture(scope="session")
def build_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds of the reference SET."""
    folder = tmp_path_factory.mktemp("reference")
    history = build_history(folder / "set10.git")
    cache = BuildCache.of(load_product(history.product), folder / "home")

    @functools.cache
    def build(version: str) -> Path:
        with cache.use(f"v{version}") as made:
            return Path(shutil.copytree(made.path, folder / version, symlinks=True))

    return build


@pytest.fixture
def release_of(build_of: Callable[[str], Path], keys: Keyring, tmp_path: Path) -> Callable[..., Path]:
    """Release a version of the reference SET; ``spoil`` changes the build's tree before it is packed."""

    def make(version: str, spoil: Callable[[Path], None] | None = None, **more: Any) -> Path:
        number = len(list(tmp_path.glob("tree*")))
        tree = Path(shutil.copytree(build_of(version), tmp_path / f"tree{number}", symlinks=True))
        if spoil is not None:
            spoil(tree)
        return make_release(tmp_path / f"release{number}", tree, keys, **more)

    return make


class Controller:
    """Runs the playbooks against a fleet of local stores."""

    def __init__(self, stores: Stores, folder: Path, control: Path) -> None:
        self.stores = stores
        self.folder = folder
        self.ssh = stores.describe()["ssh"]
        programs = str(Path(sys.executable).parent)  # where ansible-playbook of this environment is
        self.environment = {
            "PATH": os.pathsep.join([programs, os.environ["PATH"]]),
            "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control),
        }
        #: What of each host's variables is added to the inventory, e.g. its effect_id.
        self.variables: dict[str, dict[str, Any]] = {}
        self._runs = 0

    def hosts(self) -> list[dict[str, Any]]:
        """All hosts of the fleet, servers first."""
        return [host for store in self.stores.describe()["stores"] for host in store["hosts"]]

    def inventory(self) -> Path:
        """The fleet as a static inventory, as a person would write it."""
        groups: dict[str, Any] = {"role_server": {"hosts": {}}, "role_register": {"hosts": {}}}
        for store in self.stores.describe()["stores"]:
            lan = next(host["lan_address"] for host in store["hosts"] if host["role"] == "server")
            for host in store["hosts"]:
                groups[f"role_{host['role']}"]["hosts"][host["name"]] = {
                    "ansible_host": host["address"],
                    "ansible_port": host["port"],
                    "set_server_lan": lan,
                    **self.variables.get(host["name"], {}),
                }
        shared = {
            "ansible_user": self.ssh["user"],
            "ansible_ssh_private_key_file": self.ssh["identity"],
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.ssh['known_hosts']}",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        path = self.folder / "inventory.json"
        path.write_text(json.dumps({"all": {"children": groups, "vars": shared}}))
        return path

    def run(self, playbook: str, limit: str = "all", **extra: Any) -> dict[str, dict[str, Any]]:
        """Run a playbook through ansible-runner; each host's result, or that it was unreachable."""
        found: dict[str, dict[str, Any]] = {}

        def heed(event: dict[str, Any]) -> bool:
            data = event.get("event_data", {})
            if event["event"] == "runner_on_unreachable":
                found[data["host"]] = {"state": "unknown", "event": event["event"]}
            elif data.get("task_action") == "set_update" and "res" in data:
                found[data["host"]] = data["res"] | {"event": event["event"]}
            return True

        self._runs += 1
        (self.folder / "runner").mkdir(exist_ok=True)
        ended = ansible_runner.run(
            private_data_dir=str(self.folder / "runner"),
            project_dir=str(PLAYBOOKS),
            playbook=playbook,
            inventory=str(self.inventory()),
            limit=limit,
            extravars={"set_host_health_timeout": 10} | extra,
            envvars=self.environment,
            ident=f"run-{self._runs}",
            suppress_env_files=True,
            quiet=True,
            event_handler=heed,
        )
        self.said = Path(ended.config.artifact_dir, "stdout").read_text()
        return found

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start plain ansible-playbook, as a person does, in a process group of its own."""
        return subprocess.Popen(
            ["ansible-playbook", "-i", str(self.inventory()), *arguments],
            cwd=PLAYBOOKS,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def by_hand(self, *arguments: str) -> tuple[int, str]:
        """Run plain ansible-playbook to its end; its exit code and what it said."""
        with self.start(*arguments) as process:
            said, _ = process.communicate()
        return process.returncode, said

    def receipt(self, host: str) -> dict[str, Any] | None:
        """The host's only receipt, read from its disk and not over the network."""
        found = list((self.stores.host_root(host) / "var/lib/garant/receipts").glob("[!.]*.json"))
        return json.loads(found[0].read_text()) if found else None

    def status(self, host: str) -> dict[str, Any] | None:
        """What the product on the host says, asked over SSH."""
        port = 8090 if host.endswith("-server") else 8095
        ask = (
            f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/status').read().decode())"
        )
        done = self.stores.run(host, f'/usr/bin/python3 -c "{ask}"')
        status: dict[str, Any] | None = json.loads(done.stdout) if done.stdout else None
        return status

    def version(self, host: str) -> str | None:
        """The version that answers on the host."""
        status = self.status(host)
        return status["version"] if status else None

    def act(self, host: str, *actions: dict[str, Any]) -> list[dict[str, Any]]:
        """Let the cashier do something on a register."""
        lines = "".join(json.dumps(action) + "\n" for action in actions)
        done = self.stores.run(host, "/opt/set/current/bin/cashier --config /etc/set/set.json", lines)
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def controller_of(
    build_of: Callable[[str], Path], keys: Keyring, tmp_path: Path
) -> Iterator[Callable[..., Controller]]:
    """Bring a fleet of one store up; everything is taken down again."""
    try:
        detect_mode().choose("auto")
    except ModeUnavailableError as error:
        pytest.skip(str(error))
    made: list[Stores] = []
    # A socket's path has at most 107 characters: pytest's folders are too deep.
    control = Path(tempfile.mkdtemp(prefix="garant-cp-", dir="/tmp"))
    signers = "".join(keys.line(name) for name in ("anna", "boris", "denis"))

    def make(registers: int = 2, version: str = OLD) -> Controller:
        plan = StorePlan(
            name="store1",
            registers=registers,
            product=build_of(version),
            allowed_signers=signers,
            policy={"approvals": 2},
        )
        stores = Stores.up([plan], tmp_path / "stores")
        made.append(stores)
        return Controller(stores, tmp_path, control)

    yield make
    for stores in made:
        stores.down()
    for socket in list(control.iterdir()):
        end = ["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "x"]
        subprocess.run(end, capture_output=True, check=False)
    # A master that ends takes its socket away while we look.
    shutil.rmtree(control, ignore_errors=True)
