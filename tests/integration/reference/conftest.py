"""The reference SET on real HTTP: its repository built once, its versions unpacked, a store run of each."""

from __future__ import annotations

import base64
import http.client
import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from defusedxml import ElementTree

from testbench.drivers.set10.erp import Erp
from testbench.reference import HistoryReport, build_history

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"


class Store:
    """One running store (server and registers in one process) and the ways to it."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], erp: Erp) -> None:
        self.folder, self.process, self.erp = folder, process, erp
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the store did not start: {(folder / 'errors').read_text()}"
        ready = json.loads(line)
        self.urls: dict[int | None, str] = {int(cash): url for cash, url in ready["registers"].items()}
        self.urls[None] = ready["server"]

    def call(self, who: int | None, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """One HTTP request; who is a register's number, None the server."""
        connection = http.client.HTTPConnection(self.urls[who].removeprefix("http://"), timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, who: int | None, path: str) -> Any:
        status, body = self.call(who, "GET", path)
        assert status == 200
        return json.loads(body)

    def act(self, who: int | None, action: str, **payload: Any) -> dict[str, Any]:
        """One action; its answer, refused or not, but never a failure of the program."""
        status, body = self.call(
            who, "POST", "/actions", json.dumps({"type": action, "payload": payload}).encode()
        )
        assert status == 200, body
        answer: dict[str, Any] = json.loads(body)
        return answer

    def do(self, who: int | None, action: str, **payload: Any) -> dict[str, Any]:
        """One action that must succeed."""
        answer = self.act(who, action, **payload)
        assert answer["ok"], (action, payload, answer)
        return answer

    def processing(self, operation: str, parameters: str) -> Element:
        """A call of the bonus processing."""
        service = "SET/Cards/ExternalSystemCardsProcessing"
        return self.soap(service, "http://processing.cards.crystals.ru/", operation, parameters, "/SET-Cards")

    def soap(
        self,
        service: str,
        namespace: str,
        operation: str,
        parameters: str,
        prefix: str = "/SET-ERPIntegration",
    ) -> Element:
        """A SOAP call; the answer's body."""
        envelope = (
            f'<s:Envelope xmlns:s="{SOAP}" xmlns:c="{namespace}"><s:Body><c:{operation}>{parameters}'
            f"</c:{operation}></s:Body></s:Envelope>"
        )
        status, body = self.call(None, "POST", f"{prefix}/{service}", envelope.encode())
        assert status == 200, body
        found = ElementTree.fromstring(body).find(f"{{{SOAP}}}Body")
        assert found is not None
        return found

    def import_goods(self, document: bytes, ti: str) -> tuple[str | None, str | None]:
        """Imports by SOAP with TI; status and message."""
        namespace = "http://plugins.products.ERPIntegration.crystals.ru/"
        content = base64.b64encode(document).decode()
        parameters = f"<goodsCatalogXML>{content}</goodsCatalogXML><TI>{ti}</TI>"
        self.soap("SET/WSGoodsCatalogImport", namespace, "getGoodsCatalogWithTi", parameters)
        answer = self.soap(
            "SET/FeedbackWS",
            "http://feedback.ERPIntegration.crystals.ru/",
            "getPackageStatus",
            f'<xmlGetstatus><import ti="{ti}"/></xmlGetstatus>',
        )
        status = answer.find(".//import")
        assert status is not None
        return status.get("status"), status.get("status-message")

    def exported(self, operation: str, day: str) -> Element:
        """A document of FiscalInfoExport."""
        namespace = "http://plugins.operday.ERPIntegration.crystals.ru/"
        answer = self.soap(
            "FiscalInfoExport", namespace, operation, f"<dateOperDay>{day}</dateOperDay>"
        ).findtext(".//return")
        assert answer is not None
        return ElementTree.fromstring(base64.b64decode(answer))

    def files(self, pattern: str) -> list[Element]:
        """The exported files of a kind, oldest name first."""
        reports = self.folder / "server" / "reports"
        return [ElementTree.fromstring(path.read_bytes()) for path in sorted(reports.glob(pattern))]


class Reference:
    """The reference SET's repository and its versions unpacked."""

    def __init__(self, report: HistoryReport, folder: Path) -> None:
        self.report, self._folder = report, folder

    def tree(self, revision: str) -> Path:
        """The files of a revision."""
        target = self._folder / revision
        if not target.exists():
            archive = subprocess.run(
                ["git", "archive", revision], cwd=self.report.repository, check=True, capture_output=True
            ).stdout
            with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                files.extractall(target, filter="data")
        return target

    @contextmanager
    def store(self, revision: str, folder: Path, registers: int = 1, **settings: Any) -> Iterator[Store]:
        """A store of that version with its data in `folder`, at 2025-11-23 10:00 in Moscow, and an ERP.

        Args:
            settings: of set.json, for the server and the registers; each uses those that it knows.
        """
        erp = Erp()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "clock").write_text("2025-11-23T10:00:00+03:00")
        common = {
            "shop": 101,
            "listen": "127.0.0.1:0",
            "clock_file": str(folder / "clock"),
            "transport_interval_s": 0,
            **settings,
        }
        config = {
            "server": {
                **common,
                "erp_url": erp.url,
                "data_dir": str(folder / "server"),
                "log_file": str(folder / "server.log"),
            },
            "registers": [
                {
                    **common,
                    "cash": n,
                    "data_dir": str(folder / f"r{n}"),
                    "log_file": str(folder / f"r{n}.log"),
                }
                for n in range(1, registers + 1)
            ],
        }
        (folder / "store.json").write_text(json.dumps(config))
        program = self.tree(revision) / "bin" / "set-store"
        with (
            (folder / "errors").open("w") as errors,
            subprocess.Popen(
                [sys.executable, str(program), "--config", str(folder / "store.json")],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            try:
                yield Store(folder, process, erp)
                if process.poll() is None:  # a test may have killed it
                    # The product hears SIGTERM from a moment after it said that it is ready.
                    while process.poll() is None and not _hears_sigterm(process.pid):
                        time.sleep(0.01)
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(10) == 0
            finally:
                process.kill()
                erp.close()


def _hears_sigterm(pid: int) -> bool:
    """Whether the process has a handler of its own for SIGTERM (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The whole history, built once."""
    folder = tmp_path_factory.mktemp("reference")
    return Reference(build_history(folder / "set10.git"), folder / "trees")


@pytest.fixture
def run_store(reference: Reference, tmp_path: Path) -> Callable[..., Any]:
    """run_store(revision, registers=1, **settings): a context manager of a store with fresh data."""
    return lambda revision, registers=1, name="store", **settings: reference.store(
        revision, tmp_path / name, registers, **settings
    )
