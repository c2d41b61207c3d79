"""Host keys as OpenSSH writes them. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib

_TYPE = b"ssh-ed25519"
_LENGTH = 32  # bytes of an Ed25519 public key (RFC 8032)


def normalised(line: str) -> str:
    """``ssh-ed25519 BASE64`` of a public key line; comment and address are dropped.

    Raises:
        ValueError: it is no Ed25519 public key (RFC 8709); the message says how to get one.
    """
    parts = line.split()
    if "ssh-ed25519" not in parts:
        raise ValueError(
            "an `ssh-ed25519 ...` public key is expected: take /etc/ssh/ssh_host_ed25519_key.pub of the host"
        )
    rest = parts[parts.index("ssh-ed25519") + 1 :]
    try:
        blob = base64.b64decode(rest[0], validate=True) if rest else b""
    except (binascii.Error, ValueError):
        blob = b""
    head = len(_TYPE).to_bytes(4, "big") + _TYPE + _LENGTH.to_bytes(4, "big")
    if not blob.startswith(head) or len(blob) != len(head) + _LENGTH:
        raise ValueError("the `ssh-ed25519` key is cut off or damaged: copy the whole line again")
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def fingerprint(line: str) -> str:
    """The key's SHA-256 fingerprint as ``ssh-keygen -l`` shows it."""
    return blob_fingerprint(base64.b64decode(line.split()[1]))


def blob_fingerprint(blob: bytes) -> str:
    """The fingerprint of a key in its wire form (RFC 4253, section 6.6)."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
