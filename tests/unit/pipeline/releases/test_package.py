"""Packages: what goes in, what never does."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import GarantError
from pipeline.releases import package
from pipeline.releases.errors import ContentChangedError

AT = datetime(2026, 2, 1, tzinfo=UTC)


def tree(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "run").write_text("#!/bin/sh\n")
    (folder / "bin" / "run").chmod(0o700)
    (folder / "VERSION").write_text("1.0\n")
    return folder


def test_only_content_counts(tmp_path: Path) -> None:
    """Times, exact modes, byte code and version control do not change the package."""
    first = package.pack(tree(tmp_path / "a"), tmp_path / "a.tar.zst", AT)
    other = tree(tmp_path / "b")
    os.utime(other / "VERSION", (1, 1))
    (other / "bin" / "run").chmod(0o755)
    (other / "bin" / "__pycache__").mkdir()
    (other / "bin" / "__pycache__" / "x.pyc").write_text("x")
    (other / ".git").write_text("gitdir: elsewhere")
    second = package.pack(other, tmp_path / "b.tar.zst", AT)

    assert first == second
    assert (tmp_path / "a.tar.zst").read_bytes() == (tmp_path / "b.tar.zst").read_bytes()


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    """No host would accept it; it is found when it is built, and nothing is left."""
    folder = tree(tmp_path / "a")
    (folder / "out").symlink_to("../../etc/passwd")
    with pytest.raises(GarantError, match="leads out of it"):
        package.pack(folder, tmp_path / "a.tar.zst", AT)

    assert not list(tmp_path.glob("a.tar*"))


def test_an_empty_build_is_refused(tmp_path: Path) -> None:
    """A recipe that built nothing must not become a release that installs nothing."""
    (tmp_path / "a").mkdir()
    with pytest.raises(GarantError, match="holds no files"):
        package.pack(tmp_path / "a", tmp_path / "a.tar.zst", AT)


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b'{"b": 1}\n', b'{"b":1,"a":2}\n'])
def test_a_manifest_not_in_its_form_is_refused(tmp_path: Path, content: bytes) -> None:
    """There is one form that is signed; anything else was edited."""
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ContentChangedError, match="Build the release again"):
        package.read_manifest(tmp_path)
