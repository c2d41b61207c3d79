"""Contents stored once, whole, and gone with the last evidence that has them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pipeline.diagnosis import folder
from pipeline.diagnosis.collector import Collected
from pipeline.diagnosis.errors import EvidenceChangedError
from pipeline.diagnosis.objects import Objects
from tests.unit.pipeline.diagnosis.test_folder import ABOUT, KEY


def objects(home: Path) -> list[Path]:
    return sorted(path for path in (home / ".objects").rglob("*") if path.is_file())


def evidence(home: Path, name: str, **files: bytes) -> folder.Written:
    collected = Collected(host="k-1-server", role="server", register=None, files=dict(files))
    return folder.write(home / name, ABOUT, [collected], KEY)


def test_a_content_is_stored_once_under_its_digest(tmp_path: Path) -> None:
    """Two collections with the same file share it; its name is its SHA-256."""
    evidence(tmp_path, "E-1", VERSION=b"10.4.7.0", catalog=b"same")
    evidence(tmp_path, "E-2", VERSION=b"10.4.8.0", catalog=b"same")

    assert {path.name for path in objects(tmp_path)} == {
        hashlib.sha256(content).hexdigest() for content in (b"10.4.7.0", b"10.4.8.0", b"same")
    }
    shared = [tmp_path / name / "files/k-1-server/catalog" for name in ("E-1", "E-2")]
    assert os.path.samefile(*shared)


def test_deleted_evidence_takes_only_its_own_contents_with_it(tmp_path: Path) -> None:
    """What other evidence has stays, and that stays whole; deleting again is no error."""
    evidence(tmp_path, "E-1", VERSION=b"10.4.7.0", catalog=b"same")
    other = evidence(tmp_path, "E-2", VERSION=b"10.4.8.0", catalog=b"same")

    assert folder.delete(tmp_path / "E-1") == len(b"10.4.7.0")
    assert folder.delete(tmp_path / "E-1") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [".objects", "E-2"]
    assert folder.read(tmp_path / "E-2", other.digest) == other
    folder.delete(tmp_path / "E-2")
    assert objects(tmp_path) == []


def test_a_deletion_that_was_killed_is_finished(tmp_path: Path) -> None:
    """Renamed and half removed: the next attempt removes the rest."""
    evidence(tmp_path, "E-1", VERSION=b"10.4.7.0", catalog=b"same")
    (tmp_path / "E-1").rename(tmp_path / ".deleted.E-1")

    assert folder.delete(tmp_path / "E-1") > 0
    assert [path.name for path in tmp_path.iterdir()] == [".objects"]


def test_a_damaged_content_does_not_get_into_further_evidence(tmp_path: Path) -> None:
    """It is found in the evidence that has it, and replaced for the next."""
    evidence(tmp_path, "E-1", catalog=b"same")
    damaged = objects(tmp_path)[0]
    damaged.chmod(0o640)
    damaged.write_bytes(b"sane")
    evidence(tmp_path, "E-2", catalog=b"same")

    assert (tmp_path / "E-2/files/k-1-server/catalog").read_bytes() == b"same"
    folder.read(tmp_path / "E-2")
    with pytest.raises(EvidenceChangedError, match="catalog was changed"):
        folder.read(tmp_path / "E-1")


def test_without_hard_links_evidence_is_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has none, or a content with too many of them."""

    def refused(*_paths: object) -> None:
        raise OSError(31, "Too many links")

    monkeypatch.setattr(os, "link", refused)
    Objects(tmp_path / "o").put(b"content", tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == b"content"
    assert (tmp_path / "file").stat().st_mode & 0o222 == 0


def test_a_content_that_is_swept_while_it_is_wanted_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker deletes the last evidence with it between our look and our link."""
    store, link = Objects(tmp_path / "o"), os.link
    swept = []

    def swept_first(source: Path, target: Path) -> None:
        if not swept:
            swept.append(store.sweep())
        link(source, target)

    monkeypatch.setattr(os, "link", swept_first)
    store.put(b"content", tmp_path / "file")

    assert swept == [len(b"content")]
    assert (tmp_path / "file").read_bytes() == b"content"
