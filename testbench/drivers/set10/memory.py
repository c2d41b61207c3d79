"""Where a store under test keeps its files while it is played: in memory where the machine can give it.

The product writes its database through to the disk after each action, and so does a file system when the
clock's file is replaced: on a disk that is two thirds of a day's replay. What a run leaves is wanted only by
its own bench, so nothing is lost with the power.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

MEMORY = Path("/dev/shm")  # noqa: S108 - guarded by _root: only a folder of ours in it is used
#: Less free memory than this, and the disk is used: a day of a large store takes a tenth of it.
LEAST_FREE_BYTES = 1024**3
_LINK = "store"
#: What people look at afterwards; databases and exchange folders are not copied back.
_KEPT = ("*.log", "*.err", "*.json")


@contextlib.contextmanager
def place(workspace: Path, memory: Path = MEMORY) -> Iterator[Path]:
    """A folder for the product's files, reached through ``workspace``; its logs end in ``workspace``.

    Folders of benches that were killed are removed first.
    """
    root = _root(memory)
    if root is None:
        yield workspace
        return
    _sweep(root)
    with _reserved(root) as folder:
        link = workspace / _LINK
        link.symlink_to(folder, target_is_directory=True)
        try:
            yield link
        finally:
            link.unlink(missing_ok=True)
            for pattern in _KEPT:
                for file in folder.glob(pattern):
                    shutil.copyfile(file, workspace / file.name)


def _root(memory: Path) -> Path | None:
    """Our own folder in memory; None when there is none that only we can write to, or too little room."""
    try:
        free = os.statvfs(memory)
        if not os.path.ismount(memory) or free.f_bavail * free.f_frsize < LEAST_FREE_BYTES:
            return None
        if _available_bytes() < LEAST_FREE_BYTES:
            return None
        root = memory / f"testbench-{os.getuid()}"
        root.mkdir(mode=0o700, exist_ok=True)
        seen = root.lstat()
    except OSError:
        return None
    # Everybody may write to /dev/shm: a link or a folder that another user put there is not ours.
    is_ours = seen.st_uid == os.getuid() and not root.is_symlink() and not seen.st_mode & 0o022
    return root if is_ours else None


def _available_bytes() -> int:
    """Memory that is free or can be made so: shared memory may be promised far beyond it."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def _reserved(root: Path) -> Iterator[Path]:
    """A new folder with a lock beside it, which the kernel opens when this process dies in any way."""
    while True:
        folder = root / uuid.uuid4().hex
        lock = folder.with_suffix(".lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another bench may have taken the lock before us and swept it away.
        if folder.with_suffix(".lock").exists():
            break
        lock.close()
    try:
        folder.mkdir()
        yield folder
    finally:
        _remove(folder, lock)


def _sweep(root: Path) -> None:
    """Remove what killed benches left: nobody holds its lock."""
    for path in root.glob("*.lock"):
        with contextlib.suppress(OSError):
            lock = path.open("r+")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
            else:
                _remove(path.with_suffix(""), lock)


def _remove(folder: Path, lock: IO[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)
    lock.close()
