"""Ansible module: one whole change of one SET host in one call; what it does is in module_utils/garant."""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.garant.layout import HostLayout
from ansible.module_utils.garant.order import Order
from ansible.module_utils.garant.session import run

DOCUMENTATION = r"""
module: set_update
short_description: Update, roll back, stage, check or probe one SET host
description:
  - Carries out one whole change of a SET server or register in one call. Locks the host, checks the release's
    digest and approvals, re-checks that trade stands still, stops, switches, starts, proves health, and
    undoes the change by itself when that fails.
  - The change runs detached from the connection. When SSH is cut it goes on to its end or undoes itself, and
    the receipt in /var/lib/garant/receipts tells. A second call with the same I(effect_id) reports that
    receipt, or settles what a power cut left half-way; it never changes the host twice.
  - Approvals needed, trusted keys and the permission to touch a host with an open shift come from the host's
    own files and from the signed manifest. No argument can lower them.
  - C(refused) and C(busy) are answers, not failures; read I(state), not the colour.
options:
  action:
    description: What to do. C(heal) settles what broke off and starts a product that is down.
      C(preflight) and C(probe) change nothing.
    type: str
    required: true
    choices: [update, rollback, stage, heal, preflight, probe]
  effect_id:
    description: Name of this change, unique over all changes of this host; needed by all that change a host.
    type: str
  digest:
    description: Digest of the package as C(sha256:HEX); needed by update and stage.
    type: str
  version:
    description: The version that is expected; refused when the signed manifest says another one.
    type: str
  manifest:
    description: Text of manifest.json; when absent taken from I(depot_url), else from the staging folder.
    type: str
  signatures:
    description: Signatures over the manifest, C(PRINCIPAL.sig) to text.
    type: dict
    default: {}
  depot_url:
    description: Where a register takes the release from, C(http://LAN-ADDRESS-OF-ITS-SERVER:8091).
    type: str
  to_version:
    description: Version to go back to; the one before when absent. Only for rollback.
    type: str
  health_timeout:
    description: Seconds until the product must be healthy after a start.
    type: float
    default: 60
  lock_wait:
    description: Seconds to wait for another change to leave the host.
    type: float
    default: 10
  wait:
    description: Seconds until the call ends with state C(busy) while the change goes on by itself.
    type: float
    default: 900
attributes:
  check_mode:
    description: Answers what C(preflight) would.
    support: full
author:
  - Garant
"""

EXAMPLES = r"""
- name: Update a register from its server's depot
  set_update:
    action: update
    effect_id: rollout-7.store-12.r2.attempt-1
    digest: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    depot_url: http://10.12.0.1:8091
"""

RETURN = r"""
state:
  description: >-
    done, staged, refused, busy, failed, rolled-back or needs-human; ready for preflight, probed for probe.
  returned: always
  type: str
reason:
  description: Why, for people.
  returned: always
  type: str
version_before:
  description: Version that was linked before.
  returned: always
  type: str
version_after:
  description: Version that is linked now.
  returned: always
  type: str
out_of_service_seconds:
  description: How long the service did not answer because of us.
  returned: always
  type: float
phases:
  description: Steps with name, ok, seconds and detail.
  returned: always
  type: list
  elements: dict
checks:
  description: What was re-checked, with name, ok and detail.
  returned: always
  type: list
  elements: dict
probe:
  description: What the host runs and what became of the effect.
  returned: for probe
  type: dict
"""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "action": {
        "type": "str",
        "required": True,
        "choices": ["update", "rollback", "stage", "heal", "preflight", "probe"],
    },
    "effect_id": {"type": "str"},
    "digest": {"type": "str"},
    "version": {"type": "str"},
    "manifest": {"type": "str"},
    "signatures": {"type": "dict", "default": {}},
    "depot_url": {"type": "str"},
    "to_version": {"type": "str"},
    "health_timeout": {"type": "float", "default": 60},
    "lock_wait": {"type": "float", "default": 10},
    "wait": {"type": "float", "default": 900},
}
#: Not repeated in the answer: on a real release the manifest lists thousands of files.
BULKY = frozenset({"manifest", "signatures"})


def main() -> None:
    """Read the arguments, run, answer; fail only when the change failed."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    # An empty text is what a template gives for a variable that is not set.
    given = {
        name: value for name, value in module.params.items() if name in ARGUMENTS and value not in (None, "")
    }
    result = run(HostLayout(), Order(**given), dry_run=module.check_mode)
    result["invocation"] = {
        "module_args": {name: value for name, value in given.items() if name not in BULKY}
    }
    if result.pop("failed"):
        module.fail_json(msg=f"{result['state']}: {result['reason']}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
