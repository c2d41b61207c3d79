"""Versions in a git repository: tags are releases, every commit can be built."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from filelock import FileLock
from git import Repo
from git.exc import GitError, ODBError

from testbench.products.description import is_local
from testbench.products.errors import SourceError, VersionError
from testbench.products.port import Resolved
from testbench.products.versions import in_order

T = TypeVar("T")

#: A clone or fetch may take this long, in seconds.
TRANSFER = 1800


class GitSource:
    """A repository by URL or path; works on a mirror of its own, so nobody's checkout is touched."""

    needs_environment = False

    def __init__(self, url: str, pattern: str, home: Path) -> None:
        self._url = url
        self._pattern = pattern
        self.mirror = home / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.git"
        self._lock = FileLock(f"{self.mirror}.lock")
        self._fresh = False
        self._resolved: dict[str, Resolved] = {}

    def versions(self) -> list[str]:
        """Tags that match the pattern, oldest version first; those of the repository's state now."""
        self.refresh()
        return in_order(name for name in self.tags() if fnmatchcase(name, self._pattern))

    def tags(self) -> dict[str, str]:
        """All tags with the commits that they name, as of the last refresh."""
        return self.read(lambda repo: {tag.name: tag.commit.hexsha for tag in _commit_tags(repo)})

    def resolve(self, asked: str) -> Resolved:
        """The commit that a tag, branch or (abbreviated) commit id names; asked of git once."""
        if asked not in self._resolved:
            self._resolved[asked] = self._resolve(asked)
        return self._resolved[asked]

    def _resolve(self, asked: str) -> Resolved:
        if not self.mirror.exists():
            self.refresh()
        found = self._find(asked)
        if found is None and not self._fresh:
            # The tag may be newer than the mirror.
            self.refresh()
            found = self._find(asked)
        if found is None:
            known = ", ".join(self.versions()[-8:]) or "none"
            raise VersionError(
                f"{self._url} has no tag or commit {asked!r}; its newest releases ({self._pattern}): {known}"
            )
        names = [name for name, commit in self.tags().items() if commit == found]
        releases = in_order(name for name in names if fnmatchcase(name, self._pattern))
        version = asked if asked in releases else (releases[-1] if releases else None)
        return Resolved(found, version)

    def fill(self, resolved: Resolved, folder: Path) -> None:
        """A clean worktree of the commit."""
        with self._lock:
            # An entry that was removed (evicted, or left by a kill) still is registered as a worktree.
            run_git(self.mirror, "worktree", "prune")
            run_git(self.mirror, "worktree", "add", "--force", "--detach", str(folder), resolved.id)

    def default_build(self) -> tuple[str, ...]:
        """Nothing: the worktree is the build."""
        return ()

    def read(self, question: Callable[[Repo], T]) -> T:
        """Ask the mirror; the repository object (and the processes behind it) lives for one question only."""
        with Repo(self.mirror) as repo:
            return question(repo)

    def refresh(self) -> None:
        """Bring the mirror to the repository's state, once in the life of this object.

        Raises:
            SourceError: the repository cannot be read.
        """
        if self._fresh:
            return
        if is_local(self._url) and not Path(self._url).exists():
            raise SourceError(f"repository {self._url} does not exist; correct source.git in product.yaml")
        self.mirror.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if self.mirror.exists():
                run_git(self.mirror, "fetch", "--prune", "--force", "--tags", "origin", timeout=TRANSFER)
            else:
                partial = self.mirror.with_suffix(".partial")
                shutil.rmtree(partial, ignore_errors=True)
                run_git(None, "clone", "--mirror", "--quiet", "--", self._url, str(partial), timeout=TRANSFER)
                partial.rename(self.mirror)
        self._fresh = True

    def _find(self, asked: str) -> str | None:
        if not asked or asked.startswith("-") or any(mark in asked for mark in "^~:@{} \n"):
            return None

        def question(repo: Repo) -> str | None:
            for name in (f"refs/tags/{asked}", f"refs/heads/{asked}", asked):
                try:
                    return str(repo.commit(name).hexsha)
                except (GitError, ODBError, ValueError, LookupError):
                    continue
            return None

        return self.read(question)


def _commit_tags(repo: Repo) -> list:  # type: ignore[type-arg]  # GitPython's own class is untyped here
    """Tags of commits; a tag may also name a tree or a blob."""
    found = []
    for tag in repo.tags:
        try:
            if tag.commit.type == "commit":
                found.append(tag)
        except (ValueError, GitError, ODBError):
            continue
    return found


def run_git(repository: Path | None, *arguments: str, timeout: float = 120) -> str:
    """git's command line, with nobody to ask and nothing of this machine's repositories in its environment.

    Raises:
        SourceError: git failed; the message holds what it said.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null"]
    command += ["--git-dir", str(repository)] if repository else []
    try:
        result = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as problem:
        raise SourceError("git is not on this machine; install it (apt install git)") from problem
    except subprocess.TimeoutExpired as problem:
        raise SourceError(f"git {arguments[0]} took more than {timeout:.0f} s and was stopped") from problem
    if result.returncode:
        raise SourceError(f"git {arguments[0]} failed: {result.stderr.strip()[-500:]}")
    return result.stdout
