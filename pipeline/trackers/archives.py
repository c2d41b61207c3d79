"""A bundle's folder as one file, the same bytes for the same content."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from pathlib import Path

from pipeline.errors import NotFoundError


def pack(folder: Path, target: Path, *, name: str) -> str:
    """Write ``folder`` as a deterministic tar.gz whose top folder is ``name``; returns its sha256.

    Times, owners and the order of the directory do not count, so a repeated filing sends nothing anew.

    Raises:
        NotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise NotFoundError(f"bundle {folder} is gone: reproduce the case again with `garant reproduce CASE`")
    files = sorted(file for file in folder.rglob("*") if file.is_file() and _kept(file.relative_to(folder)))
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for file in files:
            member = tarfile.TarInfo(f"{name}/{file.relative_to(folder).as_posix()}")
            member.size = file.stat().st_size
            member.mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
            with file.open("rb") as content:
                archive.addfile(member, content)
    with target.open("rb") as packed:
        return hashlib.file_digest(packed, "sha256").hexdigest()


def _kept(path: Path) -> bool:
    """What running the bundle leaves behind is not part of it."""
    return not any(part in ("__pycache__", ".pytest_cache") for part in path.parts)
