"""The evidence folder: masked on the way in, listed with digests, read-only once it is there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.diagnosis.collector import Collected
from pipeline.diagnosis.errors import EvidenceChangedError
from pipeline.diagnosis.objects import FILE_MODE, Objects
from pipeline.diagnosis.recipe import masking_order, plain_text
from testbench.masking import Masker, MaskingError

_LIST = "evidence.json"
_LETTERS = re.compile(r"[^\W\d_]{4,}")
_FOLDER_MODE = 0o550
_OBJECTS, _DELETED = ".objects", ".deleted"


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
    recipe: str = "set10"


@dataclass(frozen=True, kw_only=True)
class Written:
    """The folder as it was written."""

    digest: str
    version: str | None
    files: int
    bytes: int
    missing: list[dict[str, str]]


def write(target: Path, about: About, collected: Sequence[Collected], key: bytes) -> Written:
    """Mask everything and write it to ``target``, all at once: the folder is there whole or not at all.

    A file that cannot be masked is left out and listed: nothing is ever stored as it came. A folder that is
    there already is never replaced: an earlier attempt wrote it, or a later one that overtook us.

    Raises:
        EvidenceChangedError: the folder that was there is not as it was written.
    """
    if target.exists():
        return _found(target)
    for left in target.parent.glob(f".{target.name}.*"):  # of an attempt that was killed
        shutil.rmtree(left, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    masker = Masker(key)
    objects = Objects(target.parent / _OBJECTS)
    listed, missing = _write_files(partial, collected, masker, objects)
    document = _document(about, collected, listed, missing, masker)
    (partial / _LIST).write_bytes(json.dumps(document, ensure_ascii=False, indent=2).encode())
    _protect(partial)
    try:
        partial.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(partial, ignore_errors=True)  # the other attempt was quicker
    return _found(target)


def delete(target: Path) -> int:
    """Delete the folder, and the contents that no other evidence has; returns the bytes that became free.

    Doing it again, or after a kill in its midst, deletes what is left.
    """
    trash = target.with_name(f"{_DELETED}.{target.name}")
    if target.exists():
        target.chmod(0o700)
        target.rename(trash)  # at once: nobody reads half of it
    if trash.exists():
        for folder in (trash, *(path for path in trash.rglob("*") if path.is_dir())):
            folder.chmod(0o700)
        shutil.rmtree(trash)
    return Objects(target.parent / _OBJECTS).sweep()


def contents(folder: Path) -> dict[str, Any]:
    """evidence.json of a folder, unchecked (``read`` checks).

    Raises:
        EvidenceChangedError: it cannot be read.
    """
    try:
        document: dict[str, Any] = json.loads((folder / _LIST).read_bytes())
    except (OSError, ValueError) as error:
        raise EvidenceChangedError(folder, f"{_LIST} cannot be read ({error})") from error
    return document


def _found(target: Path) -> Written:
    target.chmod(_FOLDER_MODE)
    return read(target)


def read(folder: Path, digest: str | None = None) -> Written:
    """What a folder holds, after a check that every file is as it was written, and that none was added.

    Args:
        digest: of evidence.json, where it is known.

    Raises:
        EvidenceChangedError: it is not so; the file is named.
    """
    try:
        content = (folder / _LIST).read_bytes()
        document = json.loads(content)
        files = {f"{h['name']}/{f['path']}": f for h in document["hosts"] for f in h["files"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvidenceChangedError(folder, f"{_LIST} cannot be read ({error})") from error
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if digest is not None and found != digest:
        raise EvidenceChangedError(folder, f"{_LIST} was changed")
    _check_files(folder / "files", {name: str(file["sha256"]) for name, file in files.items()})
    return Written(
        digest=found,
        version=document["version"],
        files=len(files),
        bytes=sum(file["bytes"] for file in files.values()),
        missing=[{"host": host["name"], **entry} for host in document["hosts"] for entry in host["missing"]],
    )


def masked_missing(host: Collected, masker: Masker) -> list[dict[str, str]]:
    """What a host did not give, as it may be stored: names and reasons are the host's words too."""
    return [_masked(masker, **entry) for entry in host.missing]


def _masked(masker: Masker, what: str, reason: str) -> dict[str, str]:
    def plain(text: str) -> str:
        # Once more by bare words: a name inside the name of a file is no word of its own to the masker.
        return plain_text(_LETTERS.sub(lambda found: masker.mask_text(found[0]), masker.mask_text(text)), 500)

    return {"what": plain(what), "reason": plain(reason)}


def _check_files(folder: Path, expected: dict[str, str]) -> None:
    present = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    for name, path in present.items():
        if path.is_symlink() or (path.is_file() and name not in expected):
            raise EvidenceChangedError(folder.parent, f"files/{name} was added")
    for name, sha256 in expected.items():
        if name not in present:
            raise EvidenceChangedError(folder.parent, f"files/{name} is missing")
        with present[name].open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise EvidenceChangedError(folder.parent, f"files/{name} was changed")


def _write_files(
    folder: Path, collected: Sequence[Collected], masker: Masker, objects: Objects
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, list[dict[str, str]]]]:
    """Write what can be masked; returns what is there and what is missing, by host."""
    listed: dict[str, list[dict[str, Any]]] = {host.host: [] for host in collected}
    left_out: dict[str, list[dict[str, str]]] = {host.host: [] for host in collected}
    everything = [(masking_order(name), host, name) for host in collected for name in host.files]
    everything.sort(key=lambda entry: (entry[0], entry[1].host))
    for _, host, name in everything:
        if _names_people(name):
            with contextlib.suppress(MaskingError, ValueError, RecursionError):  # told when it is masked
                masker.learn(name, host.files[name])
    for _, host, name in everything:
        try:
            masked = masker.mask_file(name, host.files[name])
        except (MaskingError, ValueError, RecursionError) as error:
            # Text that no encoding can write, nesting without end: hostile, so it is not stored at all.
            reason = str(error) if isinstance(error, MaskingError) else "it is text that cannot be masked"
            left_out[host.host].append(_masked(masker, name, reason))
            continue
        shown = masker.mask_name(name)
        file = folder / "files" / host.host / shown
        file.parent.mkdir(parents=True, exist_ok=True)
        sha256 = objects.put(masked, file)
        listed[host.host].append({"path": shown, "sha256": sha256, "bytes": len(masked)})
    # Last, when every name is known that a document had.
    missing = {host.host: masked_missing(host, masker) + left_out[host.host] for host in collected}
    return listed, missing


def _names_people(name: str) -> bool:
    """Whether a file may say who somebody is: all structured files but the catalogues of goods.

    They are learned before anything is masked, so that a name in the first file's own name is known too.
    """
    return name.endswith((".xml", ".jsonl")) and not name.startswith("exchange/products/")


def _protect(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.chmod(_FOLDER_MODE if path.is_dir() else FILE_MODE)


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
        "recipe": about.recipe,
        "hosts": [
            {
                "name": host.host,
                "role": host.role,
                "address": host.address,
                "connected": host.tries,
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
        except (KeyError, ValueError, TypeError, RecursionError):
            continue
    return None
