"""What all tests share: an application on virtual time, and PostgreSQL beside SQLite."""

from __future__ import annotations

import itertools
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import pytest

from pipeline.application import Garant
from pipeline.database import Base, Database
from pipeline.database.schema import import_tables
from pipeline.engine.memory import MemoryEngine
from pipeline.settings import Settings
from testbench.stores import down
from testbench.stores.state import REGISTER


@pytest.fixture(scope="session", autouse=True)
def no_abandoned_stores(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Take down local stores of test runs that were killed.

    Their disks are mounts inside an old temporary folder, and pytest's clean-up of old folders would go
    through the mounts of hosts that are still alive, and never end.
    """
    temporary = str(tmp_path_factory.getbasetemp().parent)
    for entry in REGISTER.glob("fleet-*.json"):
        try:
            record = json.loads(entry.read_text())
        except (OSError, ValueError):
            continue
        if record["state_dir"].startswith(temporary) and not psutil.pid_exists(record["made_by"]):
            down(Path(record["state_dir"]))


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_works() -> None:
    """What the tests start can be interrupted.

    A shell starts background jobs with SIGINT ignored, and children inherit that: tests that press Ctrl-C
    would wait for a program that never hears it.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class VirtualClock:
    """A clock that moves only when told."""

    now: datetime = datetime(2026, 3, 12, 6, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> datetime:
        self.now += by
        return self.now


@pytest.fixture
def clock() -> VirtualClock:
    """Virtual time, beginning on 2026-03-12 at 09:00 in Moscow."""
    return VirtualClock()


@pytest.fixture
def app(tmp_path: Path, clock: VirtualClock) -> Iterator[Garant]:
    """The application on SQLite, the engine in memory and virtual time.

    Move on with ``clock.advance(...)`` and ``app.engine.run_due(app.dispatcher())``.
    """
    import_tables()
    settings = Settings(home=tmp_path / "home")
    database = Database(settings.database)
    Base.metadata.create_all(database.engine)
    numbers = itertools.count(1)
    application = Garant(
        settings,
        database=database,
        engine=MemoryEngine(clock),
        clock=clock,
        new_id=lambda: f"id{next(numbers):04}",
    )
    yield application
    application.close()


@dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL server of the tests' own, on loopback."""

    port: int

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://garant@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        with psycopg.connect(f"postgresql://garant@127.0.0.1:{self.port}/postgres", autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def drop(self, database: str) -> None:
        with psycopg.connect(f"postgresql://garant@127.0.0.1:{self.port}/postgres", autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{database}" WITH (FORCE)')


def _postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[4]))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else (Path(on_path).parent if on_path else None)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL started on loopback as a non-root user; ended with the session."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql (make setup does it for root)")
    folder = Path("/tmp") / f"garant-postgres-{os.getpid()}"
    folder.mkdir(mode=0o700)
    user: str | None = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "postgres"
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    run = {"user": user, "cwd": folder} if user else {"cwd": folder}
    subprocess.run(
        [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "garant",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
        **run,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",
        "max_connections": 200,
    }
    flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([programs / "postgres", "-D", data, *flags], stdout=log, stderr=log, **run)
    try:
        _wait_for(port, server, folder / "log")
        yield PostgresServer(port)
    finally:
        server.send_signal(2)  # SIGINT: fast shutdown
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(f"postgresql://garant@127.0.0.1:{port}/postgres").close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.05)


_databases = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with our tables: every test that asks for it runs on SQLite and on PostgreSQL."""
    import_tables()
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path / 'garant.db'}")
        Base.metadata.create_all(made.engine)
        yield made
        made.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{os.getpid()}_{next(_databases)}"
    made = Database(server.create(name))
    Base.metadata.create_all(made.engine)
    yield made
    made.close()
    server.drop(name)
