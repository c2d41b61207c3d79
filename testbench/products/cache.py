"""The cache of builds: one folder a version and recipe, shared by all runs, safe under parallel use.

    HOME/builds/KEY/tree/        the build ({build} in product.yaml)
    HOME/builds/KEY/venv/        its own Python environment, where it has one
    HOME/builds/KEY/log.txt      what building said
    HOME/builds/KEY/build.json   written last: the build is complete (or known to fail)
    HOME/builds/KEY/users/PID-N  who uses it now; such a build is never evicted
    HOME/repositories/           mirrors of git sources

A build happens in its final place, because environments and scripts hold absolute paths; the atomic step is
build.json. What a kill left without it is removed by the next builder, who holds the lock.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from testbench.drivers.port import Build
from testbench.products import builder
from testbench.products.description import Product
from testbench.products.errors import BuildFailedError, BuildInfraError
from testbench.products.git import GitSource
from testbench.products.interpreters import find_python
from testbench.products.npm import NpmSource
from testbench.products.port import Resolved, VersionSource
from testbench.products.pypi import PyPISource
from testbench.progress import Progress, Step, silent

#: The least recently used builds are removed when all together are larger than this.
SIZE_LIMIT = 4 * 1024**3
#: Building stops before the disk is as full as this.
FREE_SPACE = 64 * 1024**2

_counter = itertools.count()


def default_home() -> Path:
    """Where builds are kept: $TESTBENCH_HOME, else the user's cache folder."""
    given = os.environ.get("TESTBENCH_HOME")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "testbench"


def source_of(product: Product, home: Path) -> VersionSource:
    """The place where this product's versions are."""
    source = product.source
    if source.git:
        return GitSource(source.git, source.versions, home / "repositories")
    if source.pypi:
        return PyPISource(source.pypi, product.python)
    assert source.npm  # the description has exactly one source
    return NpmSource(source.npm)


@dataclass(frozen=True)
class BuildCache:
    """Builds of one product.

    Args:
        product: what is built.
        home: folder of the cache, see ``default_home``.
        size_limit: bytes of all builds together.
        progress: told when something is built.
    """

    product: Product
    home: Path
    source: VersionSource
    size_limit: int = SIZE_LIMIT
    progress: Progress = silent

    @classmethod
    def of(cls, product: Product, home: Path | None = None, *, progress: Progress = silent) -> BuildCache:
        """The cache in ``home`` (the default one when None)."""
        # Builds hold absolute paths, so a relative home would break them for a caller elsewhere.
        where = (home or default_home()).absolute()
        return cls(product, where, source_of(product, where), progress=progress)

    @contextlib.contextmanager
    def use(self, asked: str) -> Iterator[Build]:
        """The build of a tag, commit or version, built when it is not there; not evicted while in use.

        Raises:
            VersionError: there is no such version.
            SourceError: the repository, the index or the interpreter asked for is not there.
            BuildFailedError: it does not build, or its smoke test fails; remembered.
            BuildInfraError: the machine failed, not the build; not remembered.
        """
        resolved = self.source.resolve(asked)
        entry = self._entry(resolved)
        entry.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{entry}.lock"):
            # Between the folder's making and the lock another process may have evicted it.
            (entry / "users").mkdir(parents=True, exist_ok=True)
            user = entry / "users" / f"{os.getpid()}-{next(_counter)}"
            user.touch()
        try:
            yield self._ready(entry, asked, resolved)
        finally:
            user.unlink(missing_ok=True)

    def log_of(self, asked: str) -> Path:
        """The log of building that version."""
        return self._entry(self.source.resolve(asked)) / "log.txt"

    def _entry(self, resolved: Resolved) -> Path:
        # The version is part of {version}, so two tags of one commit are two builds.
        parts = [self.product.name, resolved.id, resolved.version, self.product.recipe]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]
        return self.home / "builds" / f"{self.product.name}-{key}"

    def _ready(self, entry: Path, asked: str, resolved: Resolved) -> Build:
        marker = entry / "build.json"
        with FileLock(f"{entry}.lock"):
            record = _read(marker)
            if record is None:
                record = self._build(entry, asked, resolved)
            os.utime(marker)
        if record["failed"]:
            raise BuildFailedError(
                f"{self.product.name} {asked} fails in {record['failed']}: {record['detail']}; "
                f"the whole log: {entry / 'log.txt'}",
                stage=record["failed"],
            )
        return Build(
            product=self.product.name,
            asked=asked,
            resolved=resolved.id,
            path=entry / "tree",
            python=Path(record["python"]),
            version=resolved.version,
        )

    def _build(self, entry: Path, asked: str, resolved: Resolved) -> dict[str, Any]:
        self.progress(Step("build", f"building {self.product.name} {asked}"))
        self._make_room()
        _clean(entry)
        record: dict[str, Any] = {"asked": asked, "id": resolved.id, "failed": None, "detail": ""}
        try:
            if shutil.disk_usage(entry).free < FREE_SPACE:
                raise OSError(errno.ENOSPC, "too little space left")
            record["python"] = str(
                builder.build(self.product, self.source, resolved, entry, find_python(self.product.python))
            )
        except BuildFailedError as failure:
            record |= {"failed": failure.stage, "detail": str(failure), "python": ""}
            _clean(entry, keep_log=True)
        except OSError as problem:
            _clean(entry, keep_log=True)
            raise BuildInfraError(
                f"building {self.product.name} {asked} stopped: {problem.strerror or problem} in {entry}; "
                "free some disk space there (or set TESTBENCH_HOME to another disk) and start again"
            ) from problem
        except BaseException:
            _clean(entry, keep_log=True)
            raise
        record["bytes"] = _size(entry)
        partial = entry / "build.json.partial"
        partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
        partial.rename(entry / "build.json")
        return record

    def _make_room(self) -> None:
        """Remove the least recently used builds until all together keep the limit."""
        prune_builds(self.home, self.size_limit)


@dataclass(frozen=True, kw_only=True)
class KeptBuild:
    """One build of the cache, for people."""

    name: str
    asked: str
    #: The full commit id or the exact version.
    id: str
    bytes: int
    #: Seconds since the epoch.
    used_at: float
    #: Process ids of those who use it now.
    users: tuple[int, ...]
    #: build or smoke, where that fails; such a version is not built again.
    failed: str | None

    def as_json(self) -> dict[str, Any]:
        """A JSON object of it."""
        return {**asdict(self), "users": list(self.users)}


def list_builds(home: Path) -> list[KeptBuild]:
    """All complete builds of a home, the least recently used first."""
    found = []
    for marker in (home / "builds").glob("*/build.json"):
        record = _read(marker)
        with contextlib.suppress(OSError):
            found.append(
                KeptBuild(
                    name=marker.parent.name,
                    asked=str((record or {}).get("asked", "")),
                    id=str((record or {}).get("id", "")),
                    bytes=int((record or {}).get("bytes", 0)),
                    used_at=marker.stat().st_mtime,
                    users=tuple(int(user.name.split("-")[0]) for user in _users(marker.parent)),
                    failed=(record or {}).get("failed"),
                )
            )
    return sorted(found, key=lambda build: (build.used_at, build.name))


def prune_builds(home: Path, size_limit: int) -> list[KeptBuild]:
    """Remove the least recently used builds until all together keep the limit (bytes); gives what went.

    One that is in use, or being built, stays.
    """
    builds = list_builds(home)
    total, gone = sum(build.bytes for build in builds), []
    for build in builds:
        if total <= size_limit and size_limit:
            break
        entry = home / "builds" / build.name
        with contextlib.suppress(TimeoutError), FileLock(f"{entry}.lock", timeout=0):
            if not _users(entry):
                # The marker first: a kill in between leaves an incomplete build, not a broken one.
                (entry / "build.json").unlink(missing_ok=True)
                shutil.rmtree(entry, ignore_errors=True)
                total -= build.bytes
                gone.append(build)
    return gone


def _users(entry: Path) -> list[Path]:
    """Living users; those of dead processes are forgotten."""
    living = []
    for user in (entry / "users").glob("*"):
        if psutil.pid_exists(int(user.name.split("-")[0])):
            living.append(user)
        else:
            user.unlink(missing_ok=True)
    return living


def _clean(entry: Path, *, keep_log: bool = False) -> None:
    for part in ("tree", "venv", "home"):
        shutil.rmtree(entry / part, ignore_errors=True)
    if not keep_log:
        (entry / "log.txt").unlink(missing_ok=True)


def _size(entry: Path) -> int:
    return sum(path.lstat().st_size for path in entry.rglob("*") if not path.is_dir())


def _read(marker: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record
