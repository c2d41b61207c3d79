"""Turns a worked-on repository of the reference SET back into the series of patches."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime
from pathlib import Path

import yaml

from testbench.reference.errors import HistoryError
from testbench.reference.git import git
from testbench.reference.history import apply_series
from testbench.reference.series import SERIES_FILE, Identity, Release, Series, history_folder

COMMITTER = Identity(name="SET release desk", email="release@set10.example")


def export_history(repository: Path, folder: Path | None = None, branch: str = "main") -> Series:
    """Writes the commits of a branch as patches, and its tags as series.yaml, into `folder`.

    `folder` is by default the package's own. The branch must be linear and end in a tagged commit. The ids in
    series.yaml are those that `build_history` makes; they equal the worked-on repository's when its commits
    carry the fixed committer. The former series is replaced only after the new one has been applied once.

    Raises HistoryError when the branch does not fit or a patch does not apply.
    """
    folder = folder or history_folder()
    head = git(["rev-parse", branch], repository).strip()
    order = git(["rev-list", "--reverse", "--no-merges", branch], repository).split()
    if git(["rev-list", "--merges", "-n1", branch], repository).strip():
        raise HistoryError(f"{repository}: {branch} has merges; a series of patches is linear, rebase it")
    tags = _tags(repository, order)
    if not tags or tags[-1][1] != head:
        raise HistoryError(
            f"{repository}: the last commit of {branch} has no tag v*; commit a release and tag it"
        )
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary) / "history"
        fresh.mkdir()
        options = ["-k", "--root", "--zero-commit", "--no-signature", "--full-index"]
        git(["format-patch", "-q", *options, "-o", str(fresh), branch], repository)
        patches = sorted(path.name for path in fresh.iterdir())
        releases, begin = [], 0
        for tag, commit, date in tags:
            end = order.index(commit) + 1
            releases.append(Release(tag=tag, date=date, commit="", patches=tuple(patches[begin:end])))
            begin = end
        series = Series(branch=branch, committer=COMMITTER, releases=tuple(releases))
        ids = apply_series(series, fresh, Path(temporary) / "work")
        series = series.model_copy(
            update={"releases": tuple(r.model_copy(update={"commit": ids[r.tag]}) for r in series.releases)}
        )
        text = yaml.safe_dump(series.model_dump(mode="json"), sort_keys=False, width=120)
        (fresh / SERIES_FILE).write_text(
            "# Made by `testbench reference export`. The last patch of a release is the one that is tagged.\n"
            + text,
            encoding="utf-8",
        )
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(fresh, folder)
    return series


def _tags(repository: Path, order: list[str]) -> list[tuple[str, str, datetime]]:
    """Tags v* on the branch in the order of their commits, with the commits' dates."""
    names = git(["tag", "--list", "v*"], repository).split()
    found = []
    for name in names:
        commit, date = git(["log", "-1", "--format=%H %cI", name], repository).split()
        if commit in order:
            found.append((name, commit, datetime.fromisoformat(date)))
    return sorted(found, key=lambda tag: order.index(tag[1]))
