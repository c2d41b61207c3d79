"""The pure rules: may this host be touched, does this release fit, and in which order."""

from typing import Any

import pytest
from garant.checks import disk_check, order_check, trade_checks
from garant.errors import RefusedError
from garant.manifest import parse_manifest, safe_path
from garant.product import unhealthy_because
from garant.versions import at_most, version_key

CLOSED = {"role": "register", "state": "ready", "shift": {"number": 1, "open": False}}
QUIET = CLOSED | {"open_receipt": False, "unsent_receipts": 0}


def refused(status: dict[str, Any] | None, *, allow: bool = False) -> list[str]:
    checks = trade_checks("register", status, allow_open_shift=allow)
    return [check.name for check in checks if not check.ok]


@pytest.mark.parametrize(
    ("status", "names"),
    [
        (QUIET, []),
        (None, ["answers"]),
        ({}, ["ready", "role", "shift", "receipt", "unsent"]),  # what is not said counts as no
        (QUIET | {"state": "starting"}, ["ready"]),
        (QUIET | {"role": "server"}, ["role"]),
        (QUIET | {"shift": {"number": 1, "open": True}}, ["shift"]),
        (QUIET | {"shift": {"number": 1, "open": "no"}}, ["shift"]),
        (QUIET | {"shift": {"number": 1, "open": 0}}, ["shift"]),
        (QUIET | {"open_receipt": True}, ["receipt"]),
        (QUIET | {"open_receipt": 0}, ["receipt"]),
        (QUIET | {"unsent_receipts": 1}, ["unsent"]),
        (QUIET | {"unsent_receipts": False}, ["unsent"]),
        (QUIET | {"unsent_receipts": "0"}, ["unsent"]),
    ],
)
def test_trade_must_stand_still(status: dict[str, Any] | None, names: list[str]) -> None:
    """Only a plain, complete answer that nothing goes on lets a register be touched."""
    assert refused(status) == names


def test_permission_covers_the_shift_alone() -> None:
    """A release that permits open shifts does not permit not knowing, an open receipt or unsent ones."""
    assert refused(QUIET | {"shift": {"number": 1, "open": True}}, allow=True) == []
    assert refused({"role": "register", "state": "ready"}, allow=True) == ["shift", "receipt", "unsent"]


@pytest.mark.parametrize(
    ("register", "server", "fits"),
    [
        ("10.3.10.0", "10.3.10.0", True),
        ("10.3.10.7", "10.3.10.0", True),  # SET-INTERFACES 1.1: 10.3.10.0 permits 10.3.10.X
        ("10.3.11.0", "10.3.10.9", False),
        ("10.3.9.9", "10.3.10.0", True),  # numbers, not texts
        ("10.10.0.0", "10.9.0.0", False),
        ("10.4", "10.4.0.0", True),
    ],
)
def test_register_at_most_its_server(register: str, server: str, fits: bool) -> None:
    """The first three components decide, compared as numbers."""
    assert at_most(register, server) is fits
    assert order_check("register", register, {}, {"version": server}).ok is fits
    below = order_check("server", server, {"registers": {"1": {"version": register}}}, None)
    assert below.ok is fits


@pytest.mark.parametrize("version", ["", "v1.2", "1..2", "1.2-rc1", "1.2.3.4.5.6.7.8.9", "1.2\n"])
def test_odd_versions_are_refused(version: str) -> None:
    """A version that cannot be ordered is not compared as a text."""
    with pytest.raises(RefusedError):
        version_key(version)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"version": "1"}, "it says version 1"),
        ({"state": "starting"}, "its state is 'starting'"),
        ({"goods": 4}, "it knows 4 goods, before it knew 5"),
        ({"goods": None}, "it knows None goods"),
    ],
)
def test_health(change: dict[str, Any], why: str | None) -> None:
    """Healthy is: answers, ready, the right version, no goods lost."""
    status = {"version": "2", "state": "ready", "goods": 5} | change

    found = unhealthy_because(status, "2", 5)

    assert found is None if why is None else found is not None and why in found


def test_disk_needs_package_and_build() -> None:
    """Room for the package, for it unpacked, and a reserve for receipts."""
    assert disk_check(48 << 20, 10 << 20).ok
    assert not disk_check(47 << 20, 10 << 20).ok


@pytest.mark.parametrize("name", ["", ".", "..", "/x", "a//b", "a/../b", "a/./b", "a\0b", "../a"])
def test_unsafe_paths_are_refused(name: str) -> None:
    """A manifest's path never leaves the release's folder."""
    with pytest.raises(RefusedError):
        safe_path(name)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"schema": 2}', b"null", b"\xff"])
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    """Another schema, missing fields, no JSON."""
    with pytest.raises(RefusedError, match="manifest cannot be used"):
        parse_manifest(text)
