"""The installation's masking key."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pipeline.errors import GarantError

_BYTES = 32


def masking_key(file: Path) -> bytes:
    """The key, made on first use; only its owner may read it.

    One key for all evidence: the same customer has the same pseudonym in every case, so that evidence of two
    days can be compared. Two workers that make it at once have the same one afterwards, and a worker that is
    killed leaves the whole key or none.

    Raises:
        GarantError: the file is not a key, or others may read it.
    """
    if not file.exists():
        _make(file)
    status, key = file.stat(), file.read_bytes()
    if len(key) != _BYTES:
        raise GarantError(
            f"masking key {file} has {len(key)} bytes, not {_BYTES}: restore it from the backup; if removed, "
            "new evidence has other pseudonyms than the evidence of before"
        )
    if status.st_mode & 0o077:
        raise GarantError(f"masking key {file} can be read by others: chmod 600 {file}")
    return key


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    own = file.with_name(f".{file.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as made:
            made.write(secrets.token_bytes(_BYTES))
            made.flush()
            os.fsync(made.fileno())
        os.link(own, file)  # unlike a rename, it never replaces the key that another worker just made
    except FileExistsError:
        pass
    finally:
        own.unlink()
