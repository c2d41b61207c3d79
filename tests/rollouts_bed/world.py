"""A fleet in memory, approved releases with real signatures, a rollout's world on virtual time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pipeline.application import Garant
from pipeline.engine.dispatch import Dispatcher
from pipeline.engine.memory import MemoryEngine
from pipeline.fleet.tables import ClientRow, HostRow, StoreRow
from pipeline.notices.tables import NoticeRow
from pipeline.releases import package, signatures
from pipeline.releases import service as releases
from pipeline.rollouts import jobs, reading, service, ticks
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.runner.fake import FakeHost, FakeRunner
from pipeline.settings import ReleaseSettings, Settings

ALWAYS = [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:00", "to": "00:00"}]
VERSION = "10.4.2"


def make_keys(folder: Path) -> Path:
    """Private keys of anna (author), boris, clara, dmitri, and an allowed_signers file that knows them."""
    lines = []
    for name in ("anna", "boris", "clara", "dmitri"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True
        )
        public = (folder / f"{name}.pub").read_text().split()
        lines.append(f'{name} namespaces="garant-release" {public[0]} {public[1]}\n')
    (folder / "allowed_signers").write_text("".join(lines))
    return folder


@dataclass
class World:
    """The application, its fleet, and hosts that answer."""

    app: Garant
    clock: Any
    keys: Path
    hosts: dict[str, FakeHost] = field(default_factory=dict)
    crash: Callable[[Any, str], None] = lambda _order, _host: None
    out: dict[str, set[str]] = field(default_factory=dict)
    out_most: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runner = FakeRunner(
            self.hosts, observer=self._observe, crash=lambda order, host: self.crash(order, host)
        )

    def _observe(self, host: str, out: bool) -> None:
        if "-r" in host:
            store = host.rpartition("-")[0]
            group = self.out.setdefault(store, set())
            (group.add if out else group.discard)(host)
            self.out_most[store] = max(self.out_most.get(store, 0), len(group))

    def store(
        self,
        name: str,
        *,
        client: str = "kupets",
        registers: int = 4,
        version: str = "10.4.1",
        windows: list[dict[str, Any]] = ALWAYS,
        zone: str = "Europe/Moscow",
        **more: Any,
    ) -> None:
        """Add a store with its hosts."""
        now = self.clock()
        with self.app.database.transaction() as session:
            if session.get(ClientRow, client) is None:
                session.add(
                    ClientRow(
                        id=client,
                        name=client.title(),
                        language="en",
                        zone=zone,
                        tariff="contract",
                        contacts=[{"name": "Ops", "channel": "email", "address": f"ops@{client}.invalid"}],
                        state="active",
                        created_at=now,
                        updated_at=now,
                    )
                )
                session.flush()
            session.add(
                StoreRow(
                    id=name,
                    client_id=client,
                    name=f"Store {name}",
                    zone=zone,
                    windows=windows,
                    trading_hours=more.get("trading_hours", []),
                    tags=more.get("tags", []),
                    state="active",
                    created_at=now,
                    updated_at=now,
                )
            )
            session.flush()
            for number in range(registers + 1):
                host = f"{name}-r{number}" if number else f"{name}-server"
                self.hosts[host] = FakeHost(version=version)
                session.add(
                    HostRow(
                        id=host,
                        store_id=name,
                        role="register" if number else "server",
                        register=number or None,
                        address="127.0.0.1",
                        port=22,
                        user="root",
                        host_key="ssh-ed25519 AAAA",
                        lan_address="10.0.0.1",
                        version=version,
                        state="unknown",
                        created_at=now,
                        updated_at=now,
                    )
                )

    def release(self, version: str = VERSION, *, approvers: tuple[str, ...] = ("boris", "clara")) -> None:
        """A small release, its gate passed, signed by the approvers."""
        target = self.app.settings.folder("releases") / version
        tree = target.parent / f"tree-{version}"
        (tree / "bin").mkdir(parents=True)
        (tree / "VERSION").write_text(f"{version}\n")
        (tree / "bin" / "set-server").write_text("#!/bin/sh\n")
        target.mkdir()
        packed = package.pack(
            tree, target / package.PACKAGE, datetime.fromisoformat("2026-03-01T00:00:00+00:00")
        )
        manifest = {
            "schema": 1,
            "product": "set10",
            "version": version,
            "commit": "c" * 40,
            "digest": packed.digest,
            "size": packed.size,
            "files": packed.files,
            "from_versions": None,
            "floor": None,
            "component_order": ["server", "register"],
            "allow_open_shift": False,
            "author": "anna",
            "fixed_defects": [],
            "notes": {"ru": "Скидки сходятся", "en": "Discounts add up"},
            "created_at": "2026-03-01T00:00:00+00:00",
        }
        content = package.canonical(manifest)
        (target / package.MANIFEST).write_bytes(content)
        with self.app.unit("person:anna") as unit:
            row, _ = releases.register_build(
                unit,
                self.app.settings,
                manifest=manifest,
                commit="c" * 40,
                target=target,
                product_file=Path("product.yaml"),
            )
            row.state, row.gate = "submitted", {"state": "passed", "results": []}
        for name in approvers:
            self.approve(version, name)

    def approve(self, version: str, name: str) -> None:
        with self.app.database.reading() as session:
            content = releases.demand_content(releases.release(session, version))
        signature = signatures.OpenSshSignatures(None).sign(content, self.keys / name)
        with self.app.unit(f"person:{name}") as unit:
            releases.approve(unit, self.app.settings, version, name, signature)

    def plan(self, *, policy: Policy | None = None, version: str = VERSION, **more: Any) -> str:
        with self.app.unit("person:olga") as unit:
            row, _ = service.plan(unit, release_id=version, policy=policy or Policy(), **more)
            return row.id

    def start(self, rollout: str, **more: Any) -> None:
        with self.app.unit("person:olga") as unit:
            service.start(unit, self.app.settings, rollout, **more)

    def act(self, verb: str, *args: Any) -> Any:
        with self.app.unit("person:olga") as unit:
            return getattr(service, verb)(unit, *args)

    def dispatcher(self) -> Dispatcher:
        return Dispatcher(
            self.app.unit,
            self.app.clock,
            worker="test",
            ticks=ticks.ticks(self.app),
            jobs=jobs.jobs(self.app, self.runner),
        )

    def pass_time(self, minutes: float = 60, step: timedelta = timedelta(seconds=20)) -> None:
        """Let the world go on for so long, in steps."""
        engine = self.app.engine
        assert isinstance(engine, MemoryEngine)
        end = self.clock() + timedelta(minutes=minutes)
        while True:
            engine.run_due(self.dispatcher())
            due = engine.next_due()
            if self.clock() >= end:
                return
            wait = step if due is None else max(due - self.clock(), timedelta(milliseconds=1))
            self.clock.advance(min(wait, end - self.clock()))

    def status(self, rollout: str) -> dict[str, Any]:
        with self.app.database.reading() as session:
            return reading.status(session, rollout, self.clock())

    def states(self, rollout: str) -> dict[str, str]:
        found = {}
        for wave in self.status(rollout)["waves"]:
            for store in wave["stores"]:
                found[store["store"]] = store["state"]
                found |= {host["host"]: host["state"] for host in store["hosts"]}
        return found

    def told(self) -> list[tuple[str, str]]:
        with self.app.database.reading() as session:
            rows = session.scalars(select(NoticeRow).order_by(NoticeRow.created_at, NoticeRow.key))
            return [(row.kind, row.client_id or "") for row in rows]


def make_world(app: Garant, clock: Any, keys: Path) -> World:
    """An empty fleet under the application; its settings trust the keys."""
    trusted = ReleaseSettings(allowed_signers=keys / "allowed_signers")
    app.settings = Settings(home=app.settings.home, releases=trusted)
    return World(app=app, clock=clock, keys=keys)
