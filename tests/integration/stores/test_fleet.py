"""Two real stores: reaching hosts, what they are, and every fault."""

import http.client
import json
import socket
import subprocess

import pytest

from testbench.stores import StateError, Stores, StoresError, StoresUsageError
from testbench.stores.readiness import product_answers, ssh_answers, wait_for

pytestmark = pytest.mark.stores


def ask(fleet, host, path="/status"):
    """GET from a host's product; None when the connection breaks."""
    site = fleet.site.host(host)[1]
    connection = http.client.HTTPConnection(site.lan_address, site.service_port, timeout=5)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def reaches(fleet, host, address, port):
    """Whether a TCP connection from the host to the address can be made."""
    probe = f"import socket; socket.create_connection(('{address}', {port}), 2).close()"
    return fleet.run(host, f'/usr/bin/python3 -c "{probe}"').returncode == 0


def silent(hosts, answers=ssh_answers):
    """Those of the hosts that do not answer within 15 seconds."""
    return [host.name for host in wait_for(hosts, answers, lambda done, total: None, 15)]


def test_every_host_is_reached_by_its_pinned_key_and_is_itself(fleet):
    """SSH by the generated settings reaches each host: its own name, root and processes."""
    for host in fleet.site.hosts:
        done = fleet.run(host.name, "hostname; id -un; ls /opt/set; ps -e -o args= | grep -c [p]ytest")

        assert done.stdout.split() == [host.name, "root", "current", "releases", "0"], done.stderr


def test_the_description_is_what_others_build_on(fleet):
    """`stores list --json` has the agreed keys for every host, and real host keys."""
    described = fleet.describe()
    hosts = [host for store in described["stores"] for host in store["hosts"]]

    assert set(described["ssh"]) == {"user", "identity", "known_hosts", "config"}
    assert [host["name"] for host in hosts] == [
        "east-server", "east-r1", "east-r2", "west-server", "west-r1", "west-r2",
    ]  # fmt: skip
    for host in hosts:
        assert {"role", "register", "address", "port", "lan_address", "host_key", "state"} <= set(host)
        scanned = subprocess.run(
            ["ssh-keyscan", "-t", "ed25519", host["address"]], capture_output=True, text=True, check=True
        ).stdout
        assert host["host_key"] in scanned


def test_a_changed_host_key_is_refused(fleet):
    """Another key under a pinned name is no way in."""
    other = fleet.ssh.command("east-r1", ["-o", "HostKeyAlias=west-r1", "-o", "BatchMode=yes", "true"])
    done = subprocess.run(other, capture_output=True, text=True, check=False)

    assert done.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr or "verification failed" in done.stderr


def test_a_register_reaches_its_own_server_and_no_other_store(fleet):
    """Stores are apart from each other and from the world; a LAN is whole."""
    east, west = fleet.site.stores

    assert reaches(fleet, "east-r1", east.server.lan_address, 8090)
    assert reaches(fleet, "east-r1", east.server.lan_address, 8091)
    assert not reaches(fleet, "east-r1", west.server.lan_address, 8090)
    assert not reaches(fleet, "east-r1", west.wan_address, 22)
    assert not reaches(fleet, "east-server", "192.0.2.1", 80)


def test_a_server_reaches_the_controller(fleet):
    """Packages come from this machine: the WAN leads to it."""
    with socket.create_server((fleet.site.controller, 0)) as listener:
        assert reaches(fleet, "east-server", fleet.site.controller, listener.getsockname()[1])


def test_each_store_has_its_own_time(fleet):
    """Hosts keep their store's zone, for the shell and for Python."""
    python = "/usr/bin/python3 -c 'import time; print(time.strftime(\"%z\"))'"

    assert fleet.run("east-r1", f"date +%z; {python}").stdout.split() == ["+1000", "+1000"]
    assert fleet.run("west-r1", f"date +%z; {python}").stdout.split() == ["+0200", "+0200"]


def test_the_machine_is_out_of_a_hosts_reach(fleet):
    """Root of a host changes no kernel setting, no clock, no /usr, and makes no device nodes."""
    attempts = [
        "echo 1 > /proc/sys/kernel/panic",
        "touch /usr/bin/x",
        "date -s 2001-01-01",
        "mknod /tmp/disk b 254 0",
        "echo b > /proc/sysrq-trigger",
    ]
    for attempt in attempts:
        assert fleet.run("east-r1", attempt).returncode != 0, attempt


@pytest.mark.parametrize(("host", "control"), [("east-server", "set-server"), ("east-r1", "cash")])
def test_the_service_is_controlled_the_same_way_everywhere(fleet, host, control):
    """start, stop, restart, status mean the same under every supervisor, and are done when they return."""
    script = (
        f"{control} status; {control} stop; {control} status; echo $?; {control} start && {control} status"
    )

    assert fleet.run(host, script).stdout.split() == ["running", "stopped", "3", "running"]
    assert silent([fleet.site.host(host)[1]], product_answers) == []
    before = ask(fleet, host)["pid"]
    assert fleet.run(host, f"{control} restart").returncode == 0
    assert silent([fleet.site.host(host)[1]], product_answers) == []
    assert ask(fleet, host)["pid"] != before


def test_a_crashed_product_is_started_again(fleet):
    """A crash ends the process only: the supervisor starts another."""
    before = ask(fleet, "west-r2")["pid"]

    assert ask(fleet, "west-r2", "/crash") is None
    assert silent([fleet.site.host("west-r2")[1]], product_answers) == []
    assert ask(fleet, "west-r2")["pid"] != before


def test_the_servers_depot_is_served_on_the_lan(fleet):
    """What is put into the depot is fetched by a register of the same store."""
    address = fleet.site.store("west").server.lan_address
    fleet.run("west-server", "cat > /var/lib/garant/depot/package", "content")
    fetch = f"import urllib.request as u; print(u.urlopen('http://{address}:8091/package').read().decode())"

    assert fleet.run("west-r1", f'/usr/bin/python3 -c "{fetch}"').stdout == "content\n"


def test_a_cut_store_is_offline_but_trades_on(fleet):
    """cut takes the WAN only; restore brings it back, again and again."""
    store = fleet.site.store("east")
    inside = ["nsenter", f"--net={fleet.state_dir}/netns/east-r1", "--", "/usr/bin/python3", "-c"]
    trade = f"import socket; socket.create_connection(('{store.server.lan_address}', 8090), 5).close()"
    for _ in range(2):
        fleet.cut("east")
        states = {each["name"]: each["wan"] for each in fleet.describe()["stores"]}

        assert states == {"east": "cut", "west": "up"}
        assert not ssh_answers(store.server)
        assert subprocess.run([*inside, trade], check=False).returncode == 0
        assert ssh_answers(fleet.site.store("west").server)

        fleet.restore("east")
        assert silent(store.hosts) == []


def test_a_slow_link_is_slow_both_ways_until_restored(fleet):
    """slow limits both directions by a token bucket; off and restore take the limit away."""
    store = fleet.site.store("west")

    def shapes():
        machine = subprocess.run(
            ["tc", "qdisc", "show", "dev", fleet.site.uplink(store)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        router = subprocess.run(
            [
                "nsenter",
                f"--net={fleet.state_dir}/netns/west-router",
                "--",
                "tc",
                "qdisc",
                "show",
                "dev",
                "wan",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return ["rate 512Kbit" in text for text in (machine, router)]

    fleet.slow("west", "512kbit")
    assert shapes() == [True, True]
    assert [each["wan"] for each in fleet.describe()["stores"]] == ["up", "slow"]
    fleet.slow("west", "off")
    assert shapes() == [False, False]
    fleet.slow("west", "512kbit")
    fleet.restore("west")
    assert shapes() == [False, False]


def test_a_full_disk_is_full_for_its_host_only(fleet):
    """fill leaves no byte on one host; unfill gives them back; its neighbour notices nothing."""
    assert fleet.fill("west-r1") > 0
    full = fleet.run("west-r1", "echo x > /var/lib/set/x")
    neighbour = fleet.run("west-r2", "echo x > /var/lib/set/x")
    fleet.unfill("west-r1")

    assert "No space left on device" in full.stderr
    assert neighbour.returncode == 0
    assert fleet.run("west-r1", "echo x > /var/lib/set/x").returncode == 0


def test_a_killed_host_is_silent_and_comes_back_with_its_disk(fleet):
    """kill is a power cut: nothing runs, nothing answers, what was written is there after start."""
    fleet.run("west-r1", "echo kept > /var/lib/set/kept")
    fleet.kill("west-r1")

    assert fleet.host_state("west-r1") == "down"
    assert not ssh_answers(fleet.site.host("west-r1")[1])
    with pytest.raises(StoresError, match="already down"):
        fleet.kill("west-r1")
    fleet.start("west-r1")
    assert fleet.run("west-r1", "cat /var/lib/set/kept").stdout == "kept\n"
    assert ask(fleet, "west-r1")["cash"] == 1
    with pytest.raises(StoresError, match="not down"):
        fleet.start("west-r1")


def test_a_frozen_host_hangs_and_goes_on(fleet):
    """freeze: connections are taken by the kernel, nobody answers; thaw: as if nothing had been."""
    host = fleet.site.host("east-r2")[1]
    before = ask(fleet, "east-r2")["pid"]
    fleet.freeze("east-r2")

    assert fleet.host_state("east-r2") == "frozen"
    assert not ssh_answers(host)
    fleet.thaw("east-r2")
    assert silent([host]) == []
    assert ask(fleet, "east-r2")["pid"] == before


def test_an_unplugged_register_is_alone(fleet):
    """unplug takes the LAN cable of one register; plug brings it back without any help of the host."""
    host = fleet.site.host("east-r2")[1]
    fleet.unplug("east-r2")

    assert not ssh_answers(host)
    assert ssh_answers(fleet.site.host("east-r1")[1])
    fleet.plug("east-r2")
    assert silent([host]) == []


def test_up_twice_names_the_state_and_the_way_out(fleet):
    """A second up on the same folder changes nothing and says what to do."""
    with pytest.raises(StateError, match=r"already has stores.*stores down"):
        Stores.up([fleet.site.stores[0].plan], fleet.state_dir)

    assert silent(fleet.site.hosts) == []


def test_unknown_names_are_refused(fleet):
    """A fault is never put on something else than what was named."""
    with pytest.raises(StoresUsageError, match="no store"):
        fleet.cut("north")
    with pytest.raises(StoresUsageError, match="no host"):
        fleet.kill("east-r9")
