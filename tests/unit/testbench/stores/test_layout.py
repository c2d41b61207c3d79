"""A host's disk before its first start."""

import datetime
import json
import stat
import zoneinfo

import pytest

from testbench.stores.errors import StoresUsageError
from testbench.stores.layout import host_files, install_product, product_version, write_host
from testbench.stores.rules import StorePlan, place
from testbench.stores.supervisors import Runit, Systemd


@pytest.fixture
def build(tmp_path):
    folder = tmp_path / "build"
    (folder / "bin").mkdir(parents=True)
    (folder / "VERSION").write_text("10.4.1.0\n")
    (folder / "bin/set-server").write_text("#!/bin/sh\n")
    (folder / "bin/set-server").chmod(0o755)
    return folder


def written(tmp_path, plan, number, supervisor):
    """The disk of host ``number`` of a fleet with this one store."""
    site = place([plan], 0)
    root = tmp_path / "root"
    root.mkdir()
    files = host_files(
        site, site.stores[0], site.hosts[number], supervisor, "PRIVATE\n", "ssh-ed25519 AAAA me\n"
    )
    write_host(root, plan.zone, files, plan.product)
    return root


@pytest.mark.parametrize("supervisor", [Systemd(), Runit()])
@pytest.mark.parametrize(("number", "control"), [(0, "set-server"), (1, "cash")])
def test_a_host_has_the_layout_that_all_parts_agree_on(tmp_path, build, supervisor, number, control):
    """Update, diagnosis and the product find everything at the agreed paths, under every supervisor."""
    plan = StorePlan(
        name="a",
        registers=1,
        product=build,
        allowed_signers="anna ssh-ed25519 AAAA\n",
        policy={"approvals": 2},
    )
    root = written(tmp_path, plan, number, supervisor)

    assert json.loads((root / "etc/set/set.json").read_text())["data_dir"] == "/var/lib/set"
    assert (root / "opt/set/current").readlink().as_posix() == "releases/10.4.1.0"
    assert (root / "opt/set/current/VERSION").read_text() == "10.4.1.0\n"
    assert stat.S_IMODE((root / "opt/set/current/bin/set-server").stat().st_mode) == 0o755
    assert (root / "etc/garant/allowed_signers").read_text() == "anna ssh-ed25519 AAAA\n"
    assert json.loads((root / "etc/garant/policy.json").read_text()) == {"approvals": 2}
    assert stat.S_IMODE((root / f"var/usrlocal/bin/{control}").stat().st_mode) == 0o755
    assert {path.name for path in (root / "var/lib/garant").iterdir()} == {"staging", "receipts", "depot"}


def test_keys_are_for_root_only(tmp_path):
    """sshd refuses a host key that others can read, and authorized_keys in a folder open to others."""
    root = written(tmp_path, StorePlan(name="a"), 0, Systemd())

    for path in ("etc/ssh/ssh_host_ed25519_key", "root/.ssh/authorized_keys", "etc/shadow"):
        assert stat.S_IMODE((root / path).stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "root/.ssh").stat().st_mode) == 0o700


def test_no_account_has_a_password(tmp_path):
    """The only way in is a key: no hash in shadow."""
    root = written(tmp_path, StorePlan(name="a"), 0, Systemd())

    assert {line.split(":")[1] for line in (root / "etc/shadow").read_text().splitlines()} == {"*"}


def test_without_trust_given_a_host_has_none(tmp_path):
    """A plan without signers leaves no allowed_signers: nothing is approved on it by accident."""
    root = written(tmp_path, StorePlan(name="a"), 0, Systemd())

    assert list((root / "etc/garant").iterdir()) == []


def test_the_host_keeps_its_stores_time(tmp_path):
    """The zone file on the host is the store's own: Omsk is at +06:00."""
    root = written(tmp_path, StorePlan(name="a", zone="Asia/Omsk"), 1, Systemd())

    with (root / "etc/zoneinfo/Asia/Omsk").open("rb") as file:
        zone = zoneinfo.ZoneInfo.from_file(file)
    noon = datetime.datetime(2026, 1, 15, 12, tzinfo=datetime.UTC)
    assert noon.astimezone(zone).hour == 18
    assert (root / "etc/localtime").readlink().as_posix() == "/etc/zoneinfo/Asia/Omsk"


@pytest.mark.parametrize("zone", ["Europe/Moskow", "../../etc/passwd", "", "Europe", "zone.tab"])
def test_a_zone_that_is_none_is_refused(tmp_path, zone):
    """A wrong zone is named before the host starts, and no path leads out of the zone folder."""
    with pytest.raises(StoresUsageError, match="is not an IANA time zone"):
        written(tmp_path, StorePlan(name="a", zone=zone), 0, Systemd())


@pytest.mark.parametrize("version", ["", "../../../etc", "a/b", "-x"])
def test_a_version_that_is_no_folder_name_is_refused(build, version):
    """VERSION becomes a folder name on the host: it must not lead elsewhere."""
    (build / "VERSION").write_text(version)

    with pytest.raises(StoresUsageError, match="not a product build"):
        product_version(build)


def test_a_folder_that_is_no_build_is_refused(tmp_path):
    """A folder without VERSION is named."""
    with pytest.raises(StoresUsageError, match="VERSION"):
        install_product(tmp_path, tmp_path)
