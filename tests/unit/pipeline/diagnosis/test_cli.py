"""``garant evidence`` and ``garant diagnose --dry-run`` as people use them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.application import Garant
from pipeline.diagnosis import cli, service
from pipeline.diagnosis.tables import EvidenceRow
from pipeline.errors import GarantError
from tests.unit.pipeline.diagnosis.test_evidence import opened, requested
from tests.unit.pipeline.diagnosis.test_objects import evidence


@pytest.fixture
def garant(chains: Garant, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls a command on the application of the test; gives its result."""

    @contextmanager
    def given(_home: Path) -> Iterator[Garant]:
        yield chains

    monkeypatch.setattr(cli, "opened", given)
    runner = CliRunner()

    def call(command: Any, *arguments: str) -> Result:
        return runner.invoke(command, list(arguments), obj=Path("/nowhere"))

    return call


@pytest.fixture
def collected(chains: Garant) -> str:
    """Evidence with real files, of an open case."""
    row_id = requested(chains, opened(chains))
    written = evidence(chains.settings.folder("evidence"), row_id, VERSION=b"10.4.2", catalog=b"{}")
    outcome = {
        "folder": str(chains.settings.folder("evidence") / row_id), "digest": written.digest,
        "version": "10.4.2", "missing": [{"host": "h", "what": "log", "reason": "[red]no such file"}],
        "figures": {"hosts": 1, "files": written.files, "bytes": written.bytes},
    }  # fmt: skip
    with chains.unit("worker:w") as unit:
        service.settle(unit, unit.get(EvidenceRow, row_id), outcome, None)
    return row_id


def test_evidence_is_listed_and_shown(garant: Any, collected: str) -> None:
    """With who asked for it, its digest, its files, what is missing, and who needs it."""
    (entry,) = json.loads(garant(cli.evidence, "list", "--state", "partial", "--json").stdout)
    shown = json.loads(garant(cli.evidence, "show", collected, "--json").stdout)

    assert (entry["evidence"], entry["state"]) == (collected, "partial")
    assert json.loads(garant(cli.evidence, "list", "--store", "n-main", "--json").stdout) == []
    assert [file["path"] for file in shown["contents"]["hosts"][0]["files"]] == ["VERSION", "catalog"]
    assert shown["requested_by"] == "person:anna"
    assert "is open" in shown["needed_by"][0]
    assert "[red]no such file" in garant(cli.evidence, "show", collected).output
    assert collected in garant(cli.evidence, "list").output


def test_a_changed_byte_is_found(garant: Any, chains: Garant, collected: str) -> None:
    """Exit code 1, with the file named; whole evidence passes."""
    assert garant(cli.evidence, "verify").exit_code == 0
    file = chains.settings.folder("evidence") / collected / "files/k-1-server/VERSION"
    file.chmod(0o640)
    file.write_bytes(b"10.4.3")
    result = garant(cli.evidence, "verify", collected, "--json")

    assert result.exit_code == 1
    assert [entry["whole"] for entry in json.loads(result.stdout)] == [False]
    assert "VERSION was changed" in result.stderr


def test_needed_evidence_is_not_deleted_by_mistake(garant: Any, collected: str) -> None:
    """A reason must be given, and what is open goes first."""
    assert garant(cli.evidence, "delete", collected).exit_code == 2
    result = garant(cli.evidence, "delete", collected, "--reason", "x")

    assert isinstance(result.exception, GarantError)
    assert "--force" in str(result.exception)


def test_a_dry_run_shows_and_asks_nobody(garant: Any, chains: Garant, tmp_path: Path) -> None:
    """Hosts, sources and window; the store's own time; no evidence is begun."""
    case = opened(chains, "k-leninskaya")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("schema: 1\nname: mine\nboth: [{what: v, file: /v, as: v}]\n")
    options = ["--since", "2026-03-12T09:00", "--recipe", str(recipe), "--dry-run"]
    shown = json.loads(garant(cli.diagnose, case, *options, "--json").stdout)

    assert shown["recipe"] == "mine"
    assert shown["window"]["from"] == "2026-03-12T09:00:00+12:00"
    assert [host["host"] for host in shown["hosts"]] == ["k-leninskaya-server", "k-leninskaya-r1"]
    assert shown["hosts"][0]["items"][0]["source"] == "/v"
    assert "Nothing was asked of any host" in garant(cli.diagnose, case, "--dry-run").output
    with chains.database.reading() as session:
        assert service.all_evidence(session) == []


def test_a_wrong_time_is_wrong_use(garant: Any, chains: Garant) -> None:
    """Exit code 2, with the form that is understood."""
    result = garant(cli.diagnose, opened(chains), "--since", "yesterday", "--dry-run")

    assert result.exit_code == 2
    assert "write it as 2026-03-12T09:00" in result.stderr
