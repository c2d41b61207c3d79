"""The manifest of a release, as the approvers signed it (pure)."""

import json
import re
from dataclasses import dataclass
from typing import Any

from .errors import RefusedError
from .layout import digest_hex
from .versions import version_key

SCHEMA = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class PackagedFile:
    """One regular file of the build."""

    path: str
    sha256: str
    #: Permission bits; set-user-id and the like are dropped.
    mode: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is to be installed and on which conditions."""

    product: str
    version: str
    digest: str
    #: Bytes of the compressed package.
    size: int
    files: tuple[PackagedFile, ...]
    #: Versions that may be updated; None = every lower one.
    from_versions: tuple[str, ...] | None
    #: A rollback never goes below it once this release is installed.
    floor: str | None
    allow_open_shift: bool
    author: str


def safe_path(name: str) -> str:
    """Return ``name`` without a leading ``./``; refuse everything that could leave the folder."""
    path = name.removeprefix("./").rstrip("/")
    parts = path.split("/")
    if not path or path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise RefusedError(f"path {name!r} would leave the release's folder: build the release again")
    return path


def _mode(value: Any) -> int:
    """Accept 493 as well as "0755" and "755"."""
    return (int(value, 8) if isinstance(value, str) else int(value)) & 0o777


def _file(raw: dict[str, Any]) -> PackagedFile:
    if not _SHA256.fullmatch(raw["sha256"]):
        raise ValueError(f"sha256 of {raw['path']} is not 64 hexadecimal digits")
    return PackagedFile(path=safe_path(raw["path"]), sha256=raw["sha256"], mode=_mode(raw.get("mode", 0o644)))


def parse_manifest(text: bytes) -> Manifest:
    """Read a manifest; every field that a decision rests on must be there and of the right kind.

    Raises:
        RefusedError: not a manifest of schema 1.
    """
    try:
        raw = json.loads(text)
        if raw["schema"] != SCHEMA:
            raise ValueError(f"schema {raw['schema']!r} is unknown, expected {SCHEMA}")
        digest_hex(raw["digest"])
        version_key(raw["version"])
        files = tuple(_file(item) for item in raw["files"])
        if len({item.path for item in files}) != len(files):
            raise ValueError("a file is listed twice")
        if raw["allow_open_shift"] not in (True, False) or not raw["author"]:
            raise ValueError("allow_open_shift or author is not given")
        from_versions = raw.get("from_versions")
        return Manifest(
            product=raw["product"],
            version=raw["version"],
            digest=raw["digest"],
            size=int(raw["size"]),
            files=files,
            from_versions=None if from_versions is None else tuple(from_versions),
            floor=raw.get("floor"),
            allow_open_shift=raw["allow_open_shift"],
            author=raw["author"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(f"manifest cannot be used ({error!r}): build the release again") from error
