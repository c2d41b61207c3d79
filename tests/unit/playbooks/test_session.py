"""A host's change from end to end, on a product of real processes below a temporary root."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_set import FakeHost
from garant.layout import HostLayout
from garant.session import run


def names(result: dict[str, Any]) -> list[str]:
    return [phase["name"] for phase in result["phases"]]


def test_server_is_updated_in_one_call(host_of: Any, release_of: Any, desk: Any) -> None:
    """Update stops, switches, starts and proves a server, marks it, and offers the package."""
    host, release = host_of("server"), release_of("10.4.2.0")

    result = desk.update(host, release)

    assert (result["state"], result["changed"], result["failed"]) == ("done", True, False), result["reason"]
    assert (result["version_before"], result["version_after"]) == ("10.4.1.0", "10.4.2.0")
    steps = "verify check fetch unpack publish recheck stop switch start health mark"
    assert names(result) == steps.split()
    assert all(phase["ok"] and phase["seconds"] >= 0 for phase in result["phases"])
    assert 0 < result["out_of_service_seconds"] < 30
    assert host.version() == host.linked() == "10.4.2.0"
    marker = json.loads((host.root / "var/lib/garant/installed.json").read_text())
    assert (marker["version"], marker["effect_id"]) == ("10.4.2.0", "e1")
    assert marker["previous"]["version"] == "10.4.1.0"
    digest = json.loads((release / "manifest.json").read_text())["digest"].removeprefix("sha256:")
    depot = host.root / "var/lib/garant/depot" / digest
    assert json.loads((depot / "signatures.json").read_text()) == ["anna.sig", "boris.sig"]
    assert (depot / "package.tar.zst").read_bytes() == (release / "package.tar.zst").read_bytes()


def test_the_same_effect_is_reported_not_repeated(host_of: Any, release_of: Any, desk: Any) -> None:
    """A second call with the same effect id touches nothing and reports what the first one did."""
    host, release = host_of("server"), release_of("10.4.2.0")
    first = desk.update(host, release)
    told = host.starts_and_stops()

    second = desk.update(host, release)

    assert second == first | {"changed": False}
    assert host.starts_and_stops() == told


def test_another_effect_finds_the_version_there(host_of: Any, release_of: Any, desk: Any) -> None:
    """A host that has the version already is only looked at: done, nothing changed, never out of service."""
    host, release = host_of("server"), release_of("10.4.2.0")
    desk.update(host, release)
    told = host.starts_and_stops()

    second = desk.update(host, release, effect_id="e2")

    assert (second["state"], second["changed"], second["out_of_service_seconds"]) == ("done", False, 0.0)
    assert host.starts_and_stops() == told


def test_already_there_but_down_is_returned_to_service(host_of: Any, release_of: Any, desk: Any) -> None:
    """A host at the version whose product is down is started, also when the same effect was done before."""
    host, release = host_of("server"), release_of("10.4.2.0")
    desk.update(host, release)
    for effect_id in ("e1", "e2"):
        host.stop()

        result = desk.update(host, release, effect_id=effect_id)

        assert (result["state"], result["changed"]) == ("done", True), result["reason"]
        assert host.version() == "10.4.2.0"


def test_provisioned_with_the_version_gets_its_marker(host_of: Any, release_of: Any, desk: Any) -> None:
    """A host that was provisioned with exactly this build is marked, after its files were compared."""
    host, release = host_of("server", "10.4.2.0"), release_of("10.4.2.0")

    result = desk.update(host, release)

    assert (result["state"], result["changed"]) == ("done", True)
    assert json.loads((host.root / "var/lib/garant/installed.json").read_text())["version"] == "10.4.2.0"


def test_same_version_with_other_content_is_refused(host_of: Any, release_of: Any, desk: Any) -> None:
    """What runs under the release's number but is something else is never taken for it."""
    host, release = host_of("server", "10.4.2.0"), release_of("10.4.2.0", behaviour="forgets")

    result = desk.update(host, release)

    assert result["state"] == "refused"
    assert "other content" in result["reason"]


@pytest.mark.parametrize("behaviour", ["broken", "dies", "forgets"])
def test_unhealthy_version_is_rolled_back(host_of: Any, release_of: Any, desk: Any, behaviour: str) -> None:
    """A new version that is not ready, dies, or has lost the goods is undone; the old one serves again."""
    host, release = host_of("server"), release_of("10.4.2.0", behaviour=behaviour)

    result = desk.update(host, release, health_timeout=2.0)

    assert (result["state"], result["failed"]) == ("rolled-back", True), result["reason"]
    assert result["version_after"] == host.version() == host.linked() == "10.4.1.0"
    assert [phase["name"] for phase in result["phases"] if not phase["ok"]] == ["health"]
    assert not (host.root / "var/lib/garant/installed.json").exists()


def test_final_outcome_needs_a_new_effect(host_of: Any, release_of: Any, desk: Any) -> None:
    """After a rollback the same effect id is only reported; a new one tries again."""
    host, bad = host_of("server"), release_of("10.4.2.0", behaviour="broken")
    desk.update(host, bad, health_timeout=2.0)
    told = host.starts_and_stops()

    assert desk.update(host, bad, health_timeout=2.0)["state"] == "rolled-back"
    assert host.starts_and_stops() == told
    assert desk.update(host, release_of("10.4.3.0"), effect_id="e2")["state"] == "done"


def test_supervisor_that_refuses_for_a_while_gets_no_person_called(
    host_of: Any, release_of: Any, desk: Any
) -> None:
    """The new version gets one start; the old one, which must serve again, as many as the time allows."""
    host, release = host_of("server"), release_of("10.4.2.0")
    host.refuse_starts(4)

    result = desk.update(host, release)

    assert (result["state"], host.version()) == ("rolled-back", "10.4.1.0"), result["reason"]
    assert host.starts_and_stops() == ["start", "stop", "start", "stop", *["start"] * 4]


def test_supervisor_that_refuses_for_good_needs_a_person(host_of: Any, release_of: Any, desk: Any) -> None:
    """The time to try is limited."""
    host, release = host_of("server"), release_of("10.4.2.0")
    host.refuse_starts(1000)

    result = desk.update(host, release, health_timeout=0.5)

    assert result["state"] == "needs-human"
    assert "start ended with 1" in result["reason"]


def test_both_versions_unhealthy_needs_a_person(host_of: Any, release_of: Any, desk: Any) -> None:
    """When the old version does not come back either, the host is named and never called well."""
    host, release = host_of("server"), release_of("10.4.2.0", behaviour="dies")
    (host.root / "opt/set/current/behaviour").write_text("dies\n")

    result = desk.update(host, release, health_timeout=0.5)

    assert (result["state"], result["failed"]) == ("needs-human", True)
    assert "10.4.1.0 is not healthy either" in result["reason"]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"shift": {"number": 7, "open": True}}, "shift 7 is open"),
        ({"open_receipt": True}, "a receipt is open"),
        ({"unsent_receipts": 2}, "2 receipts are not at the server"),
        ({"shift": None}, "shift: shift None cannot be known"),
        ({"unsent_receipts": None}, "unsent"),
    ],
)
def test_trade_forbids_the_touch(
    host_of: Any, release_of: Any, desk: Any, state: dict[str, Any], reason: str
) -> None:
    """An open shift or receipt, unsent receipts, or not knowing: refused, the register sells on untouched."""
    server = host_of("server", "10.4.2.0")
    host = host_of("register", server_url=server.url)
    host.says(**state)
    release = release_of("10.4.2.0")
    told = host.starts_and_stops()

    result = desk.update(host, release)

    assert (result["state"], result["failed"], result["changed"]) == ("refused", False, False)
    assert reason in result["reason"]
    assert (host.version(), host.starts_and_stops()) == ("10.4.1.0", told)


def test_refusal_is_not_final(host_of: Any, release_of: Any, desk: Any) -> None:
    """Once the shift is closed the same effect id is carried out."""
    server = host_of("server", "10.4.2.0")
    host, release = host_of("register", server_url=server.url), release_of("10.4.2.0")
    host.says(shift={"number": 7, "open": True})
    for _ in range(3):
        refused = desk.update(host, release)
        assert (refused["state"], names(refused)) == ("refused", ["verify", "check"])
    host.says(shift={"number": 7, "open": False})

    done = desk.update(host, release)
    assert (done["state"], host.version()) == ("done", "10.4.2.0")
    assert all(phase["ok"] for phase in done["phases"])


def test_release_may_permit_an_open_shift_but_never_unsent(host_of: Any, release_of: Any, desk: Any) -> None:
    """allow_open_shift in the signed manifest opens that gate alone."""
    server = host_of("server", "10.4.2.0")
    host = host_of("register", server_url=server.url)
    release = release_of("10.4.2.0", allow_open_shift=True)
    host.says(shift={"number": 7, "open": True}, unsent_receipts=1)
    assert desk.update(host, release)["state"] == "refused"
    host.says(unsent_receipts=0)

    assert desk.update(host, release)["state"] == "done"


def test_register_never_goes_above_its_server(host_of: Any, release_of: Any, desk: Any) -> None:
    """Three components count: a server of 10.4.1.9 has no register of 10.4.2.0, but one of 10.4.1.30."""
    server = host_of("server", "10.4.1.9")
    host = host_of("register", server_url=server.url)

    result = desk.update(host, release_of("10.4.2.0"))

    assert result["state"] == "refused"
    assert "update the server first" in result["reason"]
    assert desk.update(host, release_of("10.4.1.30"), effect_id="e2")["state"] == "done"


def test_register_with_a_silent_server_is_refused(host_of: Any, release_of: Any, desk: Any) -> None:
    """What the server runs cannot be known, so the register is not touched."""
    server = host_of("server", "10.4.2.0")
    host = host_of("register", server_url=server.url)
    server.stop()

    assert "does not say its version" in desk.update(host, release_of("10.4.2.0"))["reason"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"from_versions": ["10.3.9.0"]}, "does not follow 10.4.1.0"),
        ({"product": "other"}, "release of other"),
        ({"size": 1 << 50}, "free space"),
    ],
)
def test_release_that_does_not_fit_is_refused(
    host_of: Any, release_of: Any, desk: Any, changes: dict[str, Any], reason: str
) -> None:
    """A lower version, a missing base, another product, or no room on the disk."""
    host = host_of("server")

    result = desk.update(host, release_of("10.4.2.0", **changes))

    assert result["state"] == "refused"
    assert reason in result["reason"]
    assert host.version() == "10.4.1.0"


def test_lower_version_is_refused(host_of: Any, release_of: Any, desk: Any) -> None:
    """An update never goes down."""
    assert "go back by a rollback" in desk.update(host_of("server"), release_of("10.4.0.0"))["reason"]


def test_wrong_package_is_refused_and_removed(host_of: Any, release_of: Any, desk: Any) -> None:
    """A package with another digest is never unpacked, and does not stay in the way of the right one."""
    host, release = host_of("server"), release_of("10.4.2.0")
    right = (release / "package.tar.zst").read_bytes()
    (release / "package.tar.zst").write_bytes(right + b"\0")

    refused = desk.update(host, release)

    assert refused["state"] == "refused"
    assert "approved is sha256:" in refused["reason"]
    (release / "package.tar.zst").write_bytes(right)
    assert desk.update(host, release)["state"] == "done"


def test_missing_signature_is_refused(host_of: Any, release_of: Any, desk: Any) -> None:
    """One approval of two is not enough, and no argument of the call can make it so."""
    host, release = host_of("server"), release_of("10.4.2.0", approvers=["anna"])

    result = desk.update(host, release)

    assert result["state"] == "refused"
    assert "1 of 2 approvals are valid (anna)" in result["reason"]
    assert host.version() == "10.4.1.0"


def test_rollback_goes_to_the_version_before_once(host_of: Any, release_of: Any, desk: Any) -> None:
    """Rollback returns to the recorded version; a second one does not swing up again."""
    host, release = host_of("server"), release_of("10.4.2.0")
    desk.update(host, release)

    result = desk.call(host, "rollback", effect_id="r1")

    assert (result["state"], host.version()) == ("done", "10.4.1.0"), result["reason"]
    again = desk.call(host, "rollback", effect_id="r2")
    assert again["state"] == "refused"
    assert "no version before" in again["reason"]
    assert "give a new effect_id" in desk.update(host, release)["reason"]
    assert desk.update(host, release, effect_id="e2")["state"] == "done"


def test_rollback_respects_the_floor(host_of: Any, release_of: Any, desk: Any) -> None:
    """A release with a floor is not taken back below it."""
    host = host_of("server")
    desk.update(host, release_of("10.4.2.0", floor="10.4.2.0"))

    result = desk.call(host, "rollback", effect_id="r1")

    assert result["state"] == "refused"
    assert "may not go below 10.4.2.0" in result["reason"]


def test_server_is_not_taken_below_its_registers(host_of: Any, release_of: Any, desk: Any) -> None:
    """Registers go back first."""
    host = host_of("server")
    desk.update(host, release_of("10.4.2.0"))
    host.says(registers={"1": {"version": "10.4.2.0"}, "2": {"version": "10.4.1.0"}})

    result = desk.call(host, "rollback", effect_id="r1")

    assert result["state"] == "refused"
    assert "register 1 has 10.4.2.0" in result["reason"]


def test_altered_release_is_not_rolled_back_to(host_of: Any, release_of: Any, desk: Any) -> None:
    """A kept build whose files were changed since is not started again."""
    host = host_of("server")
    desk.update(host, release_of("10.4.2.0"))
    desk.update(host, release_of("10.4.3.0"), effect_id="e2")
    (host.root / "opt/set/releases/10.4.2.0/behaviour").write_text("altered\n")

    result = desk.call(host, "rollback", effect_id="r1")

    assert result["state"] == "refused"
    assert "was altered" in result["reason"]


def test_stage_touches_no_service(host_of: Any, release_of: Any, desk: Any) -> None:
    """Staging verifies, unpacks and offers the package; a second time nothing changes."""
    host, release = host_of("server"), release_of("10.4.2.0")
    desk.stage(host, release)

    first = desk.call(host, "stage", release)
    second = desk.call(host, "stage", release)

    assert (first["state"], first["changed"], second["changed"]) == ("staged", True, False)
    assert host.starts_and_stops() == ["start"]
    assert (host.root / "opt/set/releases/10.4.2.0/VERSION").is_file()
    update = desk.call(host, "update", release, effect_id="e2")
    details = {phase["name"]: phase["detail"] for phase in update["phases"]}
    assert (update["state"], details["unpack"]) == ("done", "was in its place")


def test_old_releases_are_removed_new_ones_kept(host_of: Any, release_of: Any, desk: Any) -> None:
    """After an update only the version before and what was staged ahead are kept beside the current one."""
    host = host_of("server")
    ahead = release_of("10.4.5.0")
    desk.stage(host, ahead)
    desk.call(host, "stage", ahead, effect_id="s1")
    for number, version in enumerate(("10.4.2.0", "10.4.3.0", "10.4.4.0")):
        assert desk.update(host, release_of(version), effect_id=f"e{number}")["state"] == "done"

    kept = sorted(path.name for path in (host.root / "opt/set/releases").iterdir())
    assert kept == ["10.4.1.0", "10.4.3.0", "10.4.4.0", "10.4.5.0"]  # 10.4.1.0 came with the host, not by us
    assert len(list((host.root / "var/lib/garant/depot").iterdir())) == 3


def test_an_effect_id_names_one_order(host_of: Any, release_of: Any, desk: Any) -> None:
    """The id of one release's update is refused for another release and for another action."""
    host = host_of("server")
    desk.update(host, release_of("10.4.2.0"))

    assert "give this order a new id" in desk.update(host, release_of("10.4.3.0"))["reason"]
    assert "give this order a new id" in desk.call(host, "rollback")["reason"]


def test_dry_run_and_preflight_change_nothing(host_of: Any, release_of: Any, desk: Any) -> None:
    """Check mode of an update answers like preflight and leaves the host's disk as it was."""
    host, release = host_of("server"), release_of("10.4.2.0")
    before = sorted(host.root.rglob("*"))

    dry = run(HostLayout(host.root), desk.order(release, action="update"), dry_run=True)
    plain = desk.call(host, "preflight")

    assert (dry["state"], plain["state"]) == ("ready", "ready"), dry["reason"]
    assert sorted(host.root.rglob("*")) == before


def test_preflight_gives_every_reason(host_of: Any, release_of: Any, desk: Any) -> None:
    """All that stands against a touch is named at once."""
    server = host_of("server", "10.4.1.0")
    host = host_of("register", server_url=server.url)
    host.says(shift={"number": 7, "open": True}, unsent_receipts=3)

    result = desk.call(host, "preflight", release_of("10.4.2.0"))

    assert result["state"] == "refused"
    assert [check["name"] for check in result["checks"] if not check["ok"]] == ["shift", "unsent", "order"]


def test_probe_tells_what_is_there(host_of: Any, release_of: Any, desk: Any) -> None:
    """Probe reports version, health, marker and the effect's receipt, also of a host that is down."""
    host, release = host_of("server"), release_of("10.4.2.0")
    desk.update(host, release)

    up = desk.call(host, "probe")["probe"]
    host.stop()
    down = desk.call(host, "probe", effect_id="never")["probe"]

    assert (up["version"], up["healthy"], up["marker"]["effect_id"]) == ("10.4.2.0", True, "e1")
    assert (up["receipt"]["state"], up["receipt"]["final"], up["lock"]["held"]) == ("done", True, False)
    assert (down["answering"], down["healthy"], down["receipt"]) == (False, False, None)
    assert (down["link_version"], down["unfinished"]) == ("10.4.2.0", [])


def test_heal_starts_what_is_down(host_of: Any, desk: Any) -> None:
    """Heal returns a host to service and changes nothing on one that works."""
    host: FakeHost = host_of("register")
    host.stop()

    healed = desk.call(host, "heal", effect_id="h1")
    again = desk.call(host, "heal", effect_id="h2")

    assert (healed["state"], healed["changed"], again["changed"]) == ("done", True, False)
    assert host.version() == "10.4.1.0"


@pytest.mark.parametrize("effect_id", [None, "", "../x", "a b", "x" * 129])
def test_bad_effect_id_is_refused(
    host_of: Callable[..., FakeHost], release_of: Callable[..., Path], desk: Any, effect_id: str | None
) -> None:
    """An effect id becomes a file's name on the host, so it is checked."""
    result = desk.update(host_of("server"), release_of("10.4.2.0"), effect_id=effect_id)

    assert result["state"] == "refused"
    assert "effect_id" in result["reason"]
