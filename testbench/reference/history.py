"""Builds the reference SET's repository from its series of patches, with the same ids on every machine."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from testbench.reference.errors import HistoryError, SeriesError, TargetError
from testbench.reference.git import git
from testbench.reference.product import write_product
from testbench.reference.series import Release, Series, history_folder, load_series


@dataclass(frozen=True, kw_only=True)
class HistoryReport:
    """What a build left behind."""

    #: The bare repository.
    repository: Path
    #: The product.yaml that points at it, beside the repository.
    product: Path
    #: The newest commit's id: that of the last release.
    head: str
    #: Commits on the branch.
    commits: int
    #: Releases in the repository, oldest first; `commit` of each is its full id.
    releases: tuple[Release, ...]
    #: Tags that this call brought; empty when everything was there already.
    added: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return {
            "repository": str(self.repository),
            "product": str(self.product),
            "head": self.head,
            "commits": self.commits,
            "releases": [
                {"tag": release.tag, "commit": release.commit, "date": release.date.isoformat()}
                for release in self.releases
            ],
            "added": list(self.added),
        }


def build_history(target: Path, upto: str | None = None) -> HistoryReport:
    """Builds the reference SET's repository (bare) at `target`, or brings the one that is there up to date.

    With `upto` (a tag) commits and tags end there; a later call with a later tag, or none, appends the
    following ones, whose ids are those of a build in one go. A call with nothing to add changes nothing.
    The repository appears, or grows, in one step: an interrupted call leaves what was there before. Beside it
    lies `<target>.product.yaml`, which names it for the bench.

    Raises:
        UsageError: `upto` is not a release of the reference SET.
        TargetError: `target` is something else, or holds later releases than asked for.
        SeriesError: the patches are damaged, or this git makes other ids of them.
        HistoryError: git is missing or failed (its words are in the message).
    """
    target = target.absolute()
    series = load_series().upto(upto)
    present = _tags(target) if target.exists() else {}
    added = _missing(target, series, present)
    if added:
        _bring(target, series)
    last = series.releases[-1]
    return HistoryReport(
        repository=target,
        product=write_product(target),
        head=last.commit,
        commits=len(series.patches),
        releases=series.releases,
        added=added,
    )


def _tags(repository: Path) -> dict[str, str]:
    """Tag names of a repository with the commits that they stand for."""
    if not (repository / "HEAD").is_file():
        if repository.is_dir() and not any(repository.iterdir()):
            return {}
        raise TargetError(f"{repository} is there and is not a bare git repository; name another place")
    lines = git(
        ["tag", "--list", "--format=%(refname:short) %(*objectname)%(objectname)"], repository
    ).splitlines()
    return {name: ids[:40] for name, ids in (line.split(" ", 1) for line in lines)}


def _missing(target: Path, series: Series, present: dict[str, str]) -> tuple[str, ...]:
    """Tags that the target lacks; raises TargetError when it holds anything but a part of this series."""
    wanted = {release.tag: release.commit for release in series.releases}
    for tag, commit in present.items():
        if tag not in wanted:
            raise TargetError(
                f"{target} already holds {tag}, which is later than {series.releases[-1].tag} or of another"
                " product; name another place"
            )
        if wanted[tag] != commit:
            raise TargetError(
                f"{target}: {tag} is commit {commit}, not {wanted[tag]}; remove it or name another place"
            )
    return tuple(tag for tag in wanted if tag not in present)


def _bring(target: Path, series: Series) -> None:
    """Builds the series beside the target, then moves it there or fetches it, each in one step."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise TargetError(
            f"{target.parent} can't be written: {error.strerror}; name another place"
        ) from error
    try:
        work = scratch / "work"
        ids = apply_series(series, history_folder(), work)
        for release in series.releases:
            if ids[release.tag] != release.commit:
                raise SeriesError(
                    f"{release.tag} came out as {ids[release.tag]}, not {release.commit}: the patches were"
                    " changed without `testbench reference export`, or this git is not like others"
                )
        bare = scratch / "bare"
        git(["clone", "-q", "--bare", "--template=", "--no-hardlinks", str(work), str(bare)], scratch)
        git(["remote", "remove", "origin"], bare)
        if not _tags_or_none(target):
            try:
                bare.rename(target)
            except OSError as error:
                raise TargetError(
                    f"{target} can't be written: {error.strerror}; name another place"
                ) from error
            return
        refs = [f"refs/heads/{series.branch}:refs/heads/{series.branch}", "refs/tags/*:refs/tags/*"]
        git(["fetch", "-q", "--atomic", str(bare), *refs], target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _tags_or_none(target: Path) -> dict[str, str]:
    return _tags(target) if target.exists() else {}


def apply_series(series: Series, folder: Path, work: Path) -> dict[str, str]:
    """Applies a series in a new repository with a work tree; returns each tag's commit id.

    Raises SeriesError naming the releases when a patch does not apply.
    """
    work.mkdir()
    git(["init", "-q", "--template=", "-b", series.branch, "."], work)
    ids: dict[str, str] = {}
    for release in series.releases:
        patches = [str(folder / patch) for patch in release.patches]
        try:
            git(
                [
                    "am",
                    "-q",
                    "-k",
                    "--no-gpg-sign",
                    "--whitespace=nowarn",
                    "--committer-date-is-author-date",
                    *patches,
                ],
                work,
                series.committer,
            )
        except HistoryError as error:
            raise SeriesError(f"the patches of {release.tag} do not apply: {error}") from error
        ids[release.tag] = git(["rev-parse", "HEAD"], work).strip()
        git(
            ["tag", "-a", "-m", f"SET {release.tag[1:]}", release.tag],
            work,
            series.committer,
            {"GIT_COMMITTER_DATE": release.date.isoformat()},
        )
    return ids
