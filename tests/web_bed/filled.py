"""A home filled by the real services on virtual time: something on every page, some of it hostile."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.application import Garant
from pipeline.database import Base, Database
from pipeline.database.schema import import_tables
from pipeline.defects import service as defects
from pipeline.engine.dispatch import Dispatcher, RunningJob
from pipeline.engine.memory import MemoryEngine
from pipeline.fleet.tables import ClientRow, HostRow, StoreRow
from pipeline.intake import service as intake
from pipeline.notices import jobs as notice_jobs
from pipeline.promises import service as promises
from pipeline.releases import package, signatures
from pipeline.releases import service as releases
from pipeline.reproduction import service as reproduction
from pipeline.reproduction.tables import FixCheckRow
from pipeline.rollouts import jobs as rollout_jobs
from pipeline.rollouts import service as rollouts
from pipeline.rollouts.runner.fake import FakeHost, FakeRunner
from pipeline.settings import ReleaseSettings, Settings
from pipeline.trackers import jobs as tracker_jobs
from pipeline.wiring import tick_functions

#: What a stranger wrote into a request.
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
VERSION = "10.4.3"
_NIGHTS = [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:00", "to": "00:00"}]
#: store -> client, name, zone
_STORES = {
    "k-tverskaya": ("kupets", "Тверская, 12", "Europe/Moscow"),
    "k-leninskaya": ("kupets", "Ленинская, 3", "Asia/Kamchatka"),
    "n-main": ("norden", "Main Street", "Europe/Berlin"),
}
_CLIENTS = {
    "kupets": ("Торговая сеть «Купец»", "ru", "Europe/Moscow"),
    "norden": ("Norden", "en", "Europe/Berlin"),
}
_STEPS = {
    "ru": ["1. Касса 1: открыть смену.", "2. Касса 1: чек со скидкой 15 %, оплатить картой."],
    "en": [
        "1. Register 1: open the shift.",
        "2. Register 1: a receipt with a discount of 15 %, paid by card.",
    ],
}


@dataclass
class Clock:
    """Virtual time, beginning on 2026-03-12 at 09:00 in Moscow."""

    now: datetime = datetime(2026, 3, 12, 6, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def filled(folder: Path) -> Iterator[Filled]:
    """An application of its own in the folder, filled; closed at the end."""
    import_tables()
    clock = Clock()
    settings = Settings(home=folder / "home")
    database = Database(settings.database)
    Base.metadata.create_all(database.engine)
    app = Garant(settings, database=database, engine=MemoryEngine(clock), clock=clock)
    try:
        yield Filled(app, clock, folder)
    finally:
        app.close()


class Filled:
    """The application with its story told up to a rollout in its middle."""

    def __init__(self, app: Garant, clock: Clock, folder: Path) -> None:
        self.app, self.clock, self.folder = app, clock, folder
        self.hosts: dict[str, FakeHost] = {}
        self.keys = folder / "keys"
        self._keys()
        signers = ReleaseSettings(allowed_signers=self.keys / "allowed_signers")
        app.settings = Settings(home=app.settings.home, releases=signers)
        self._fleet()
        self.case = self._case()
        self.defect = self._defect()
        self.hostile = self.open_case("norden", "n-main", HOSTILE, HOSTILE)
        self._release()
        self.rollout = self._rollout()

    def work(self, minutes: float = 0) -> None:
        """Let the workers work, and time pass."""
        engine = self.app.engine
        assert isinstance(engine, MemoryEngine)
        jobs = {
            **notice_jobs.jobs(self.app),
            **tracker_jobs.jobs(self.app),
            **rollout_jobs.jobs(self.app, FakeRunner(self.hosts)),
            "diagnosis.collect": self._collected,
            "reproduction.run": self._reproduced,
        }
        ticks = tick_functions(self.app)
        end = self.clock() + timedelta(minutes=minutes)
        while True:
            engine.run_due(Dispatcher(self.app.unit, self.clock, worker="test", ticks=ticks, jobs=jobs))
            due = engine.next_due()
            if due is None or due > end:
                break
            self.clock.now = max(due, self.clock())
        self.clock.now = end

    def classify(self, case: str) -> None:
        """What a support engineer does meanwhile."""
        with self.app.unit("person:olga") as unit:
            intake.classify(unit, case, ["register_typical_ops"])

    def _keys(self) -> None:
        self.keys.mkdir()
        lines = []
        for name in ("anna", "boris", "clara"):
            file = self.keys / name
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)]
            subprocess.run(command, check=True)
            kind, key = file.with_suffix(".pub").read_text().split()[:2]
            lines.append(f'{name} namespaces="garant-release" {kind} {key}\n')
        (self.keys / "allowed_signers").write_text("".join(lines))

    def _fleet(self) -> None:
        stamp: dict[str, Any] = {"created_at": self.clock(), "updated_at": self.clock()}
        with self.app.unit("person:olga") as unit:
            for client, (name, language, zone) in _CLIENTS.items():
                contact = {"name": "IT", "channel": "email", "address": f"it@{client}.invalid", "role": "it"}
                unit.session.add(
                    ClientRow(
                        id=client,
                        name=name,
                        language=language,
                        zone=zone,
                        tariff="contract",
                        contract="17/2025",
                        contacts=[contact],
                        service_manager="sofia@support.invalid",
                        state="active",
                        **stamp,
                    )
                )
            unit.session.flush()
            for store, (client, name, zone) in _STORES.items():
                unit.session.add(
                    StoreRow(
                        id=store,
                        client_id=client,
                        name=name,
                        zone=zone,
                        windows=_NIGHTS,
                        trading_hours=[],
                        tags=["city"],
                        state="active",
                        **stamp,
                    )
                )
                unit.session.flush()
                for number in range(5):
                    self._host(unit, store, number, stamp)

    def _host(self, unit: Any, store: str, number: int, stamp: dict[str, Any]) -> None:
        name = f"{store}-r{number}" if number else f"{store}-server"
        self.hosts[name] = FakeHost(version="10.4.2")
        unit.session.add(
            HostRow(
                id=name,
                store_id=store,
                role="register" if number else "server",
                register=number or None,
                address="127.0.0.1",
                port=22,
                user="root",
                host_key="ssh-ed25519 AAAA",
                lan_address="10.0.0.1",
                version="10.4.2",
                verified_at=self.clock(),
                state="in-service",
                **stamp,
            )
        )

    def open_case(self, client: str, store: str | None, subject: str, text: str) -> str:
        """A request that came by telephone two minutes ago; its number."""
        with self.app.unit("person:olga") as unit:
            return intake.open_case(
                unit,
                client_id=client,
                store_id=store,
                channel="phone",
                received_at=unit.now - timedelta(minutes=2),
                subject=subject,
                text=text,
                contact=f"it@{client}.invalid",
            ).id

    def _case(self) -> str:
        case = self.open_case(
            "kupets", "k-tverskaya", "Не сходятся чеки", "После скидки чек не сходится на копейку."
        )
        with self.app.unit("person:olga") as unit:
            intake.classify(unit, case, ["register_typical_ops"], software_defect=True)
        self.work()
        with self.app.unit("person:olga") as unit:
            reproduction.request(unit, case)
        self.work()
        return case

    def _defect(self) -> str:
        with self.app.database.reading() as session:
            defect = intake.case(session, self.case).defect_id
        assert defect is not None
        with self.app.unit("person:olga") as unit:
            defects.file(unit, defect)
            promises.set_eta(unit, defect, date(2026, 3, 20), "the fix is being tested")
            check = {"created_at": unit.now, "updated_at": unit.now, "findings": {"reason": "2 clean runs"}}
            unit.session.add(FixCheckRow(defect_id=defect, version=VERSION, round=1, state="fixed", **check))
        self.work()
        return defect

    def _collected(self, _job: RunningJob) -> dict[str, Any]:
        """What a diagnosis brings home; the stores of this fleet exist only here."""
        return {
            "folder": str(self.app.settings.folder("evidence") / "E-000001"),
            "digest": "sha256:" + "cd" * 32,
            "version": "10.4.2",
            "missing": [{"host": "k-tverskaya-r4", "what": "set.log", "reason": "no answer in 10 s"}],
            "figures": {"hosts": 5, "files": 39, "bytes": 278460, "seconds": 0.6},
        }

    def _reproduced(self, _job: RunningJob) -> dict[str, Any]:
        """What the bench says."""
        bundle = self.app.settings.folder("bundles") / "REP-000001"
        bundle.mkdir()
        (bundle / "case.json").write_text('{"schema": 1}\n')
        (bundle / "test_case.py").write_text("def test_case():\n    assert True\n")
        return {
            "product": "set10",
            "version": "v10.4.2",
            "verdict": {
                "verdict": "reproduced",
                "signature": "receipt-arithmetic/lines-sum",
                "bad": 20,
                "runs": 20,
                "rate": 1.0,
                "interval": [0.84, 1.0],
                "reason": "all 20 runs failed",
            },
            "notes": [],
            "title": "The lines of a receipt do not add up to its total",
            "reduced": {"before": 456, "after": 16},
            "culprit": {"release": "v10.4.1", "first_bad": "e399ab6698895e1ec562517ce17492e4f8c517df"},
            "culprit_reason": "",
            "commit": {"author": "Pavel Gromov", "date": "2026-02-22", "subject": "Distribute in one pass"},
            "steps": _STEPS,
            "bundle": str(bundle),
            "bundle_digest": "sha256:" + "ab" * 32,
        }

    def _release(self) -> None:
        target = self.app.settings.folder("releases") / VERSION
        tree = self.folder / "tree"
        (tree / "bin").mkdir(parents=True)
        (tree / "VERSION").write_text(f"{VERSION}\n")
        target.mkdir()
        made = datetime.fromisoformat("2026-03-11T00:00:00+00:00")
        packed = package.pack(tree, target / package.PACKAGE, made)
        manifest = {
            "schema": 1,
            "product": "set10",
            "version": VERSION,
            "commit": "c" * 40,
            "digest": packed.digest,
            "size": packed.size,
            "files": packed.files,
            "from_versions": None,
            "floor": None,
            "component_order": ["server", "register"],
            "allow_open_shift": False,
            "author": "anna",
            "fixed_defects": [self.defect],
            "notes": {"ru": "Скидка распределяется точно.", "en": "A discount is spread exactly."},
            "created_at": made.isoformat(),
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
            result = {
                "defect": self.defect,
                "title": "The lines of a receipt do not add up to its total",
                "weight": "claim",
                "verdict": "not-reproduced",
                "passed": True,
                "blocks": False,
                "reason": "2 clean runs",
                "clients": ["kupets"],
            }
            row.state, row.gate = "submitted", {"state": "passed", "results": [result], "reason": ""}
        for name in ("boris", "clara"):
            signature = signatures.OpenSshSignatures(None).sign(content, self.keys / name)
            with self.app.unit(f"person:{name}") as unit:
                releases.approve(unit, self.app.settings, VERSION, name, signature)

    def _rollout(self) -> str:
        # The canary store's last register fails and is rolled back: the rollout stops, and says why.
        self.hosts["k-tverskaya-r4"].failures.append("rolled-back")
        with self.app.unit("person:olga") as unit:
            row, _ = rollouts.plan(unit, release_id=VERSION, canary=("k-tverskaya",))
        with self.app.unit("person:olga") as unit:
            rollouts.start(unit, self.app.settings, row.id)
        self.work(minutes=20)
        return row.id
