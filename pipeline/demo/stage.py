"""Where the story is played: stores, settings, worker; and how it waits for what it looks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from pipeline.application import Garant
from pipeline.database import schema
from pipeline.defects import queries as defect_queries
from pipeline.demo import people, shops
from pipeline.demo.observer import wait_for_letter
from pipeline.demo.plan import RELEASED, DemoPlan, fleet_document
from pipeline.demo.steps import Narrator, NotAsToldError
from pipeline.engine.tables import JobRow
from pipeline.engine.worker import Worker
from pipeline.fleet import service as fleet
from pipeline.fleet.check import check_hosts, record_checks
from pipeline.fleet.importer import import_fleet
from pipeline.fleet.reading import read_fleet
from pipeline.notices import service as notices
from pipeline.settings import load_settings
from testbench.reference import build_history, trading
from testbench.stores import Stores

ACTOR = "person:demo"
_WAIT_S = 600.0


@dataclass
class Told:
    """What the story has brought so far; the answer of ``--json`` is made from it."""

    case: str = ""
    evidence: str = ""
    reproduction: str = ""
    defect: dict[str, Any] = field(default_factory=dict)
    defect_id: str = ""
    tracker: dict[str, Any] = field(default_factory=dict)
    promise: dict[str, Any] = field(default_factory=dict)
    release: dict[str, Any] = field(default_factory=dict)
    rollout: dict[str, Any] = field(default_factory=dict)
    notices: list[dict[str, Any]] = field(default_factory=list)


class Stage:
    """Where the story is played: folders, stores, Garant itself. ``close`` takes down what was put up."""

    def __init__(self, folder: Path, plan: DemoPlan, narrator: Narrator, *, mode: str, tracker: Any) -> None:
        self.folder, self.plan, self.narrator, self.mode = folder, plan, narrator, mode
        self.home = folder / "home"
        self.product = folder / "set10.git.product.yaml"
        self.tracker = tracker
        self.people = people.make_people(folder / "keys")
        self.told = Told()
        self._app: Garant | None = None
        self._worker: Worker | None = None
        self._stores: Stores | None = None

    @property
    def app(self) -> Garant:
        """Garant; there from the second step on."""
        assert self._app is not None
        return self._app

    @property
    def stores(self) -> Stores:
        """The stores; there from the first step on."""
        assert self._stores is not None
        return self._stores

    @property
    def maildir(self) -> Path:
        """Where the notices arrive."""
        return self.home / "mail"

    def bring_up_stores(self) -> None:
        """Real hosts, each with the version of SET that its client has."""
        say = self.narrator.say
        history = build_history(self.folder / "set10.git", upto=RELEASED)
        say(f"SET's repository: {history.commits} commits, newest release {RELEASED}")
        trust = shops.Trust(allowed_signers=people.allowed_signers(self.people), approvals=2)
        self._stores = shops.bring_up(
            self.plan,
            product=self.product,
            state_dir=self.folder / "stores",
            mode=self.mode,
            trust=trust,
            doing=self.narrator.doing,
        )
        hosts = [host.name for site in self.stores.site.stores for host in site.hosts]
        for host in hosts:
            shops.status(self.stores, host)
        say(f"{len(hosts)} hosts in {len(self.plan.stores)} stores are up ({self.stores.mode}) and serve")

    def open_garant(self) -> None:
        """Settings, database, worker; the fleet imported with its host keys pinned, and checked over SSH."""
        described = self.stores.describe()
        self.home.mkdir(parents=True)
        signers = self.home / "allowed_signers"
        signers.write_text(people.allowed_signers(self.people), encoding="utf-8")
        settings = {
            "product": str(self.product),
            "ssh_identity": described["ssh"]["identity"],
            "releases": {"approvals": 2, "allowed_signers": str(signers)},
            "tracker": self.tracker.settings(),
        }
        (self.home / "garant.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        self._app = Garant(load_settings(self.home))
        schema.upgrade(self.app.database)
        self.app.engine.migrate()  # type: ignore[attr-defined]  # the settings give DBOS, which has tables of its own
        self._worker = self.app.worker()
        self._worker.start()
        file = self.folder / "fleet.yaml"
        document = fleet_document(self.plan, described)
        file.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
        with self.app.unit(ACTOR) as unit:
            imported = import_fleet(unit, read_fleet(file))
        self.narrator.say(f"fleet imported from YAML: {len(imported.created)} new rows, host keys pinned")
        self._check_fleet()

    def _check_fleet(self) -> None:
        with self.app.database.reading() as session:
            hosts = [host for store in self.plan.stores for host in fleet.hosts_of_store(session, store.id)]
        identity = self.app.settings.ssh_identity
        assert identity is not None
        checks = check_hosts(hosts, identity=identity, python=self.app.settings.host_python)
        wrong = [f"{check.host}: {check.reason}" for check in checks if check.result != "ok"]
        if wrong:
            raise NotAsToldError("; ".join(wrong))
        with self.app.unit(ACTOR) as unit:
            record_checks(unit, checks)
        self.narrator.say(f"{len(checks)} hosts answer by SSH with their pinned keys")

    def trade(self) -> None:
        """The ERP sends goods, registers sell a shift; in one store the receipts do not add up."""
        today = self.app.clock()
        assortment = trading.goods(shops.GOODS, self.plan.seed)
        for store in self.plan.stores:
            shops.erp_of(self.stores, store).send_goods(assortment, today)
        self.narrator.say(f"the ERP sent {len(assortment)} goods to each store by SOAP; SET imported them")
        for store in self.plan.stores:
            self.narrator.doing(f"selling in {store.id}")
            troubled = store is self.plan.troubled
            closed = shops.trade(self.stores, store, self.plan.seed, troubled=troubled)
            exported = shops.wait_for_export(self.stores, store, closed, today)
            complaints = shops.erp_of(self.stores, store).complaints(today)
            if bool(complaints) is not troubled:
                raise NotAsToldError(f"{store.id}: {[finding.signature for finding in complaints]}")
            seen = complaints[0].signature if complaints else "they add up"
            self.narrator.say(f"{store.id}: {exported} receipts sold and exported; {seen}")

    def await_notice(self, kind: str, *, client: str | None = None) -> None:
        """Wait until the notice of this kind is accepted, and is in the mailbox, in the client's language.

        Raises:
            NotAsToldError: it is not, in time.
        """
        whose = client or self.plan.troubled.client
        self.wait(lambda: self._notice(kind, whose) is not None, f"the notice {kind} to {whose}")
        notice = self._notice(kind, whose)
        assert notice is not None
        assert notice.message_id is not None
        letter = wait_for_letter(self.maildir, notice.message_id)
        if letter is None or letter["To"] is None or f"@{whose}.example" not in letter["To"]:
            raise NotAsToldError(f"notice {kind} to {whose} is not in the mailbox {self.maildir}")
        self.told.notices = [n for n in self.told.notices if (n["kind"], n["client"]) != (kind, whose)]
        self.told.notices.append(
            {"kind": kind, "client": whose, "language": notice.language, "state": notice.state}
        )

    def _notice(self, kind: str, client: str) -> Any:
        with self.app.database.reading() as session:
            found = notices.notices(session, client_id=client, kind=kind, state="accepted")
        return found[-1] if found else None

    def defect(self) -> Any:
        """The defect as it is now."""
        with self.app.database.reading() as session:
            return defect_queries.defect(session, self.told.defect_id)

    def work(self, effect_id: str) -> JobRow:
        """Wait for a job of the worker, showing what it does.

        Raises:
            NotAsToldError: it failed.
        """
        while True:
            with self.app.database.reading() as session:
                job = session.get_one(JobRow, effect_id)
            if job.progress:
                done, total = job.progress["done"], job.progress["total"]
                figures = f" ({done:.0f} of {total:.0f})" if done is not None and total else ""
                self.narrator.doing(f"{job.progress['text']}{figures}")
            if job.state == "failed":
                raise NotAsToldError(f"{effect_id}: {job.error}")
            if job.state == "done":
                return job
            shops.pause(0.3)

    def wait(self, done: Callable[[], bool], what: str, seconds: float = _WAIT_S) -> None:
        """Wait for the workers to bring something about.

        Raises:
            NotAsToldError: not in time.
        """
        end = self.app.clock() + timedelta(seconds=seconds)
        while not done():
            if self.app.clock() > end:
                raise NotAsToldError(f"{what} did not come within {seconds:.0f} s")
            shops.pause(0.2)

    def close(self, *, keep: bool = False) -> None:
        """Stop the worker, take the stores down (unless kept); what the story made stays to be looked at."""
        if self._worker is not None:
            self._worker.stop()
        if self._app is not None:
            self._app.close()
        self.tracker.close()
        if self._stores is not None and not keep:
            self._stores.down()
