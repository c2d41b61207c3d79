"""Real local stores with the reference SET, a real release of it, and the whole rollout engine over them."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.application import Garant, system_clock
from pipeline.database import Base, Database
from pipeline.engine.dispatch import Dispatcher
from pipeline.engine.memory import MemoryEngine
from pipeline.fleet.tables import ClientRow, HostRow, StoreRow
from pipeline.releases import service as releases
from pipeline.releases import signatures
from pipeline.releases import ticks as release_ticks
from pipeline.releases.building import BuildRequest, build_release
from pipeline.releases.gate import RecordedReplays
from pipeline.rollouts import jobs, reading, service, ticks
from pipeline.rollouts.policy import Policy
from pipeline.settings import ReleaseSettings, Settings
from testbench.products.cache import BuildCache
from testbench.products.description import load_product
from testbench.reference.history import build_history
from testbench.stores import ModeUnavailableError, StorePlan, Stores, detect_mode

OLD, NEW = "10.4.5.0", "10.4.6.0"
ALWAYS = [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:00", "to": "00:00"}]
PEOPLE = ("anna", "boris", "clara")


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """product.yaml of the reference SET."""
    return Path(build_history(tmp_path_factory.mktemp("reference") / "set10.git").product)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of the people, and allowed_signers."""
    folder = tmp_path_factory.mktemp("keys")
    lines = []
    for name in PEOPLE:
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True
        )
        public = (folder / f"{name}.pub").read_text().split()
        lines.append(f'{name} namespaces="garant-release" {public[0]} {public[1]}\n')
    (folder / "allowed_signers").write_text("".join(lines))
    return folder


@dataclass
class Site:
    """The engine at work over the fleet."""

    app: Garant
    stores: Stores
    keys: Path
    product: Path
    policy: Policy = field(default_factory=Policy)

    def dispatcher(self) -> Dispatcher:
        return Dispatcher(
            self.app.unit,
            self.app.clock,
            worker="test",
            ticks={**ticks.ticks(self.app), **release_ticks.ticks(self.app)},
            jobs={**jobs.jobs(self.app), **release_ticks.jobs(self.app, RecordedReplays({}))},
        )

    def release(self, version: str = NEW, approvers: tuple[str, ...] = ("boris", "clara")) -> None:
        build_release(
            self.app,
            BuildRequest(version=version, product_file=self.product, author="anna", notes={"en": "x"}),
        )
        with self.app.unit("person:anna") as unit:
            releases.submit(unit, version)
        self.until(lambda: self.release_row(version).gate.get("state") == "passed", "the gate")
        for name in approvers:
            content = releases.demand_content(self.release_row(version))
            signer = signatures.OpenSshSignatures(self.app.settings.releases.allowed_signers)
            signature = signer.sign(content, self.keys / name)
            with self.app.unit(f"person:{name}") as unit:
                releases.approve(unit, self.app.settings, version, name, signature)

    def release_row(self, version: str) -> Any:
        with self.app.database.reading() as session:
            return releases.release(session, version)

    def begin(self, **more: Any) -> str:
        with self.app.unit("person:olga") as unit:
            row, _ = service.plan(unit, release_id=NEW, policy=self.policy, **more)
            rollout = row.id
        with self.app.unit("person:olga") as unit:
            service.start(unit, self.app.settings, rollout)
        return rollout

    def act(self, verb: str, *args: Any) -> Any:
        with self.app.unit("person:olga") as unit:
            return getattr(service, verb)(unit, *args)

    def status(self, rollout: str) -> dict[str, Any]:
        with self.app.database.reading() as session:
            return reading.status(session, rollout, self.app.clock())

    def states(self, rollout: str) -> dict[str, str]:
        return {
            host["host"]: host["state"]
            for wave in self.status(rollout)["waves"]
            for store in wave["stores"]
            for host in store["hosts"]
        }

    def until(self, is_so: Any, what: str) -> None:
        self.app.wait_until(is_so, seconds=240, what=what)

    def until_state(self, rollout: str, *states: str) -> dict[str, Any]:
        try:
            self.until(lambda: self.status(rollout)["state"] in states, f"{rollout} {states}")
        except Exception as error:
            raise AssertionError(json.dumps(self.status(rollout), default=str, indent=1)) from error
        return self.status(rollout)

    def versions(self) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for store in self.stores.describe()["stores"]:
            for host in store["hosts"]:
                port = 8090 if host["role"] == "server" else 8095
                ask = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/status').read().decode())"
                done = self.stores.run(host["name"], f"/usr/bin/python3 -c {shlex.quote(ask)}")
                found[host["name"]] = json.loads(done.stdout)["version"] if done.stdout else None
        return found


def _rows(database: Database, stores: Stores) -> None:
    now = datetime.now(UTC)
    stamps = {"created_at": now, "updated_at": now}
    with database.transaction() as session:
        client = ClientRow(
            id="kupets",
            name="Kupets",
            language="ru",
            zone="Europe/Moscow",
            tariff="contract",
            contacts=[{"name": "Ops", "channel": "email", "address": "ops@kupets.invalid"}],
            state="active",
            **stamps,
        )
        session.add(client)
        session.flush()
        for store in stores.describe()["stores"]:
            session.add(
                StoreRow(
                    id=store["name"],
                    client_id="kupets",
                    name=store["name"],
                    zone=store["zone"],
                    windows=ALWAYS,
                    trading_hours=[],
                    tags=[],
                    state="active",
                    **stamps,
                )
            )
            session.flush()
            for host in store["hosts"]:
                session.add(
                    HostRow(
                        id=host["name"],
                        store_id=store["name"],
                        role=host["role"],
                        register=host["register"],
                        address=host["address"],
                        port=host["port"],
                        user="root",
                        host_key=host["host_key"],
                        lan_address=host["lan_address"],
                        version=OLD,
                        state="unknown",
                        **stamps,
                    )
                )


@pytest.fixture
def site(tmp_path: Path, product: Path, keys: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Stores ``east`` and ``west`` of three registers each, at the old version, and the engine running."""
    try:
        detect_mode().choose("auto")
    except ModeUnavailableError as error:
        pytest.skip(str(error))
    cache = BuildCache.of(load_product(product))
    names = getattr(request, "param", ("east", "west"))
    with cache.use(f"v{OLD}") as build:
        plans = [
            StorePlan(
                name=name,
                registers=3,
                product=build.path,
                allowed_signers=(keys / "allowed_signers").read_text(),
                policy={"approvals": 2},
            )
            for name in names
        ]
        stores = Stores.up(plans, tmp_path / "stores")
    try:
        yield from _running(tmp_path, stores, keys, product)
    finally:
        stores.down()


def _running(tmp_path: Path, stores: Stores, keys: Path, product: Path) -> Iterator[Site]:
    settings = Settings(
        home=tmp_path / "home",
        ssh_identity=Path(stores.describe()["ssh"]["identity"]),
        releases=ReleaseSettings(allowed_signers=keys / "allowed_signers"),
    )
    database = Database(settings.database)
    Base.metadata.create_all(database.engine)
    _rows(database, stores)
    app = Garant(settings, database=database, engine=MemoryEngine(system_clock))
    policy = Policy(
        soak=_seconds(1),
        refusal_retry=_seconds(2),
        offline_retry=_seconds(2),
        unknown_retry=_seconds(1),
        health_timeout=_seconds(8),
    )
    site = Site(app=app, stores=stores, keys=keys, product=product, policy=policy)
    app.engine.start(site.dispatcher(), {})
    try:
        yield site
    finally:
        app.close()


def _seconds(number: float) -> timedelta:
    return timedelta(seconds=number)
