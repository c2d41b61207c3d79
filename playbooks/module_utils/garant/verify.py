"""m-of-n approvals: OpenSSH signatures over the manifest, checked on the host (DESIGN section 3).

The policy and the keys are the host's own files. Nothing that the controller sends can lower them.
"""

import base64
import binascii
import fnmatch
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from .errors import RefusedError
from .layout import read_json

NAMESPACE = "garant-release"
SUFFIX = ".sig"
MAX_SIGNATURES = 64
_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_FINGERPRINT = re.compile(r"key (SHA256:[A-Za-z0-9+/]+)")
_KEY_TYPE = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+")


@dataclass(frozen=True)
class Approvals:
    """Which signatures count, and why the others do not."""

    #: Principal to fingerprint of the key; each key and each principal once.
    valid: Mapping[str, str]
    rejected: Mapping[str, str]


def required_approvals(policy: Path) -> int:
    """Return how many approvals this host demands: at least one, whatever the file says.

    Raises:
        RefusedError: there is no policy (a host without one accepts nothing).
    """
    raw = read_json(policy)
    count = raw.get("approvals") if raw else None
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise RefusedError(
            f"policy {policy} does not say how many approvals are needed: provision the host first"
        )
    return count


def keys_of(principal: str, allowed_signers: Path) -> frozenset[str]:
    """Return the fingerprints of all keys of ``principal`` in ``allowed_signers``, valid or expired."""
    found = set()
    for line in allowed_signers.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        patterns = words[0].strip('"').split(",")
        if not any(fnmatch.fnmatchcase(principal, pattern) for pattern in patterns):
            continue
        for word, key in pairwise(words[1:]):
            if _KEY_TYPE.fullmatch(word):
                try:
                    digest = hashlib.sha256(base64.b64decode(key, validate=True)).digest()
                except binascii.Error:
                    break
                found.add("SHA256:" + base64.b64encode(digest).decode().rstrip("="))
                break
    return frozenset(found)


def _check_one(
    manifest: bytes, signature: bytes, principal: str, allowed_signers: Path
) -> tuple[str | None, str]:
    """Return (fingerprint or None, what ssh-keygen said)."""
    with tempfile.NamedTemporaryFile(suffix=SUFFIX) as file:
        file.write(signature)
        file.flush()
        command = ["ssh-keygen", "-Y", "verify", "-f", str(allowed_signers), "-I", principal]
        done = subprocess.run(
            [*command, "-n", NAMESPACE, "-s", file.name],
            input=manifest,
            capture_output=True,
            timeout=30,
            check=False,
        )
    said = (done.stdout + done.stderr).decode(errors="replace").strip()
    match = _FINGERPRINT.search(said)
    if done.returncode != 0 or match is None:
        return None, said.splitlines()[-1] if said else f"ssh-keygen ended with {done.returncode}"
    return match.group(1), said


def check_approvals(
    manifest: bytes, signatures: Mapping[str, bytes], author: str, allowed_signers: Path
) -> Approvals:
    """Verify every signature (name ``<principal>.sig`` to content) with real ssh-keygen.

    The author's own does not count, nor a signature made with one of the author's keys under another name;
    one key signing under two names counts once.
    """
    authors_keys = keys_of(author, allowed_signers)
    valid: dict[str, str] = {}
    rejected: dict[str, str] = {}
    for name in sorted(signatures)[:MAX_SIGNATURES]:
        principal = name.removesuffix(SUFFIX)
        if not name.endswith(SUFFIX) or not _PRINCIPAL.fullmatch(principal):
            rejected[name] = "the file's name is not <principal>.sig"
            continue
        if principal == author:
            rejected[principal] = "is the author: an own approval does not count"
            continue
        fingerprint, said = _check_one(manifest, signatures[name], principal, allowed_signers)
        if fingerprint is None:
            rejected[principal] = said
        elif fingerprint in authors_keys:
            rejected[principal] = "was made with the author's key: an own approval does not count"
        elif fingerprint in valid.values():
            rejected[principal] = "was made with a key that has been counted already"
        else:
            valid[principal] = fingerprint
    return Approvals(valid=valid, rejected=rejected)


def demand_approvals(
    manifest: bytes, signatures: Mapping[str, bytes], author: str, allowed_signers: Path, policy: Path
) -> Approvals:
    """Return the approvals when there are enough of them.

    Raises:
        RefusedError: fewer valid approvals than the host's policy demands, or no root of trust on the host.
    """
    needed = required_approvals(policy)
    if not allowed_signers.is_file():
        raise RefusedError(f"there is no {allowed_signers} on this host: provision the host first")
    approvals = check_approvals(manifest, signatures, author, allowed_signers)
    if len(approvals.valid) < needed:
        why = "; ".join(f"{who}: {reason}" for who, reason in approvals.rejected.items())
        raise RefusedError(
            f"{len(approvals.valid)} of {needed} approvals are valid ({', '.join(approvals.valid) or 'none'})"
            f"{': ' + why if why else ''}: have the release approved, then stage it again"
        )
    return approvals
