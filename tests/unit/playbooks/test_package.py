"""Unpacking a package: what does not belong is refused, and nothing is left behind."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from garant.errors import RefusedError
from garant.manifest import Manifest, parse_manifest
from garant.package import differences, unpack

Extra = Callable[[tarfile.TarFile], None]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"x") -> Extra:
    def add(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        info.size = len(content) if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(content) if info.size else None)

    return add


def both(*members: Extra) -> Extra:
    def add(archive: tarfile.TarFile) -> None:
        for one in members:
            one(archive)

    return add


def manifest_of(release: Path) -> Manifest:
    return parse_manifest((release / "manifest.json").read_bytes())


def open_up(release: Path, target: Path, **more: int) -> int:
    return unpack(release / "package.tar.zst", manifest_of(release), target / "10.4.2.0", **more)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "releases"
    folder.mkdir()
    return folder


def test_build_is_unpacked_as_it_was_packed(release_of: Callable[..., Path], target: Path) -> None:
    """Files, modes and inner links arrive; nothing else does."""
    release = release_of("10.4.2.0", extra=member("bin/cash", tarfile.SYMTYPE, "../bin/set-register"))

    open_up(release, target)

    folder = target / "10.4.2.0"
    assert list(differences(folder, manifest_of(release))) == []
    assert (folder / "bin/set-register").stat().st_mode & 0o777 == 0o755
    assert (folder / "bin/cash").resolve() == folder / "bin/set-register"
    assert [path.name for path in target.iterdir()] == ["10.4.2.0"]


@pytest.mark.parametrize(
    "extra",
    [
        member("../outside"),
        member("/etc/outside"),
        member("bin/../../outside"),
        member("unlisted"),
        member("bin/set-server"),
        member("out", tarfile.SYMTYPE, "/etc"),
        member("out", tarfile.SYMTYPE, "../outside"),
        member("bin/out", tarfile.SYMTYPE, "../../outside"),
        member("bin/out", tarfile.SYMTYPE, "x/../../../outside"),
        member("bin/set-server", tarfile.SYMTYPE, "set-register"),
        both(member("way", tarfile.SYMTYPE, "bin"), member("way/through")),
        both(member("bin", tarfile.SYMTYPE, "elsewhere")),
        member("hard", tarfile.LNKTYPE, "/etc/passwd"),
        member("pipe", tarfile.FIFOTYPE),
        member("device", tarfile.CHRTYPE),
        member("sparse", tarfile.GNUTYPE_SPARSE),
    ],
    ids=range(16),
)
def test_members_that_do_not_belong_are_refused(
    release_of: Callable[..., Path], target: Path, extra: Extra
) -> None:
    """Traversal, absolute names, unlisted files, doubles, links that lead out, devices."""
    release = release_of("10.4.2.0", extra=extra)

    with pytest.raises(RefusedError):
        open_up(release, target)

    assert list(target.iterdir()) == []
    assert not (target.parent / "outside").exists()


def test_bomb_is_stopped_at_the_limit(release_of: Callable[..., Path], target: Path) -> None:
    """What unpacks to more than may be written is refused before it is written."""
    release = release_of("10.4.2.0")

    with pytest.raises(RefusedError, match="may be written"):
        open_up(release, target, limit=100)

    assert list(target.iterdir()) == []


def test_listed_file_with_other_content_is_refused(release_of: Callable[..., Path], target: Path) -> None:
    """The hash of every file is verified after unpacking."""
    files = [{"path": "VERSION", "sha256": "0" * 64, "mode": 0o644}]

    with pytest.raises(RefusedError):
        open_up(release_of("10.4.2.0", files=files), target)


def test_missing_file_is_refused(release_of: Callable[..., Path], target: Path) -> None:
    """A package without a file that the approvers signed is not the release."""
    release = release_of("10.4.2.0")
    manifest = json.loads((release / "manifest.json").read_text())
    manifest["files"].append({"path": "lib/more", "sha256": "0" * 64, "mode": 0o644})
    (release / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(RefusedError, match="lib/more is missing"):
        open_up(release, target)


def test_version_inside_must_be_the_manifests(release_of: Callable[..., Path], target: Path) -> None:
    """VERSION in the build and the manifest agree."""
    with pytest.raises(RefusedError, match="VERSION in the package says"):
        open_up(release_of("10.4.2.0", version="10.4.9.0"), target)


@pytest.mark.parametrize("content", [b"", b"not zstd at all", b"\x28\xb5\x2f\xfd"])
def test_damaged_package_is_refused(release_of: Callable[..., Path], target: Path, content: bytes) -> None:
    """What zstd or tar cannot read is named as such."""
    release = release_of("10.4.2.0")
    (release / "package.tar.zst").write_bytes(content)

    with pytest.raises(RefusedError, match=r"package\.tar\.zst|VERSION|missing"):
        open_up(release, target)

    assert list(target.iterdir()) == []


def test_cut_package_is_refused(release_of: Callable[..., Path], target: Path) -> None:
    """Half a package is no package."""
    release = release_of("10.4.2.0")
    content = (release / "package.tar.zst").read_bytes()
    (release / "package.tar.zst").write_bytes(content[: len(content) // 2])

    with pytest.raises(RefusedError):
        open_up(release, target)

    assert list(target.iterdir()) == []


def test_byte_code_is_no_difference_but_a_new_file_is(release_of: Callable[..., Path], target: Path) -> None:
    """Python may leave its cache in a running build; anything else was put there by somebody."""
    release = release_of("10.4.2.0")
    open_up(release, target)
    folder = target / "10.4.2.0"
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/x.pyc").write_bytes(b"")

    assert list(differences(folder, manifest_of(release))) == []
    (folder / "planted.py").write_text("")
    assert list(differences(folder, manifest_of(release))) == ["planted.py does not belong to the release"]
