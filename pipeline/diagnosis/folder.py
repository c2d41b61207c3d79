"""The evidence folder: masked on the way in, listed with digests, read-only once it is there."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.diagnosis.collector import Collected
from pipeline.diagnosis.recipe import masking_order
from testbench.masking import Masker, MaskingError


@dataclass(frozen=True, kw_only=True)
class About:
    """What the evidence is about."""

    store: str
    zone: str
    product: str
    window_from: datetime
    window_to: datetime
    collected_at: datetime
    collected_by: str


@dataclass(frozen=True, kw_only=True)
class Written:
    """The folder as it was written."""

    digest: str
    version: str | None
    files: int
    bytes: int
    missing: list[dict[str, str]]


def masking_key(file: Path) -> bytes:
    """The installation's masking key, made on first use; only its owner may read it.

    One key for all evidence: the same customer has the same pseudonym in every case, so that evidence of two
    days can be compared.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_bytes()
    with os.fdopen(descriptor, "wb") as made:
        made.write(secrets.token_bytes(32))
    return file.read_bytes()


def write(target: Path, about: About, collected: Sequence[Collected], key: bytes) -> Written:
    """Mask everything and write it to ``target``, all at once: the folder is there whole or not at all.

    A file that cannot be masked is left out and listed: nothing is ever stored as it came.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    masker = Masker(key)
    missing = {host.host: list(host.missing) for host in collected}
    listed: dict[str, list[dict[str, Any]]] = {host.host: [] for host in collected}
    everything = [(masking_order(name), host, name) for host in collected for name in host.files]
    for _, host, name in sorted(everything, key=lambda entry: (entry[0], entry[1].host)):
        try:
            masked = masker.mask_file(name, host.files[name])
        except MaskingError as error:
            missing[host.host].append({"what": name, "reason": str(error)})
            continue
        file = partial / "files" / host.host / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(masked)
        file.chmod(0o444)
        sha256 = hashlib.sha256(masked).hexdigest()
        listed[host.host].append({"path": name, "sha256": sha256, "bytes": len(masked)})
    document = _document(about, collected, listed, missing, masker)
    partial.mkdir(parents=True, exist_ok=True)
    content = json.dumps(document, ensure_ascii=False, indent=2).encode()
    (partial / "evidence.json").write_bytes(content)
    (partial / "evidence.json").chmod(0o444)
    partial.rename(target)
    return Written(
        digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
        version=document["version"],
        files=sum(len(files) for files in listed.values()),
        bytes=sum(file["bytes"] for files in listed.values() for file in files),
        missing=[{"host": host, **entry} for host, entries in missing.items() for entry in entries],
    )


def _document(
    about: About,
    collected: Sequence[Collected],
    listed: dict[str, list[dict[str, Any]]],
    missing: dict[str, list[dict[str, str]]],
    masker: Masker,
) -> dict[str, Any]:
    server = next((host for host in collected if host.role == "server"), None)
    return {
        "schema": 1,
        "store": about.store,
        "product": about.product,
        "version": _version(server, collected),
        "zone": about.zone,
        "shop": _shop(collected),
        "window": {"from": about.window_from.isoformat(), "to": about.window_to.isoformat()},
        "collected_at": about.collected_at.isoformat(),
        "collected_by": about.collected_by,
        "hosts": [
            {
                "name": host.host,
                "role": host.role,
                "register": host.register,
                "version": host.version,
                "files": listed[host.host],
                "missing": missing[host.host],
            }
            for host in collected
        ],
        "masking": masker.manifest(),
    }


def _version(server: Collected | None, collected: Sequence[Collected]) -> str | None:
    """The server's version; a register's when the server could not be read."""
    if server is not None and server.version:
        return server.version
    return next((host.version for host in collected if host.version), None)


def _shop(collected: Sequence[Collected]) -> int | None:
    for host in collected:
        try:
            return int(json.loads(host.files["etc/set/set.json"])["shop"])
        except (KeyError, ValueError, TypeError):
            continue
    return None
