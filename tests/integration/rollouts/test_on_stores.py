"""Rollouts over real hosts: SSH, Ansible, supervisors, signatures, the reference SET."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.stores

OLD, NEW = "10.4.5.0", "10.4.6.0"

#: Stands in front of the supervisor's command: the new version cannot be started on this host.
WON_T_START = f"""mv /usr/local/bin/cash /usr/local/bin/cash.real
cat > /usr/local/bin/cash <<'END'
#!/bin/sh
case "$1" in start|restart)
  [ "$(cat /opt/set/current/VERSION)" = {NEW} ] && {{ echo "planted: {NEW} does not start" >&2; exit 1; }};;
esac
exec /usr/local/bin/cash.real "$@"
END
chmod 755 /usr/local/bin/cash
"""


def test_two_stores_are_updated_and_a_failed_register_is_taken_back_and_retried(site: Any) -> None:
    """Built, approved and rolled out; east-r2 cannot start the new version: it serves the old one again, is
    named, and is done after the cause is removed and it is tried again."""
    site.release()
    site.stores.run("west-r2", WON_T_START)

    rollout = site.begin(canary=("east",))
    status = site.until_state(rollout, "completed-with-exceptions", "paused", "completed")

    assert status["state"] == "completed-with-exceptions", json.dumps(status, default=str)
    states = site.states(rollout)
    assert states.pop("west-r2") == "rolled-back"
    assert set(states.values()) == {"done"}
    versions = site.versions()
    assert versions.pop("west-r2") == OLD
    assert set(versions.values()) == {NEW}
    assert status["max_registers_down_per_store"] == 1

    site.stores.run("west-r2", "mv /usr/local/bin/cash.real /usr/local/bin/cash")
    site.act("retry", rollout, "west-r2")
    status = site.until_state(rollout, "completed", "paused")

    assert status["state"] == "completed"
    assert set(site.versions().values()) == {NEW}
    receipts = site.stores.run("west-r2", "cat /var/lib/garant/receipts/*.json").stdout
    assert f"{rollout}.west-r2.1" in receipts
    assert f"{rollout}.west-r2.2" in receipts


@pytest.mark.parametrize("site", [("east",)], indirect=True)
def test_a_host_that_trusts_nobody_refuses(site: Any) -> None:
    """The host's own allowed_signers decides: what the controller takes for approved is refused there, and
    nothing is touched."""
    site.release()
    site.stores.run("east-server", "sed -i '/^clara/d' /etc/garant/allowed_signers")

    rollout = site.begin()
    site.until(lambda: site.status(rollout)["waves"][0]["stores"][0]["state"] == "held", "the server refuses")

    store = site.status(rollout)["waves"][0]["stores"][0]
    assert store["hosts"][0]["state"] == "failed"
    assert "1 of 2 approvals" in store["hosts"][0]["reason"]
    assert set(site.versions().values()) == {OLD}


@pytest.mark.parametrize("site", [("east",)], indirect=True)
def test_a_store_that_is_cut_off_catches_up(site: Any) -> None:
    """Cut off before it was touched: waiting(offline), nothing unknown; restored: it completes."""
    site.release()
    site.stores.cut("east")
    rollout = site.begin()
    site.until(
        lambda: site.status(rollout)["waves"][0]["stores"][0]["waiting"] == "offline", "the store is offline"
    )
    assert set(site.states(rollout).values()) == {"planned"}

    site.stores.restore("east")
    site.until_state(rollout, "completed")

    assert set(site.versions().values()) == {NEW}
