"""The package of a release: its digest, and unpacking it without trusting its names, links or sizes."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .checks import RESERVE
from .errors import RefusedError
from .layout import sync_folder
from .manifest import Manifest, PackagedFile, safe_path

CHUNK = 1 << 20  # bytes
MAX_UNPACKED = 8 << 30  # bytes; a bomb ends here even on a large disk
MAX_MEMBERS = 200_000


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def demand_digest(package: Path, digest: str) -> None:
    """Refuse, and remove, a package that is not the one that was approved."""
    found = "sha256:" + sha256_of(package)
    if found != digest:
        package.unlink()
        raise RefusedError(
            f"package {package.name} has digest {found}, approved is {digest}: removed, transfer it again"
        )


def free_bytes(folder: Path) -> int:
    """Return what is free on the disk of ``folder`` (or of its nearest parent that exists)."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def differences(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yield how an unpacked build differs from its manifest; byte code that Python left is no difference."""
    expected = {item.path: item for item in manifest.files}
    for item in manifest.files:
        path = folder / item.path
        if path.is_symlink() or not path.is_file():
            yield f"{item.path} is missing"
        elif sha256_of(path) != item.sha256:
            yield f"{item.path} has other content"
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if (
            path.is_file()
            and not path.is_symlink()
            and name not in expected
            and "__pycache__" not in path.parts
        ):
            yield f"{name} does not belong to the release"


def unpack(package: Path, manifest: Manifest, target: Path, *, limit: int = MAX_UNPACKED) -> int:
    """Unpack into ``<target>.partial``, verify every file, then rename; return the bytes written.

    ``limit`` bounds what is written, in bytes. The caller sees to it that ``target`` is not what runs.

    Raises:
        RefusedError: the package holds something that the manifest does not say, or the disk is too small;
            nothing is left behind.
    """
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    limit = min(limit, max(0, free_bytes(target.parent) - RESERVE))
    partial.mkdir(parents=True, mode=0o755)
    try:
        written = _extract(package, manifest, partial, limit)
        wrong = next(differences(partial, manifest), None)
        if wrong is not None:
            raise RefusedError(
                f"release {manifest.version}: {wrong} after unpacking: build the release again"
            )
        stated = (
            (partial / "VERSION").read_text(encoding="utf-8").strip()
            if (partial / "VERSION").is_file()
            else None
        )
        if stated != manifest.version:
            raise RefusedError(
                f"VERSION in the package says {stated}, the manifest {manifest.version}: build it again"
            )
        os.sync()
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RefusedError(
            f"unpacking {manifest.version} stopped: {error}: free space on the disk"
        ) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return written


def _extract(package: Path, manifest: Manifest, folder: Path, limit: int) -> int:
    # zstd is a program here and not a library: hosts have only Python 3.11's standard library.
    with subprocess.Popen(
        ["zstd", "-dcq", str(package)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as zstd:
        assert zstd.stdout is not None
        assert zstd.stderr is not None
        try:
            writer = _Writer(manifest, folder, limit)
            with tarfile.open(fileobj=zstd.stdout, mode="r|") as archive:
                for member in archive:
                    writer.add(archive, member)
            while zstd.stdout.read(CHUNK):
                pass
        except tarfile.TarError as error:
            zstd.kill()
            said = zstd.stderr.read().decode(errors="replace").strip()
            raise RefusedError(
                f"{package.name} is no archive ({said or error}): build the release again"
            ) from error
        except BaseException:
            zstd.kill()
            raise
        said = zstd.stderr.read().decode(errors="replace").strip()
    if zstd.returncode != 0:
        raise RefusedError(f"{package.name} cannot be decompressed ({said}): build the release again")
    return writer.written


class _Writer:
    """Writes members one by one and remembers what exists, so that no link can redirect a later one."""

    def __init__(self, manifest: Manifest, folder: Path, limit: int) -> None:
        self._version = manifest.version
        self._expected: dict[str, PackagedFile] = {item.path: item for item in manifest.files}
        self._folder = folder
        self._folders = {""}
        self._members = 0
        self._limit = limit
        self.written = 0

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise self._refusal("has too many members")
        if member.isdir() and member.name.rstrip("/") in (".", ""):
            return
        name = safe_path(member.name)
        parent = name.rpartition("/")[0]
        if member.isdir():
            self._make_folder(name)
        elif member.issym():
            self._make_folder(parent)
            self._link(name, member.linkname)
        elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            self._make_folder(parent)
            source = archive.extractfile(member)
            assert source is not None
            self._file(name, member.size, source)
        else:
            raise self._refusal(f"holds {name}, which is neither a file nor a folder nor a symbolic link")

    def _make_folder(self, name: str) -> None:
        if name in self._folders:
            return
        self._make_folder(name.rpartition("/")[0])
        try:
            (self._folder / name).mkdir(mode=0o755)
        except FileExistsError:
            raise self._refusal(f"holds {name} twice, once as a folder") from None
        self._folders.add(name)

    def _link(self, name: str, target: str) -> None:
        # Only leading ".." are followed: "a/b/../x" could leave the folder when b is itself a link.
        parts = target.split("/")
        ups = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
        if target.startswith("/") or ".." in parts[ups:] or ups > name.count("/"):
            raise self._refusal(f"holds the link {name} -> {target}, which leads out of it")
        try:
            (self._folder / name).symlink_to(target)
        except FileExistsError:
            raise self._refusal(f"holds {name} twice") from None

    def _file(self, name: str, size: int, source: IO[bytes]) -> None:
        item = self._expected.get(name)
        if item is None:
            raise self._refusal(f"holds {name}, which the manifest does not list")
        if self.written + size > self._limit:
            raise self._refusal(f"needs more than the {self._limit >> 20} MiB that may be written")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            handle = os.open(self._folder / name, flags, 0o600)
        except FileExistsError:
            raise self._refusal(f"holds {name} twice") from None
        with os.fdopen(handle, "wb") as target:
            shutil.copyfileobj(source, target, CHUNK)
            os.fchmod(target.fileno(), item.mode)
        self.written += size

    def _refusal(self, what: str) -> RefusedError:
        return RefusedError(f"package of {self._version} {what}: build the release again")
