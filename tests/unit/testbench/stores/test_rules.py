"""Names, addresses and rates of the local stores."""

import ipaddress
import itertools

import pytest

from testbench.stores.errors import StoresUsageError
from testbench.stores.rules import (
    FLEETS,
    RANGE,
    StorePlan,
    bucket_bytes,
    fleet_network,
    place,
    plain_plans,
    rate_bits,
    set_config,
)


def test_every_address_of_a_fleet_is_different_and_in_its_own_range():
    """No two hosts, routers or gateways of one fleet share an address, and none leaves the fleet's /20."""
    site = place(plain_plans(20, 12, [], None), 3)
    used = [site.controller]
    for store in site.stores:
        used += [store.wan_address, store.gateway, *(host.lan_address for host in store.hosts)]

    assert len(used) == len(set(used)) == 1 + 20 * 2 + 20 * 13
    assert all(ipaddress.ip_address(address) in ipaddress.ip_network(site.network) for address in used)


def test_hosts_lie_in_their_stores_lan_and_no_lan_overlaps_another():
    """A LAN holds its own store only: overlapping LANs would let one store answer for another."""
    site = place([StorePlan(name="a", registers=3), StorePlan(name="b", registers=9)], 0)
    lans = [ipaddress.ip_network(store.lan) for store in site.stores]

    for store, lan in zip(site.stores, lans, strict=True):
        inside = [ipaddress.ip_address(host.lan_address) for host in store.hosts]
        assert all(address in lan for address in inside)
        assert lan.broadcast_address not in inside
    assert not any(one.overlaps(other) for one, other in itertools.combinations(lans, 2))


def test_fleets_do_not_overlap_and_stay_in_the_benchmark_range():
    """Two fleets on one machine never share an address, and none is a real neighbour's (RFC 2544)."""
    networks = [fleet_network(index) for index in range(FLEETS)]

    assert all(network.subnet_of(RANGE) for network in networks)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(networks, 2))


def test_more_stores_than_addresses_are_refused_with_the_way_out():
    """A fleet that does not fit is refused before anything is made."""
    with pytest.raises(StoresUsageError, match="second fleet"):
        place(plain_plans(200, 60, [], None), 0)


@pytest.mark.parametrize(
    ("plans", "complaint"),
    [
        ([], "0 stores wanted"),
        ([StorePlan(name="Bad Name")], "lower-case"),
        ([StorePlan(name="../x")], "lower-case"),
        ([StorePlan(name="a", registers=0)], "registers"),
        ([StorePlan(name="a", disk_mb=1)], "too small"),
        ([StorePlan(name="a"), StorePlan(name="a")], "twice"),
        ([StorePlan(name="a", shop=2), StorePlan(name="b")], "twice"),
        ([StorePlan(name="a"), StorePlan(name="a-r1", shop=1)], "twice"),
    ],
)
def test_plans_that_cannot_be_are_refused(plans, complaint):
    """Each wrong plan is refused with its own reason."""
    with pytest.raises(StoresUsageError, match=complaint):
        place(plans, 0)


def test_unknown_names_are_answered_with_the_known_ones():
    """A typing mistake shows what could have been meant."""
    site = place(plain_plans(2, 1, [], None), 0)

    with pytest.raises(StoresUsageError, match="store1, store2"):
        site.store("store9")
    with pytest.raises(StoresUsageError, match="store1-server, store1-r1"):
        site.host("store1-r7")


@pytest.mark.parametrize(
    ("rate", "bits"), [("512kbit", 512_000), ("2mbit", 2_000_000), ("1gbit", 1_000_000_000)]
)
def test_rates_are_decimal_bits_a_second(rate, bits):
    """A rate is understood as tc understands it."""
    assert rate_bits(rate) == bits


@pytest.mark.parametrize("rate", ["", "5", "0kbit", "2MB", "1mbit; reboot", "-1kbit"])
def test_other_rates_are_refused(rate):
    """What is no rate never reaches tc."""
    with pytest.raises(StoresUsageError, match="is not understood"):
        rate_bits(rate)


def test_the_bucket_passes_a_full_batch_also_on_the_slowest_link():
    """A bucket smaller than one batch of segments would let nothing through at all."""
    assert bucket_bytes(8_000) == 16_384
    assert bucket_bytes(1_000_000_000) == 2_500_000


def test_set_json_follows_the_place_of_the_host():
    """A register knows its number and its own store's server; the server has no number."""
    site = place([StorePlan(name="a", registers=1), StorePlan(name="b", registers=2, zone="Asia/Omsk")], 0)
    store = site.stores[1]
    server, register = set_config(store, store.hosts[0]), set_config(store, store.hosts[2])

    assert (server["role"], server["cash"], server["listen"]) == ("server", None, "0.0.0.0:8090")
    assert (register["role"], register["cash"], register["listen"]) == ("register", 2, "0.0.0.0:8095")
    assert register["server_url"] == f"http://{store.server.lan_address}:8090"
    assert (register["shop"], register["zone"]) == (2, "Asia/Omsk")


def test_the_plan_overrides_set_json():
    """The bench switches timers off through the plan."""
    site = place([StorePlan(name="a", config={"transport_interval_s": 0})], 0)

    assert set_config(site.stores[0], site.hosts[0])["transport_interval_s"] == 0


def test_zones_are_given_out_in_turn():
    """Three stores and two zones: the third store starts again with the first zone."""
    plans = plain_plans(3, 1, ["Europe/Moscow", "Asia/Omsk"], None)

    assert [plan.zone for plan in plans] == ["Europe/Moscow", "Asia/Omsk", "Europe/Moscow"]
