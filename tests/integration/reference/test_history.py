"""The repository that `build_history` makes: the same everywhere, grown in one step, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from testbench.errors import UsageError
from testbench.products.description import load_product
from testbench.reference import HistoryError, SeriesError, TargetError, build_history, load_series
from testbench.reference.cli import reference as reference_cli
from testbench.reference.export import export_history
from testbench.reference.history import apply_series
from testbench.reference.series import history_folder

RECORD = json.loads(
    (Path(__file__).parents[2] / "acceptance" / "planted-defects.json").read_text(encoding="utf-8")
)


def _refs(repository: Path) -> str:
    return subprocess.run(
        ["git", "for-each-ref"], cwd=repository, check=True, capture_output=True, text=True
    ).stdout


def test_ids_do_not_depend_on_the_user_or_place(
    reference: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two builds are equal to the last ref, whatever git is told by configuration and environment."""
    first = reference.report
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\nname=X\nemail=x@x\n[commit]\ngpgsign=true\n[core]\nautocrlf=true\n[am]\nkeepcr=true\n"
    )
    for name, value in (("HOME", str(home)), ("TZ", "Asia/Kamchatka"), ("GIT_COMMITTER_NAME", "Y")):
        monkeypatch.setenv(name, value)

    second = build_history(tmp_path / "deeper" / "two.git")

    assert second.head == first.head
    assert _refs(second.repository) == _refs(first.repository)


def test_appending_gives_the_whole(reference: Any, tmp_path: Path) -> None:
    """Built up to a release and then to the end, the repository equals one built in one go."""
    tags = [release.tag for release in load_series().releases]
    grown = build_history(tmp_path / "grown.git", tags[2])
    assert [release.tag for release in grown.releases] == tags[:3]
    assert tags[3] not in _refs(grown.repository)

    build_history(tmp_path / "grown.git", tags[-2])
    last = build_history(tmp_path / "grown.git")

    assert last.added == (tags[-1],)
    assert _refs(last.repository) == _refs(reference.report.repository)


def test_building_again_changes_nothing(tmp_path: Path) -> None:
    """A second call finds everything there, and a later series is never cut back."""
    built = build_history(tmp_path / "set10.git")
    before = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*")) if path.is_file()}

    again = build_history(tmp_path / "set10.git")

    assert again.added == ()
    assert {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before
    with pytest.raises(TargetError, match="already holds"):
        build_history(tmp_path / "set10.git", built.releases[0].tag)


def test_repository_is_ordinary_git(reference: Any, tmp_path: Path) -> None:
    """Anyone can clone it; its tags are its releases and VERSION names them."""
    work = tmp_path / "work"
    subprocess.run(["git", "clone", "-q", str(reference.report.repository), str(work)], check=True)
    for release in reference.report.releases:
        version = subprocess.run(
            ["git", "show", f"{release.tag}:VERSION"], cwd=work, check=True, capture_output=True, text=True
        ).stdout.strip()
        assert f"v{version}" == release.tag
    subprocess.run(["git", "fsck", "--strict"], cwd=work, check=True, capture_output=True)


def test_product_file_names_the_repository(reference: Any) -> None:
    """Beside the repository lies a product.yaml that the bench can use as it is."""
    product = load_product(reference.report.product)

    assert product.name == "set10"
    assert product.driver == "set"
    assert product.source.git == str(reference.report.repository)


@pytest.mark.parametrize("content", ["a file", "a folder"])
def test_foreign_target_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    """What is not this repository is neither overwritten nor removed."""
    target = tmp_path / "set10.git"
    if content == "a file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "mine").write_text("mine")

    with pytest.raises(TargetError, match="name another place"):
        build_history(target)

    assert (target if target.is_file() else target / "mine").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set10.git"]


def test_unknown_release_is_wrong_use(tmp_path: Path) -> None:
    """The message lists the releases that there are; nothing is written."""
    with pytest.raises(UsageError, match=r"v10\.4\.1\.0"):
        build_history(tmp_path / "set10.git", "v9")
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A read-only folder is refused with the next action."""
    tmp_path.chmod(0o500)
    with pytest.raises(TargetError, match="name another place"):
        build_history(tmp_path / "set10.git")


def test_damaged_patch_is_an_error_of_the_series(tmp_path: Path) -> None:
    """A patch that does not apply is named by its release; a missing one by its name."""
    folder = tmp_path / "history"
    shutil.copytree(history_folder(), folder)
    series = load_series(folder)
    second = folder / series.releases[1].patches[0]
    second.write_text(second.read_text(encoding="utf-8").replace("\n-", "\n-x", 3), encoding="utf-8")

    with pytest.raises(SeriesError, match=series.releases[1].tag):
        apply_series(series, folder, tmp_path / "work")
    second.unlink()
    with pytest.raises(SeriesError, match="1 patches are missing"):
        load_series(folder)


def test_export_gives_back_the_series(reference: Any, tmp_path: Path) -> None:
    """A clone exported again is the same series, patch by patch; so the history can be grown in a clone."""
    work = tmp_path / "work"
    subprocess.run(["git", "clone", "-q", str(reference.report.repository), str(work)], check=True)

    export_history(work, tmp_path / "history")

    ours = {path.name: path.read_bytes() for path in history_folder().iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "history").iterdir()} == ours


def test_export_refuses_unreleased_commits(reference: Any, tmp_path: Path) -> None:
    """A series ends with a release, so that every commit belongs to one."""
    work = tmp_path / "work"
    subprocess.run(["git", "clone", "-q", str(reference.report.repository), str(work)], check=True)
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "x"], cwd=work, check=True)

    with pytest.raises(HistoryError, match="no tag"):
        export_history(work, tmp_path / "history")


@pytest.mark.parametrize("entry", RECORD["unbuildable"], ids=lambda entry: entry["stage"])
def test_unbuildable_commits_do_not_build(reference: Any, entry: dict[str, str], tmp_path: Path) -> None:
    """The recorded commits fail at the recorded stage of product.yaml, and nowhere earlier."""
    product = load_product(reference.report.product)
    tree = shutil.copytree(reference.tree(entry["commit"]), tmp_path / "build")  # built where its worktree is
    values = {"python": sys.executable, "build": str(tree), "version": entry["commit"]}
    failed = None
    for stage, lines in (("build", product.build), ("smoke", product.smoke)):
        for line in lines:
            for name, value in values.items():
                line = line.replace("{" + name + "}", value)
            done = subprocess.run(line, shell=True, cwd=tree, capture_output=True, check=False)
            if done.returncode != 0:
                failed = failed or stage
    assert failed == entry["stage"]


def test_command_line(tmp_path: Path) -> None:
    """`testbench reference` builds, appends and lists, for people and as JSON."""
    runner = CliRunner()
    target = str(tmp_path / "set10.git")

    built = runner.invoke(reference_cli, ["build", target, "--upto", "v10.4.2.0", "--json"])
    appended = runner.invoke(reference_cli, ["build", target])
    listed = runner.invoke(reference_cli, ["list", "--json"])

    assert json.loads(built.stdout)["added"] == ["v10.4.1.0", "v10.4.2.0"]
    assert "brought v10.4.3.0" in appended.stdout
    assert [row["tag"] for row in json.loads(listed.stdout)] == [r.tag for r in load_series().releases]


def test_record_is_for_tests_only() -> None:
    """No program of ours names the record of planted defects: culprits are found, not looked up."""
    root = Path(__file__).parents[3]
    readers = [
        path
        for package in ("pipeline", "testbench")
        for path in (root / package).rglob("*.py")
        if "planted-defects" in path.read_text(encoding="utf-8")
    ]
    assert readers == []
