"""Ansible lookup: what a playbook needs of a release folder on the controller."""

import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: release
short_description: Read a release folder
description:
  - Returns version, digest, hex (the digest's hexadecimal digits), package (path on the controller), manifest
    (its exact text) and signatures of each folder given. It only reads; hosts verify digest and approvals.
options:
  _terms:
    description: Folders with manifest.json, package.tar.zst and signatures/.
    required: true
author:
  - Garant
"""

EXAMPLES = r"""
- name: Show the version of a release
  ansible.builtin.debug:
    msg: "{{ lookup('release', '/srv/releases/10.4.25.0').version }}"
"""

RETURN = r"""
_raw:
  description: One dictionary a folder.
  type: list
  elements: dict
"""


def read_release(folder: Path) -> dict[str, Any]:
    """Return a release's papers; AnsibleLookupError when the folder is not one."""
    try:
        text = (folder / "manifest.json").read_bytes().decode("utf-8")
        manifest = json.loads(text)
        digest = str(manifest["digest"])
        signatures = {
            path.name: path.read_text(encoding="utf-8") for path in (folder / "signatures").glob("*.sig")
        }
        return {
            "version": str(manifest["version"]),
            "digest": digest,
            "hex": digest.removeprefix("sha256:"),
            "package": str(folder.resolve() / "package.tar.zst"),
            "manifest": text,
            "signatures": signatures,
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AnsibleLookupError(f"{folder} is no release folder ({error!r}): give release_dir") from error


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core ships no types
    """``lookup('release', FOLDER)``."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Read each folder."""
        self.set_options(var_options=variables, direct=kwargs)
        return [read_release(Path(term)) for term in terms]
