"""The stores of the story: brought up, filled with goods, trading; and the ERP that reads their receipts."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.demo.plan import DemoPlan, PlannedStore
from pipeline.demo.steps import NotAsToldError
from testbench.drivers.set10 import soap
from testbench.oracles.documents import purchases, z_reports
from testbench.oracles.findings import Finding
from testbench.oracles.judgement import Question, judge
from testbench.oracles.observations import Observations
from testbench.products.cache import BuildCache
from testbench.products.description import load_product
from testbench.reference import trading
from testbench.stores import StorePlan, Stores

GOODS = 40
RECEIPTS = 12
#: Receipts of the troubled store whose discount does not divide evenly: they show the defect.
UNEVEN = 2
_SERVER_PORT = 8090
_PATIENCE_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What a store's hosts are given before they trade: who may sign updates, and how many must."""

    allowed_signers: str
    approvals: int


def bring_up(
    plan: DemoPlan,
    *,
    product: Path,
    state_dir: Path,
    mode: Any,
    trust: Trust,
    doing: Callable[[str], None],
) -> Stores:
    """Build the versions that the clients have, and bring the stores up with them."""
    cache = BuildCache.of(load_product(product))
    builds: dict[str, Path] = {}
    for version in dict.fromkeys(store.version for store in plan.stores):
        doing(f"building {version}")
        with cache.use(version) as build:
            builds[version] = build.path
    plans = [
        StorePlan(
            name=store.id,
            zone=store.zone,
            registers=store.registers,
            product=builds[store.version],
            allowed_signers=trust.allowed_signers,
            policy={"approvals": trust.approvals},
        )
        for store in plan.stores
    ]
    return Stores.up(plans, state_dir, mode, progress=lambda step: doing(step.text))


class Erp:
    """The client's ERP: sends goods to a store's server, reads the receipts that come back, adds them up."""

    def __init__(self, address: str, shop: int, zone: str) -> None:
        self._address, self._shop, self._zone = address, shop, ZoneInfo(zone)

    def send_goods(self, assortment: Sequence[trading.Good], today: datetime) -> None:
        """Send the catalogue by SOAP and poll its status until it is imported.

        Raises:
            NotAsToldError: SET does not accept or does not import it.
        """
        document = trading.goods_document(assortment, self._shop, today.date() - timedelta(days=1))
        ti = str(int(today.timestamp() * 1000))
        if soap.returned(self._call(soap.GOODS[0], soap.goods_with_ti(document, ti))) != "true":
            raise NotAsToldError(f"SET of shop {self._shop} did not accept the goods")
        end = time.monotonic() + _PATIENCE_S
        while (answer := soap.status(self._call(soap.FEEDBACK[0], soap.package_status(ti))))[0] != 3:
            if answer[0] not in (1, 2) or time.monotonic() > end:
                raise NotAsToldError(f"SET of shop {self._shop} did not import the goods: {answer}")
            time.sleep(0.1)

    def look(self, today: datetime) -> Observations:
        """The receipts and Z reports of the day, as SET exports them."""
        day = today.astimezone(self._zone).date().isoformat()
        receipts = purchases(self._document("getPurchasesByOperDay", day))
        reports = z_reports(self._document("getZReportsByOperDay", day))
        return Observations(shop=self._shop, receipts=receipts, z_reports=reports, is_complete=False)

    def complaints(self, today: datetime) -> list[Finding]:
        """What does not add up in the day's documents: arithmetic only, which any ERP can check."""
        return judge(self.look(today), Question(invariants=("receipt-arithmetic",)))

    def _document(self, operation: str, day: str) -> bytes:
        return soap.returned_document(self._call(soap.FISCAL[0], soap.by_operday(operation, day)))

    def _call(self, path: str, envelope: bytes) -> bytes:
        connection = http.client.HTTPConnection(self._address, _SERVER_PORT, timeout=30)
        try:
            connection.request("POST", path, envelope, {"Content-Type": "text/xml; charset=utf-8"})
            return connection.getresponse().read()
        finally:
            connection.close()


def erp_of(stores: Stores, store: PlannedStore) -> Erp:
    """The ERP side of one store."""
    site = next(site for site in stores.site.stores if site.name == store.id)
    server = next(host for host in site.hosts if host.role == "server")
    return Erp(server.address, site.shop, store.zone)


def trade(stores: Stores, store: PlannedStore, seed: int, *, troubled: bool) -> int:
    """Have every register of the store sell for one shift, by its cashier; returns the receipts closed.

    Raises:
        NotAsToldError: the goods do not reach a register, or a cashier's program fails.
    """
    assortment = trading.goods(GOODS, seed)
    closed = 0
    for register in range(1, store.registers + 1):
        host = f"{store.id}-r{register}"
        _wait(lambda host=host: _register_has_goods(stores, host), f"the goods on {host}")  # type: ignore[misc]
        actions = trading.shift(
            assortment,
            RECEIPTS,
            seed=seed,
            cash=register,
            uneven_discounts=UNEVEN if troubled and register == 1 else 0,
        )
        done = stores.run(host, CASHIER, "\n".join(json.dumps(action) for action in actions) + "\n")
        if done.returncode != 0:
            raise NotAsToldError(f"the cashier's program on {host} failed: {done.stderr.strip()[-500:]}")
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        pairs = zip(actions, answers, strict=True)
        closed += sum(
            action["type"] == "receipt.close" and answer.get("ok", False) for action, answer in pairs
        )
    return closed


def wait_for_export(stores: Stores, store: PlannedStore, closed: int, today: datetime) -> int:
    """Wait until every closed receipt of the store is exported to the ERP; returns how many there are.

    Raises:
        NotAsToldError: they do not come.
    """
    erp = erp_of(stores, store)
    _wait(lambda: _closed(erp, today) >= closed, f"the receipts of {store.id} at the ERP")
    return _closed(erp, today)


def _closed(erp: Erp, today: datetime) -> int:
    return sum(not receipt.is_cancelled for receipt in erp.look(today).receipts)


def pause(seconds: float) -> None:
    """Let the workers work."""
    time.sleep(seconds)


CASHIER = "/opt/set/current/bin/cashier --config /etc/set/set.json"
_STATUS = (
    "/usr/bin/python3 -c 'import urllib.request; "
    'print(urllib.request.urlopen("http://127.0.0.1:{port}/status", timeout=5).read().decode())\''
)


def status(stores: Stores, host: str) -> dict[str, Any]:
    """What the product on the host says of itself; asked on the host itself, over SSH.

    Raises:
        NotAsToldError: it does not answer.
    """
    port = 8090 if host.endswith("-server") else 8095
    done = stores.run(host, _STATUS.format(port=port), timeout_s=20)
    if done.returncode != 0:
        raise NotAsToldError(f"SET on {host} does not answer: {done.stderr.strip()[-300:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _register_has_goods(stores: Stores, host: str) -> bool:
    return int(status(stores, host)["goods"]) >= GOODS


def _wait(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not done():
        if time.monotonic() > end:
            raise NotAsToldError(f"{what}: not there after {_PATIENCE_S:.0f} s")
        time.sleep(0.2)


#: Runs on the register until it is told to stop: hangs the product while the version is the current one. Each
#: process once, so that it can still be stopped.
_SABOTAGE = """\
setsid sh -c 'hung=" "; while [ ! -e /run/mended ]; do
  if [ "$(readlink /opt/set/current)" = "releases/{version}" ]; then
    for p in /proc/[0-9]*; do
      id="${{p#/proc/}}"
      case "$hung" in *" $id "*) continue ;; esac
      grep -q "bin/[s]et-register" $p/cmdline 2>/dev/null || continue
      kill -STOP $id && hung="$hung$id "
    done
  fi
  sleep 0.1
done' </dev/null >/dev/null 2>&1 &
"""


def break_version(stores: Stores, host: str, version: str) -> None:
    """Make the register such that this version hangs on it as soon as it starts, as on faulty hardware."""
    stores.run(host, f"rm -f /run/mended; {_SABOTAGE.format(version=version)}")


def mend_version(stores: Stores, host: str) -> None:
    """The register is in order again."""
    stores.run(host, "touch /run/mended")
