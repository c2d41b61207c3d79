"""Releases on disk as pipeline/releases writes them, and keys that sign them with real ssh-keygen."""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Members = Callable[[tarfile.TarFile], None]


class Keyring:
    """People's keys in one folder, and the allowed_signers that a host gets."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        for name in names:
            self.add(name)

    def add(self, name: str) -> Path:
        """Make ``name`` a key."""
        path = self.folder / name
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True
        )
        return path

    def line(self, name: str, *, key: str | None = None, options: str = 'namespaces="garant-release"') -> str:
        """The line of allowed_signers that lets ``name`` sign with ``key`` (their own by default)."""
        kind, content, _ = (self.folder / f"{key or name}.pub").read_text().split(" ", 2)
        return f"{name} {options} {kind} {content}\n"

    def sign(
        self, manifest: Path, principal: str, *, key: str | None = None, namespace: str = "garant-release"
    ) -> Path:
        """Sign a release's manifest as ``principal``."""
        target = manifest.parent / "signatures" / f"{principal}.sig"
        target.parent.mkdir(exist_ok=True)
        command = [
            "ssh-keygen",
            "-q",
            "-Y",
            "sign",
            "-f",
            str(self.folder / (key or principal)),
            "-n",
            namespace,
        ]
        done = subprocess.run(command, input=manifest.read_bytes(), check=True, capture_output=True)
        target.write_bytes(done.stdout)
        return target


def pack(tree: Path, package: Path, extra: Members | None = None) -> None:
    """Write the tree as package.tar.zst; ``extra`` may add members that no honest build has."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(tree.rglob("*")):
            archive.add(path, arcname=path.relative_to(tree).as_posix(), recursive=False)
        if extra is not None:
            extra(archive)
    subprocess.run(["zstd", "-q", "-f", "-o", str(package)], input=buffer.getvalue(), check=True)


def make_release(
    folder: Path,
    tree: Path,
    keys: Keyring,
    *,
    approvers: Sequence[str] = ("anna", "boris"),
    author: str = "denis",
    extra: Members | None = None,
    **changes: Any,
) -> Path:
    """Write a release of the build in ``tree``; ``changes`` replace fields of its manifest."""
    folder.mkdir(parents=True)
    package = folder / "package.tar.zst"
    pack(tree, package, extra)
    content = package.read_bytes()
    files = [
        {
            "path": path.relative_to(tree).as_posix(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "mode": path.stat().st_mode & 0o777,
        }
        for path in sorted(tree.rglob("*"))
        if path.is_file() and not path.is_symlink()
    ]
    manifest = {
        "schema": 1,
        "product": "set10",
        "version": (tree / "VERSION").read_text().strip(),
        "commit": "0" * 40,
        "digest": "sha256:" + hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "files": files,
        "from_versions": None,
        "floor": None,
        "component_order": ["server", "register"],
        "allow_open_shift": False,
        "author": author,
        "fixed_defects": [],
        "notes": {"ru": "", "en": ""},
        "created_at": "2025-11-23T00:00:00+00:00",
    } | changes
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n")
    (folder / "signatures").mkdir()
    for name in approvers:
        keys.sign(path, name)
    return folder
