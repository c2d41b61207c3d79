"""What supervises a host."""

import subprocess

import pytest

from testbench.stores.supervisors import Runit, Service, Systemd

SERVICE = Service(
    name="set-server",
    description="SET",
    command=["/opt/x", "--config", "/etc/c"],
    log="/var/log/x",
    needs="/opt/x",
)


@pytest.mark.parametrize("supervisor", [Systemd(), Runit()])
def test_control_is_a_shell_script_with_the_same_words_everywhere(supervisor, tmp_path):
    """cash and set-server refuse an unknown word with exit code 2, whatever supervises the host."""
    script = tmp_path / "cash"
    script.write_text(supervisor.control("set-register"))
    done = subprocess.run(["/bin/sh", script, "explode"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr == "usage: cash start|stop|restart|status\n"


@pytest.mark.parametrize("supervisor", [Systemd(), Runit()])
def test_a_service_is_started_with_its_own_command(supervisor):
    """The command line in the supervisor's file is the one asked for."""
    files = {file.path: file.content for file in supervisor.files([SERVICE])}

    assert any("/opt/x --config /etc/c" in content for content in files.values())


def test_systemd_is_kept_from_the_machines_generators(tmp_path):
    """Each generator of the machine is masked: they would look for disks and getties that no host has."""
    (tmp_path / "systemd-fstab-generator").touch()
    files = {file.path: file.link for file in Systemd(tmp_path).files([SERVICE])}

    assert files["/etc/systemd/system-generators/systemd-fstab-generator"] == "/dev/null"


def test_systemd_starts_nothing_but_our_services(tmp_path):
    """The default target wants exactly the given services, without systemd's default dependencies."""
    files = {file.path: file.content for file in Systemd(tmp_path).files([SERVICE])}
    target = files["/etc/systemd/system/default.target"]

    assert "Wants=set-server.service\n" in target
    assert "DefaultDependencies=no" in target
