"""The module's library is on the path as Ansible puts it there, under its own name ``garant``."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
for folder in (ROOT / "playbooks/module_utils", ROOT / "tests/playbooks_bed"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from fake_set import FakeHost, write_build  # noqa: E402
from garant.layout import HostLayout, digest_hex  # noqa: E402
from garant.order import Order  # noqa: E402
from garant.session import run  # noqa: E402
from releases import Keyring, make_release  # noqa: E402

PEOPLE = ("anna", "boris", "clara", "denis", "stranger")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """Three approvers, an author, and somebody whom no host knows."""
    return Keyring(tmp_path_factory.mktemp("keys"), PEOPLE)


@pytest.fixture(scope="session")
def signers(keys: Keyring) -> str:
    """The allowed_signers of every host: all but the stranger."""
    return "".join(keys.line(name) for name in PEOPLE if name != "stranger")


@pytest.fixture
def host_of(tmp_path: Path, signers: str) -> Iterator[Callable[..., FakeHost]]:
    """Provision fake hosts; what still runs of them is killed at the end."""
    made: list[FakeHost] = []

    def make(role: str, version: str = "10.4.1.0", **more: Any) -> FakeHost:
        root = tmp_path / f"host{len(made)}"
        host = FakeHost(root, role, version, **more)
        (root / "etc/garant/allowed_signers").write_text(signers)
        made.append(host)
        return host

    yield make
    for host in made:
        host.stop()


@pytest.fixture
def release_of(tmp_path: Path, keys: Keyring) -> Callable[..., Path]:
    """Build, pack and sign a release of the fake product."""

    def make(version: str, /, *, behaviour: str = "good", **more: Any) -> Path:
        number = len(list(tmp_path.glob("tree*")))
        tree = write_build(tmp_path / f"tree{number}", version, behaviour)
        return make_release(tmp_path / f"release{number}", tree, keys, **more)

    return make


class Desk:
    """What the playbooks do on a host: bring the package, call the module."""

    def stage(self, host: FakeHost, release: Path) -> None:
        """Put the package into the host's staging folder, as Ansible's copy does."""
        manifest = json.loads((release / "manifest.json").read_text())
        staging = host.root / "var/lib/garant/staging" / digest_hex(manifest["digest"])
        staging.mkdir(parents=True, exist_ok=True)
        shutil.copy(release / "package.tar.zst", staging)

    def order(self, release: Path | None, **arguments: Any) -> Order:
        """The arguments that the role gives to a server (a register's papers come from the depot)."""
        if release is not None:
            text = (release / "manifest.json").read_text()
            arguments.setdefault("manifest", text)
            arguments.setdefault("digest", json.loads(text)["digest"])
            arguments.setdefault(
                "signatures", {path.name: path.read_text() for path in (release / "signatures").iterdir()}
            )
        return Order(**{"effect_id": "e1", "health_timeout": 5.0, "lock_wait": 0.2, "wait": 60.0} | arguments)

    def call(
        self, host: FakeHost, action: str, release: Path | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Call the module's library on the host."""
        return run(HostLayout(host.root), self.order(release, action=action, **arguments))

    def update(self, host: FakeHost, release: Path, **arguments: Any) -> dict[str, Any]:
        """Bring the package and update."""
        self.stage(host, release)
        return self.call(host, "update", release, **arguments)


@pytest.fixture
def desk() -> Desk:
    """The controller's side."""
    return Desk()
