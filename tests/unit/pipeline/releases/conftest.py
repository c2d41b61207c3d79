"""A product with tags in a git repository, and people with keys."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.application import Garant
from pipeline.engine.dispatch import Dispatcher
from pipeline.engine.memory import MemoryEngine
from pipeline.releases import service, ticks
from pipeline.releases.building import BuildRequest, build_release
from pipeline.releases.gate import RecordedReplays
from pipeline.releases.signatures import OpenSshSignatures
from pipeline.releases.tables import ReleaseRow
from pipeline.settings import ReleaseSettings, Settings

VERSION = "1.2.0"


def make_key(folder: Path, name: str) -> str:
    """A key pair; gives its public part."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True
    )
    kind, key, _ = (folder / f"{name}.pub").read_text().split()
    return f"{kind} {key}"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """anna (author), boris, clara approve; dora's key has expired; eva signs with boris' key; mallory is
    unknown."""
    folder = tmp_path_factory.mktemp("keys")
    public = {name: make_key(folder, name) for name in ("anna", "boris", "clara", "dora", "mallory")}
    lines = [f'{name} namespaces="garant-release" {public[name]}' for name in ("anna", "boris", "clara")]
    lines.append(f'dora namespaces="garant-release",valid-before="20250101" {public["dora"]}')
    lines.append(f'eva namespaces="garant-release" {public["boris"]}')
    (folder / "allowed_signers").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """product.yaml of a product with the tags v1.1.0, v1.2.0 and v1.3.0 (which says 9.9 of itself)."""
    folder = tmp_path_factory.mktemp("product")
    repository = folder / "repository"
    (repository / "bin").mkdir(parents=True)
    env = {
        **os.environ,
        "GIT_AUTHOR_DATE": "2026-02-01T10:00:00+03:00",
        "GIT_COMMITTER_DATE": "2026-02-01T10:00:00+03:00",
        **{
            f"GIT_{who}_{what}": "dev@vendor.example"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(repository), *arguments], check=True, env=env, capture_output=True)

    git("init", "-q", "-b", "main")
    for tag, stated in (("v1.1.0", "1.1.0"), ("v1.2.0", "1.2.0"), ("v1.3.0", "9.9")):
        (repository / "VERSION").write_text(f"{stated}\n")
        (repository / "bin" / "set-server").write_text(f"#!/bin/sh\necho {stated}\n")
        (repository / "bin" / "set-server").chmod(0o755)
        git("add", "-A")
        git("commit", "-q", "-m", tag)
        git("tag", tag)
    file = folder / "product.yaml"
    file.write_text(f'name: toy\nsource: {{git: "{repository}"}}\ndriver: command\n')
    return file


@dataclass
class Desk:
    """A release engineer's desk."""

    app: Garant
    product: Path
    keys: Path
    replays: RecordedReplays

    def build(self, version: str = VERSION, **more: Any) -> tuple[ReleaseRow, bool]:
        request = BuildRequest(version=version, product_file=self.product, **{"author": "anna", **more})
        return build_release(self.app, request)

    def submit(self, version: str = VERSION) -> ReleaseRow:
        with self.app.unit("person:anna") as unit:
            service.submit(unit, version)
        engine = self.app.engine
        assert isinstance(engine, MemoryEngine)
        engine.run_due(
            Dispatcher(
                self.app.unit,
                self.app.clock,
                worker="test",
                ticks=ticks.ticks(self.app),
                jobs=ticks.jobs(self.app, self.replays),
            )
        )
        return self.row(version)

    def approve(self, name: str, *, key: str | None = None, version: str = VERSION) -> ReleaseRow:
        signer = OpenSshSignatures(self.app.settings.releases.allowed_signers)
        signature = signer.sign(service.demand_content(self.row(version)), self.keys / (key or name))
        with self.app.unit(f"person:{name}") as unit:
            return service.approve(unit, self.app.settings, version, name, signature)

    def verify(self, version: str = VERSION) -> service.Verification:
        with self.app.database.reading() as session:
            return service.verify(session, self.app.settings, version)

    def row(self, version: str = VERSION) -> ReleaseRow:
        with self.app.database.reading() as session:
            return service.release(session, version)

    @property
    def folder(self) -> Path:
        return Path(self.row().folder)


@pytest.fixture
def desk(app: Garant, product: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Builds are cached below the test's own folder."""
    monkeypatch.setenv("TESTBENCH_HOME", str(tmp_path / "bench"))
    app.settings = Settings(
        home=app.settings.home, releases=ReleaseSettings(allowed_signers=keys / "allowed_signers")
    )
    return Desk(app=app, product=product, keys=keys, replays=RecordedReplays({}))
