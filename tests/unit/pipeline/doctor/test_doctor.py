"""What findings mean, and what the command says and returns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import garant
from pipeline.doctor import rules
from pipeline.doctor.machine import examine
from pipeline.doctor.rules import Finding, State


@pytest.mark.parametrize(("name", "package", "_reason", "essential"), rules.PROGRAMS)
def test_a_program_that_is_missing_names_its_package(
    name: str, package: str, _reason: str, essential: bool
) -> None:
    """Only what the main work needs is missing; all else makes less possible."""
    there, gone = rules.program(name, f"/usr/bin/{name}"), rules.program(name, None)

    assert (there.state, there.detail, there.action) == (State.OK, f"/usr/bin/{name}", "")
    assert gone.state is (State.MISSING if essential else State.REDUCED)
    assert f"apt-get install {package}" in gone.action


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 10), "missing"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "missing"), ((4, 0), "missing")],
)
def test_python_is_3_11_to_3_13(version: tuple[int, int], state: str) -> None:
    """As pyproject.toml says."""
    assert rules.python(version).state == state


def test_room_is_enough_or_reduces() -> None:
    """Exactly enough is enough."""
    assert rules.room("disk", "/", 2 * 2**30, 2 * 2**30).state is State.OK
    short = rules.room("disk", "/", 2**30, 2 * 2**30)
    assert (short.state, short.detail) == (State.REDUCED, "1.0 GiB free on /; 2.0 are wanted")


def test_an_old_database_is_to_be_upgraded() -> None:
    """Also an empty one."""
    assert rules.revision("0001", "0001").state is State.OK
    for old in ("0000", None):
        finding = rules.revision(old, "0001")
        assert (finding.state, finding.action) == (State.MISSING, "garant db upgrade")


def test_identity_and_product_name_the_setting() -> None:
    """What is not there is made by the command given."""
    key = Path("/home/g/ssh/identity")

    assert rules.identity(key, True).state is State.OK
    assert "ssh-keygen -t ed25519 -N '' -f /home/g/ssh/identity" in rules.identity(key, False).action
    assert rules.product(key, True).state is State.OK
    assert rules.product(key, False).detail == "/home/g/ssh/identity does not exist"
    assert rules.product(None, False).state is State.REDUCED


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ([], State.OK),
        ([State.OK, State.OK], State.OK),
        ([State.OK, State.REDUCED], State.REDUCED),
        ([State.REDUCED, State.MISSING, State.OK], State.MISSING),
    ],
)
def test_the_worst_finding_counts(states: list[State], worst: State) -> None:
    """One thing missing is enough."""
    assert rules.overall(Finding(name="x", state=state, detail="") for state in states) is worst


def called(home: Path, *options: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(garant, ["--home", str(home), "doctor", *options])
    return done.exit_code, done.stdout, done.stderr


def test_json_is_one_document_and_the_exit_code_agrees(tmp_path: Path) -> None:
    """0 unless something is missing; each finding with name, state, detail, action. Nothing is changed."""
    home = tmp_path / "home"
    code, out, _ = called(home, "--json")
    answer = json.loads(out)

    assert code == (1 if answer["state"] == "missing" else 0)
    assert {frozenset(finding) for finding in answer["findings"]} == {
        frozenset(("name", "state", "detail", "action"))
    }
    assert {
        "git",
        "zstd",
        "ansible",
        "postgresql",
        "local stores",
        "database",
        "ssh identity",
        "product",
    } <= {finding["name"] for finding in answer["findings"]}
    assert not home.exists()


def test_wrong_settings_are_missing_and_named(tmp_path: Path) -> None:
    """Exit code 1, the reason on stderr, the wrong setting in the list."""
    (tmp_path / "garant.yaml").write_text("host_pythn: /usr/bin/python3\n")
    code, out, err = called(tmp_path, "--json")

    assert code == 1
    assert "host_pythn" in json.loads(out)["findings"][-1]["detail"]
    assert err == "garant: something is missing that the main work needs; see above\n"


def test_the_table_shows_every_finding(tmp_path: Path) -> None:
    """For people: the same things, also where a path looks like markup."""
    home = tmp_path / "[red]"
    _, out, _ = called(home)

    assert "This machine" in out
    assert "ssh identity" in out


def test_the_database_that_is_set_is_the_one_looked_at(tmp_path: Path) -> None:
    """Not the default one; one that is not there is not made by looking."""
    other = tmp_path / "other.db"
    (tmp_path / "garant.yaml").write_text(f"database_url: sqlite:///{other}\n")
    found = {finding.name: finding for finding in examine(tmp_path)}["database"]

    assert (found.state, found.detail) == (State.OK, f"none yet at {other}")
    other.touch()
    found = {finding.name: finding for finding in examine(tmp_path)}["database"]
    assert (found.state, found.action) == (State.MISSING, "garant db upgrade")
