"""Approvals as OpenSSH signatures. Keys are the approvers' own: the service only ever sees signatures.

Everything about allowed_signers (patterns, validity, certificates) is read by ssh-keygen itself, so that the
controller and the hosts never understand the file differently.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.releases.errors import SignatureRefusedError

NAMESPACE = "garant-release"
PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_FINGERPRINT = re.compile(r"key (SHA256:[A-Za-z0-9+/]+)")
_SECONDS = 30.0


class Signatures(Protocol):
    """Makes and checks signatures over a manifest."""

    def sign(self, content: bytes, key: Path) -> bytes:
        """The signature with the private key of that file (or with the agent, for a public key's file).

        A passphrase is asked for by the signing program itself, on the caller's terminal.

        Raises:
            SignatureRefusedError: the key cannot be used.
        """

    def verify(self, content: bytes, signature: bytes, principal: str) -> str:
        """The key's fingerprint, when the signature is the principal's and the key is valid today.

        Raises:
            SignatureRefusedError: it is not, with the reason.
        """


class OpenSshSignatures:
    """ssh-keygen -Y, with the allowed_signers file of the settings.

    Raises:
        SignatureRefusedError: on ``verify``, when there is no allowed_signers file.
    """

    def __init__(self, allowed_signers: Path | None) -> None:
        self._allowed = allowed_signers

    def sign(self, content: bytes, key: Path) -> bytes:
        """As the port says; ssh-keygen asks for the passphrase on the terminal."""
        if not key.is_file():
            raise SignatureRefusedError(f"there is no key {key}: give your own private key's file by --key")
        command = ["ssh-keygen", "-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key)]
        # No time limit: a person types a passphrase.
        done = subprocess.run(command, input=content, capture_output=True, check=False)
        if done.returncode != 0 or not done.stdout:
            said = done.stderr.decode(errors="replace").strip()
            raise SignatureRefusedError(f"key {key} cannot sign: {said or 'ssh-keygen gave no reason'}")
        return done.stdout

    def verify(self, content: bytes, signature: bytes, principal: str) -> str:
        """As the port says."""
        if self._allowed is None or not self._allowed.is_file():
            raise SignatureRefusedError(
                f"allowed_signers {self._allowed or '(not set)'} is missing: set releases.allowed_signers in "
                "garant.yaml to the file that the stores' hosts have too"
            )
        with tempfile.NamedTemporaryFile(suffix=".sig") as file:
            file.write(signature)
            file.flush()
            who = ["-f", str(self._allowed), "-I", principal, "-n", NAMESPACE, "-s", file.name]
            code, said = _run(["ssh-keygen", "-Y", "verify", *who], content)
            match = _FINGERPRINT.search(said)
            if code == 0 and match:
                return match.group(1)
            raise SignatureRefusedError(self._why(file.name, principal, said))

    def _why(self, signature: str, principal: str, said: str) -> str:
        code, owner = _run(
            ["ssh-keygen", "-Y", "find-principals", "-f", str(self._allowed), "-s", signature], b""
        )
        last = said.splitlines()[-1] if said else "ssh-keygen gave no reason"
        if code != 0:
            return f"the key of the signature is unknown in {self._allowed}, or not valid today ({last})"
        owners = owner.split()
        if principal not in owners:
            return f"the key belongs to {', '.join(owners)}, not to {principal}"
        return f"{principal}'s signature is not good for this manifest, or the key is not valid today: {last}"


def _run(command: list[str], content: bytes) -> tuple[int, str]:
    done = subprocess.run(command, input=content, capture_output=True, timeout=_SECONDS, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace").strip()


@dataclass(frozen=True)
class Approvals:
    """Which signatures count (principal to key), and why the others do not (principal to reason)."""

    valid: Mapping[str, str]
    rejected: Mapping[str, str]


def check(signatures: Signatures, content: bytes, given: Mapping[str, bytes], author: str) -> Approvals:
    """Count the approvals of a manifest as the stores' hosts do.

    Each principal and each key counts once; the author's own does not, nor his key under another name.

    Args:
        given: principal to signature.
    """
    valid: dict[str, str] = {}
    rejected: dict[str, str] = {}
    for principal, signature in sorted(given.items()):
        try:
            valid[principal] = demand_counts(signatures, content, signature, principal, author, valid)
        except SignatureRefusedError as error:
            rejected[principal] = str(error)
    return Approvals(valid=valid, rejected=rejected)


def demand_counts(
    signatures: Signatures,
    content: bytes,
    signature: bytes,
    principal: str,
    author: str,
    counted: Mapping[str, str],
) -> str:
    """The fingerprint of the key, when this signature is one more approval.

    Args:
        counted: approvals that count already, principal to key.

    Raises:
        SignatureRefusedError: it is not one more; the message says why.
    """
    if not PRINCIPAL.fullmatch(principal):
        raise SignatureRefusedError(
            f"{principal!r} is no principal: a name as in allowed_signers is expected"
        )
    if principal == author:
        raise SignatureRefusedError(
            f"{principal} is the author: an own approval does not count, ask another person"
        )
    key = signatures.verify(content, signature, principal)
    if _verifies(signatures, content, signature, author):
        raise SignatureRefusedError(
            f"the key of {principal} is the author's too: an own approval does not count"
        )
    other = next((who for who, known in counted.items() if known == key), None)
    if other is not None:
        raise SignatureRefusedError(
            f"the key of {principal} has approved already as {other}: one key counts once"
        )
    return key


def _verifies(signatures: Signatures, content: bytes, signature: bytes, principal: str) -> bool:
    try:
        signatures.verify(content, signature, principal)
    except SignatureRefusedError:
        return False
    return True
