"""The line of candidates between two versions: commits of a repository, or releases of a package."""

from __future__ import annotations

from dataclasses import dataclass

from git import Repo

from testbench.products.git import GitSource
from testbench.products.port import VersionSource
from testbench.products.versions import order


@dataclass(frozen=True)
class Candidate:
    """One version that may have brought the change."""

    #: Full commit id, or version.
    id: str
    #: Its release's name, where it is a release.
    release: str | None
    #: Parent commits, the first-parent first; for a package the release before it.
    parents: tuple[str, ...] = ()


def commits(source: GitSource, older: str, newer: str) -> list[Candidate]:
    """``older``, then the commits of newer's first-parent line that are not in older's history, oldest first.

    Args:
        source: the repository.
        older, newer: full commit ids.
    """
    tags = source.tags()
    # versions() is sorted, so a commit with several tags is called by its newest.
    releases = {tags[name]: name for name in source.versions() if name in tags}

    def question(repo: Repo) -> list[Candidate]:
        line = [repo.commit(older)]
        line += reversed(list(repo.iter_commits(f"{older}..{newer}", first_parent=True)))
        return [Candidate(c.hexsha, releases.get(c.hexsha), tuple(p.hexsha for p in c.parents)) for c in line]

    return source.read(question)


def releases_between(source: VersionSource, older: str, newer: str) -> list[Candidate]:
    """Releases of a package from ``older`` to ``newer``; both are in it even when the index hides them."""
    low, high = order(older), order(newer)
    names = {name for name in source.versions() if low < order(name) < high}
    line = [older, *sorted(names, key=order), newer]
    return [
        Candidate(name, name, (line[position - 1],) if position else ()) for position, name in enumerate(line)
    ]


def relation(source: GitSource, older: str, newer: str) -> str | None:
    """The merge base of two commits: ``older`` itself when it is in newer's history; None when unrelated."""

    def question(repo: Repo) -> str | None:
        bases = repo.merge_base(older, newer)
        return str(bases[0].hexsha) if bases else None

    return source.read(question)


def same_content(source: GitSource, one: str, other: str) -> bool:
    """Whether two commits hold exactly the same files (an empty commit, a merge without effect)."""
    return source.read(lambda repo: bool(repo.commit(one).tree.hexsha == repo.commit(other).tree.hexsha))
