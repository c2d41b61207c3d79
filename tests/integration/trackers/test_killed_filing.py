"""kill -9 of real worker processes at every step of filing, by the Jira server in the middle of a request."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from pipeline.application import Garant
from pipeline.database import Database
from pipeline.defects import queries, service
from pipeline.defects.tables import DefectRow
from pipeline.settings import load_settings
from pipeline.trackers.jira_server import Fault, Flavour, JiraServer

#: Method and path of each request of one filing, in order: what is known before it differs at each.
STEPS = [
    ("GET", "/serverInfo$"),
    ("GET", r"/search(/jql)?$"),  # no intent yet
    ("POST", "/issue$"),  # intent written; then created and not recorded
    ("GET", "/issue/SET-[0-9]+$"),  # recorded; nothing attached
    ("POST", "/attachments$"),  # then attached, no comment
    ("GET", "/comment$"),
    ("POST", "/comment$"),
    ("POST", "/remotelink$"),  # then linked, the outcome not kept
]
WORKER = Path(__file__).with_name("filing_worker.py")
#: The test gives up after so long (seconds); it takes a small part of it.
PATIENCE_S = 240.0


class Killer:
    """Keeps workers going; ``kill`` is called by the server, in the middle of a worker's request."""

    def __init__(self, home: Path, workers: int) -> None:
        self._lock = threading.Lock()
        self.kills = 0
        with (home / "worker.log").open("ab") as log:
            self._nursery = subprocess.Popen(
                [sys.executable, str(WORKER), str(home)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._workers = [self._start() for _ in range(workers)]

    def _start(self) -> psutil.Process:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write("one more\n")
        self._nursery.stdin.flush()
        return psutil.Process(int(self._nursery.stdout.readline()))

    def kill(self, port: int) -> None:
        """SIGKILL to the worker that asks from this port; another one takes its place."""
        with self._lock:
            for worker in self._workers:
                if port in {at.laddr.port for at in worker.net_connections("tcp4")}:
                    self._end(worker)
                    self.kills += 1
                    self._workers.remove(worker)
                    self._workers.append(self._start())
                    return

    def end(self) -> None:
        """Kill all."""
        with self._lock:
            for worker in self._workers:
                self._end(worker)
            self._nursery.communicate()

    @staticmethod
    def _end(worker: psutil.Process) -> None:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
            worker.wait()


def defects(app: Garant, folder: Path, count: int) -> list[str]:
    made = []
    for number in range(1, count + 1):
        bundle = folder / f"bundle-{number}"
        bundle.mkdir()
        (bundle / "case.json").write_text(f'{{"number": {number}}}')
        with app.unit("person:test") as unit:
            row = service.record(
                unit,
                product="set10",
                signature=f"receipt-total/{number}",
                title="receipt does not add up",
                verdict="reproduced",
                version="10.4.2",
                bundle=str(bundle),
            )[0]
            made.append(row.id)
    return made


@pytest.mark.timeout(300)
def test_one_of_everything_after_a_kill_at_every_step(database: Database, tmp_path: Path) -> None:
    """Before and after each request a worker dies once: one issue, attachment, comment and link each."""
    flavour: Flavour = "Cloud" if database.engine.dialect.name == "sqlite" else "Server"
    home = tmp_path / "home"
    home.mkdir()
    with JiraServer(flavour=flavour, index_lag_s=1) as server:
        tracker = {
            "kind": "jira", "url": server.url, "timeout_s": 10, "index_lag_s": 2, "poll_s": 0,
            "link_base": "https://garant.invalid",
        }  # fmt: skip
        url = database.url.render_as_string(hide_password=False)
        (home / "garant.yaml").write_text(yaml.safe_dump({"database_url": url, "tracker": tracker}))
        app = Garant(load_settings(home))
        app.engine.migrate()
        ids = defects(app, tmp_path, 8)
        killer = Killer(home, workers=2)
        for method, path in STEPS:
            server.faults.append(Fault(method, path, "drop", then=killer.kill))
            server.faults.append(Fault(method, path, "lose_reply", then=killer.kill))
        try:
            for defect in ids:
                with app.unit("person:test") as unit:
                    service.file(unit, defect)
            end = time.monotonic() + PATIENCE_S
            while unfiled(app) and time.monotonic() < end:
                time.sleep(0.1)
        finally:
            killer.end()
            left = unfiled(app)
            app.close()

        assert left == 0, (home / "worker.log").read_text()[-4000:]
        assert [fault for fault in server.faults if fault.times] == []
        assert killer.kills == len(STEPS) * 2
        counted = Counter(issue.fields["labels"][0] for issue in server.issues.values())
        assert counted == {f"garant-{defect.lower()}": 1 for defect in ids}
        for issue in server.issues.values():
            assert (len(issue.attachments), len(issue.comments), len(issue.links)) == (1, 1, 1), issue.key


def unfiled(app: Garant) -> int:
    with app.database.reading() as session:
        rows: list[DefectRow] = queries.defects(session)
        return sum(row.tracker_key is None for row in rows)
