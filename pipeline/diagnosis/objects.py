"""Masked files by their content: each is stored once, however many hosts and collections gave it.

``FOLDER/ab/abcdef...`` is the file with that SHA-256; evidence has hard links to it, so the folder of a
collection is whole by itself (the bench, tar and people read it as files) and needs no index.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

FILE_MODE = 0o440


class Objects:
    """The store of contents below one folder; may be used by several workers at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, content: bytes, target: Path) -> str:
        """Make ``target`` (which does not exist) a file with this content; returns its SHA-256."""
        sha256 = hashlib.sha256(content).hexdigest()
        place = self._folder / sha256[:2] / sha256
        for _ in range(3):
            if not _whole(place, sha256):
                _make(place, content)
            try:
                os.link(place, target)
                return sha256
            except FileNotFoundError:
                continue  # another worker deleted evidence, and this content as its last, just now
            except OSError:
                break  # a file system without hard links, or with too many of this one
        target.write_bytes(content)
        target.chmod(FILE_MODE)
        return sha256

    def sweep(self) -> int:
        """Remove the contents that no evidence links to any more; returns their bytes.

        One that is linked to while we look keeps its link: only our own name of it goes.
        """
        freed = 0
        for place in self._folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                status = place.lstat()
                if status.st_nlink == 1 and not place.name.startswith("."):
                    place.unlink()
                    freed += status.st_size
        return freed


def _whole(place: Path, sha256: str) -> bool:
    """Whether it is there and has its content: what was damaged must not get into further evidence."""
    try:
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def _make(place: Path, content: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, own = tempfile.mkstemp(prefix=".", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(own, FILE_MODE)
        os.replace(own, place)  # evidence that links to a damaged one keeps it, and is found damaged
    except BaseException:
        os.unlink(own)
        raise
