"""The playbooks are clean by ansible-lint's strictest profile, and Ansible can read them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLAYBOOKS = ROOT / "playbooks"
NAMES = sorted(path.name for path in PLAYBOOKS.glob("*.yml"))


def run(program: str, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs of this environment from the playbooks' folder."""
    programs = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"),
    }
    command = [str(programs / program), *arguments]
    return subprocess.run(
        command, cwd=PLAYBOOKS, env=environment, capture_output=True, text=True, check=False
    )


def test_ansible_lint_finds_nothing(tmp_path: Path) -> None:
    """Profile production, no rule skipped."""
    done = run("ansible-lint", "--offline", home=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_example_inventory_fits_every_playbook(name: str, tmp_path: Path) -> None:
    """Each playbook finds hosts in the inventory that people copy."""
    inventory = ROOT / "inventory/by-hand/hosts.yml"

    done = run("ansible-playbook", "-i", str(inventory), name, "--list-hosts", home=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "kupets-12-r1" in done.stdout


def test_module_documents_its_arguments(tmp_path: Path) -> None:
    """`ansible-doc` shows every argument that the module takes."""
    done = run("ansible-doc", "-t", "module", "-M", "library", "set_update", home=tmp_path)

    assert done.returncode == 0, done.stderr
    for name in ("action", "effect_id", "digest", "depot_url", "to_version", "health_timeout", "wait"):
        assert name in done.stdout
