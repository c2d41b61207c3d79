"""Asks the product's repository for its tags by GitPython: no clone, no prompt, a time limit."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path

from git import Git
from git.exc import GitError

from pipeline.errors import UnavailableError
from pipeline.products.port import Publications
from testbench.api import Bench
from testbench.errors import TestbenchError
from testbench.products.description import Product, is_local, load_product

#: A listing of tags is small; what takes longer than this many seconds hangs.
TIME_LIMIT_S = 60.0


class GitTags:
    """The tags of a git repository, by URL or path; ``pattern`` chooses those that are releases."""

    def __init__(self, url: str, pattern: str, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._url, self._pattern, self._limit = url, pattern, time_limit_s

    def versions(self) -> dict[str, str]:
        """As the port says."""
        if is_local(self._url) and not Path(self._url).exists():
            raise UnavailableError(
                f"repository {self._url} does not exist: bring it back, or correct source.git in product.yaml"
            )
        nobody = {
            # Nobody is there to answer a prompt; helpers that run programs by URL (ext::) are not asked.
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20"),
            "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
            "LC_ALL": "C",
        }
        try:
            listing = str(
                Git().ls_remote("--tags", "--", self._url, env=nobody, kill_after_timeout=self._limit)
            )
        except (GitError, OSError) as error:
            raise UnavailableError(
                f"repository {self._url} does not answer: {_last_line(error)}; it is asked again"
            ) from error
        return {tag: commit for tag, commit in _tags(listing).items() if fnmatchcase(tag, self._pattern)}


def _tags(listing: str) -> dict[str, str]:
    """Tag to commit; of an annotated tag the commit that it points to (git lists it after the tag)."""
    found = {}
    for line in listing.splitlines():
        commit, _, name = line.partition("\t")
        tag = name.removeprefix("refs/tags/").removesuffix("^{}")
        if name.startswith("refs/tags/") and len(tag) <= 64:
            found[tag] = commit
    return found


def _last_line(error: Exception) -> str:
    said = str(getattr(error, "stderr", "") or error).strip().splitlines()
    return said[-1].strip()[:300] if said else type(error).__name__


class IndexVersions:
    """The versions in a package index, through the bench."""

    def __init__(self, product: Product) -> None:
        self._product = product

    def versions(self) -> dict[str, str]:
        """As the port says."""
        try:
            return {version: version for version in Bench(self._product).versions()}
        except TestbenchError as error:
            raise UnavailableError(f"the index of {self._product.name} does not answer: {error}") from error


def publications(product_file: Path) -> Publications:
    """Where the product of product.yaml is published.

    Raises:
        UsageError: product.yaml is missing or wrong.
    """
    product = load_product(product_file)
    if product.source.git is not None:
        return GitTags(product.source.git, product.source.versions)
    return IndexVersions(product)
