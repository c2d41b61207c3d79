"""Where things are on a host: the product's tree, its configuration, and our own folders."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import RefusedError

_EFFECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")

DEFAULT_PORTS = {"server": 8090, "register": 8095}
COMMANDS = {"server": "set-server", "register": "cash"}


def check_effect_id(effect_id: str) -> str:
    """Return ``effect_id`` when it can be a file name, else raise RefusedError."""
    if not _EFFECT.fullmatch(effect_id):
        raise RefusedError(
            f"effect_id {effect_id!r} is not usable: give 1 to 128 letters, digits or any of . _ : - "
            "starting with a letter or digit"
        )
    return effect_id


def digest_hex(digest: str) -> str:
    """Return the 64 hexadecimal digits of ``sha256:...``, else raise RefusedError."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise RefusedError(
            f"digest {digest!r} is not sha256: and 64 hexadecimal digits: take it from the manifest"
        )
    return match.group(1)


@dataclass(frozen=True, kw_only=True)
class HostConfig:
    """What the product's own configuration (/etc/set/set.json) says about this host."""

    role: str
    #: Port on loopback where GET /status is answered.
    port: int
    #: Registers: where their store's server answers.
    server_url: str | None


@dataclass(frozen=True)
class HostLayout:
    """Paths of one host; ``root`` is / except in the tests."""

    root: Path = Path("/")

    @property
    def config(self) -> Path:
        """The product's configuration."""
        return self.root / "etc/set/set.json"

    @property
    def releases(self) -> Path:
        """Unpacked builds, one folder a version."""
        return self.root / "opt/set/releases"

    @property
    def current(self) -> Path:
        """The symbolic link to the build that runs."""
        return self.root / "opt/set/current"

    @property
    def allowed_signers(self) -> Path:
        """The root of trust, put there at provisioning; never written by an update."""
        return self.root / "etc/garant/allowed_signers"

    @property
    def policy(self) -> Path:
        """How many approvals this host demands."""
        return self.root / "etc/garant/policy.json"

    @property
    def work(self) -> Path:
        """Our folder for everything that changes."""
        return self.root / "var/lib/garant"

    @property
    def receipts(self) -> Path:
        """One journal file per effect."""
        return self.work / "receipts"

    @property
    def depot(self) -> Path:
        """Verified packages that a server offers to its registers on the LAN."""
        return self.work / "depot"

    @property
    def manifests(self) -> Path:
        """The verified manifest of every build that we unpacked, by version."""
        return self.work / "manifests"

    @property
    def marker(self) -> Path:
        """What was installed last, by which effect."""
        return self.work / "installed.json"

    @property
    def lock(self) -> Path:
        """Locked (flock) while a change goes on."""
        return self.work / "lock"

    def staging(self, digest: str) -> Path:
        """Where a package waits that has not been verified yet."""
        return self.work / "staging" / digest_hex(digest)

    def release(self, version: str) -> Path:
        """The unpacked build of ``version``."""
        return self.releases / version

    def read_config(self) -> HostConfig:
        """Read the product's configuration.

        Raises:
            RefusedError: it is missing or does not name a known role.
        """
        try:
            raw = json.loads(self.config.read_text(encoding="utf-8"))
            role = raw["role"]
            port = int(str(raw.get("listen") or f"0.0.0.0:{DEFAULT_PORTS[role]}").rpartition(":")[2])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RefusedError(
                f"configuration {self.config} cannot be used ({error!r}): provision the host first"
            ) from error
        return HostConfig(role=role, port=port, server_url=raw.get("server_url"))

    def control(self, role: str) -> Path:
        """The command that stops and starts the product, whatever supervises it."""
        return self.root / "usr/local/bin" / COMMANDS[role]

    def linked_version(self) -> str | None:
        """Return the version that ``current`` points to, or None when there is no such link."""
        try:
            return Path(os.readlink(self.current)).name
        except OSError:
            return None


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in ``path``; None when it is missing or torn."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace ``path`` as a whole and have it on the disk before returning.

    A reader sees the old or the new object, never half of one: the receipt must be right after a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, ensure_ascii=False, indent=1, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have renames in ``folder`` on the disk before returning."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def switch_link(layout: HostLayout, version: str) -> None:
    """Point ``current`` to ``releases/<version>`` in one step; at no time is there no link."""
    draft = layout.current.with_name(f".current.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(Path("releases") / version)
    draft.replace(layout.current)
    sync_folder(layout.current.parent)
