"""The package of a build: the same tree and commit time give the same bytes (HOUSE: a release on disk)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from pipeline.errors import GarantError
from pipeline.releases.errors import ContentChangedError

MANIFEST, PACKAGE, SIGNATURES = "manifest.json", "package.tar.zst", "signatures"
#: zstd's level: packages are made once and travel to every store.
LEVEL = 19
#: Not part of a release: version control, and byte code, which depends on who built; hosts remake it.
_LEFT_OUT = {".git", "__pycache__"}
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Packed:
    """What was packed."""

    digest: str
    size: int
    files: list[dict[str, Any]]


def pack(tree: Path, target: Path, at: datetime) -> Packed:
    """Write ``target`` (package.tar.zst) from the build's tree.

    Names are sorted, owners are 0, times are ``at``, modes are 755 or 644; compression is of one thread and
    one level. Two versions of zstd may still compress differently; the tar inside is the same.

    Raises:
        GarantError: the tree is empty or holds what no host would accept; zstd is missing or failed.
    """
    plain = target.with_suffix("")
    files = []
    stamp = int(at.timestamp())
    try:
        with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as archive:
            for path in _entries(tree):
                info = _member(tree, path, stamp)
                if info.isreg():
                    with path.open("rb") as stream:
                        archive.addfile(info, stream)
                    files.append({"path": info.name, "sha256": sha256_of(path), "mode": f"{info.mode:04o}"})
                else:
                    archive.addfile(info)
        if not files:
            raise GarantError(f"build {tree} holds no files: look at its build lines in product.yaml")
        _compress(plain, target)
    finally:
        plain.unlink(missing_ok=True)
    return Packed(digest=f"sha256:{sha256_of(target)}", size=target.stat().st_size, files=files)


def _entries(tree: Path) -> Iterator[Path]:
    """Everything below the tree, folders before what is in them, sorted by the bytes of the names."""
    for entry in sorted(os.scandir(tree), key=lambda e: os.fsencode(e.name)):
        if entry.name in _LEFT_OUT:
            continue
        path = Path(entry.path)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(path)


def _member(tree: Path, path: Path, stamp: int) -> tarfile.TarInfo:
    name = path.relative_to(tree).as_posix()
    info = tarfile.TarInfo(name)
    info.mtime = stamp
    if path.is_symlink():
        target = os.readlink(path)
        if not (path.parent / target).resolve().is_relative_to(tree.resolve()) or target.startswith("/"):
            raise GarantError(
                f"build has the link {name} -> {target}, which leads out of it: change the build"
            )
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    elif path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif path.is_file():
        info.size = path.stat().st_size
        info.mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
    else:
        raise GarantError(f"build holds {name}, which is neither file, folder nor link: change the build")
    return info


def _compress(plain: Path, target: Path) -> None:
    command = ["zstd", f"-{LEVEL}", "-T1", "--check", "-q", "-f", "-o", str(target), str(plain)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    except FileNotFoundError as error:
        raise GarantError("zstd is not on this machine: install it (apt install zstd)") from error
    if done.returncode != 0:
        target.unlink(missing_ok=True)
        raise GarantError(
            f"packing into {target} failed: {done.stderr.strip()}. Free space there, then try again"
        )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical(manifest: dict[str, Any]) -> bytes:
    """The one form in which a manifest is written and signed."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{text}\n".encode()


def read_manifest(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The manifest of a release's folder, parsed and as it lies there.

    Raises:
        ContentChangedError: it is missing, is no manifest, or is not in its canonical form.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        manifest = json.loads(content)
        if not isinstance(manifest, dict) or canonical(manifest) != content:
            raise ValueError("not in canonical form")
    except (OSError, ValueError) as error:
        raise ContentChangedError(f"{path} cannot be used: {error}. Build the release again") from error
    return manifest, content


def demand_package(folder: Path, manifest: dict[str, Any]) -> None:
    """The package and every file in it are what the manifest says.

    Raises:
        ContentChangedError: something differs; the first difference is named.
    """
    package = folder / PACKAGE
    found = f"sha256:{sha256_of(package)}" if package.is_file() else "missing"
    if found != manifest["digest"]:
        raise ContentChangedError(
            f"{package} is {found}, the manifest says {manifest['digest']}: build the release again"
        )
    expected = {item["path"]: item["sha256"] for item in manifest["files"]}
    seen = set()
    with subprocess.Popen(
        ["zstd", "-dcq", str(package)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as zstd:
        assert zstd.stdout is not None
        with tarfile.open(fileobj=zstd.stdout, mode="r|") as archive:
            for member in archive:
                source = archive.extractfile(member) if member.isreg() else None
                if source is not None:
                    seen.add(member.name)
                    if expected.get(member.name) != _digest(source):
                        raise ContentChangedError(f"{member.name} in {package} is not what the manifest says")
        while zstd.stdout.read(_CHUNK):
            pass
    if seen != set(expected):
        missing = ", ".join(sorted(set(expected) - seen)[:5])
        raise ContentChangedError(f"{package} lacks {missing}: build the release again")


def _digest(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
