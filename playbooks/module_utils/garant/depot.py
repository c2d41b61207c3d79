"""How a package comes to this host: the staging folder, and the depot of the store's server on the LAN."""

import http.client
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import RefusedError
from .layout import HostLayout, digest_hex, read_json, sync_folder
from .package import CHUNK
from .verify import MAX_SIGNATURES
from .versions import version_key

PACKAGE = "package.tar.zst"
MANIFEST = "manifest.json"
SIGNATURES = "signatures"
INDEX = "signatures.json"
MAX_MANIFEST = 64 << 20  # bytes; 200,000 files of some 150 bytes are half of it
MAX_SIGNATURE = 64 << 10  # bytes
TIMEOUT = 20.0  # seconds without a byte

# Hosts answer on the LAN directly; a proxy variable in the environment must not redirect an update.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Papers:
    """What comes with a package: the manifest's exact bytes, and signatures over them by file name."""

    manifest: bytes
    signatures: Mapping[str, bytes]


def place(staging: Path, papers: Papers) -> None:
    """Write the papers into the staging folder, beside the package."""
    shutil.rmtree(staging / SIGNATURES, ignore_errors=True)
    (staging / SIGNATURES).mkdir(parents=True)
    (staging / MANIFEST).write_bytes(papers.manifest)
    for name, content in papers.signatures.items():
        (staging / SIGNATURES / _plain(name)).write_bytes(content)


def _plain(name: str) -> str:
    if "/" in name or name.startswith("."):
        raise RefusedError(f"signature file {name!r} is no plain name: it must be <principal>.sig")
    return name


def read_staged(staging: Path) -> Papers:
    """Return the papers that wait in the staging folder.

    Raises:
        RefusedError: there is no manifest.
    """
    try:
        manifest = (staging / MANIFEST).read_bytes()
    except OSError as error:
        raise RefusedError(f"no manifest in {staging}: stage the release on this host first") from error
    return Papers(
        manifest, {path.name: path.read_bytes() for path in sorted((staging / SIGNATURES).glob("*"))}
    )


def fetch_papers(depot_url: str, digest: str) -> Papers:
    """Take manifest and signatures from the store server's depot.

    Raises:
        RefusedError: the depot does not answer or does not have them.
    """
    base = f"{depot_url.rstrip('/')}/{digest_hex(digest)}"
    try:
        names = json.loads(_read(f"{base}/{INDEX}", MAX_SIGNATURE))
        wanted = [_plain(str(name)) for name in names][:MAX_SIGNATURES]
        manifest = _read(f"{base}/{MANIFEST}", MAX_MANIFEST)
        return Papers(
            manifest, {name: _read(f"{base}/{SIGNATURES}/{name}", MAX_SIGNATURE) for name in wanted}
        )
    except (ValueError, TypeError) as error:
        raise RefusedError(
            f"depot {base} does not hold a release ({error!r}): stage it on the server again"
        ) from error


def fetch_package(depot_url: str, digest: str, staging: Path, size: int) -> None:
    """Stream the package from the depot, at most ``size`` bytes, and rename it when it is complete.

    Raises:
        RefusedError: the depot does not answer, does not have it, or sends another size; nothing was touched.
    """
    url = f"{depot_url.rstrip('/')}/{digest_hex(digest)}/{PACKAGE}"
    partial = staging / (PACKAGE + ".partial")
    got = 0
    try:
        with _open(url) as answer, partial.open("wb") as target:
            while chunk := answer.read(CHUNK):
                got += len(chunk)
                if got > size:
                    break
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
    except (OSError, http.client.HTTPException) as error:
        partial.unlink(missing_ok=True)
        raise RefusedError(f"{url} broke off after {got} bytes ({error}): try again") from error
    if got != size:
        partial.unlink()
        raise RefusedError(
            f"{url} has another size than the manifest's {size} bytes: stage it on the server again"
        )
    partial.rename(staging / PACKAGE)


def _open(url: str) -> http.client.HTTPResponse:
    if not url.startswith("http://"):
        raise RefusedError(
            f"depot {url} is no http:// address: give depot_url, for example http://10.1.1.1:8091"
        )
    try:
        answer: http.client.HTTPResponse = _DIRECT.open(url, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        raise RefusedError(
            f"{url} answers {error.code}: stage the release on the store's server first"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise RefusedError(
            f"{url} does not answer ({error}): check the store's server and its LAN"
        ) from error
    return answer


def _read(url: str, limit: int) -> bytes:
    try:
        with _open(url) as answer:
            content = answer.read(limit + 1)
    except (OSError, http.client.HTTPException) as error:
        raise RefusedError(f"{url} broke off ({error}): try again") from error
    if len(content) > limit:
        raise RefusedError(f"{url} is larger than {limit} bytes: stage the release on the server again")
    return content


def publish(layout: HostLayout, digest: str) -> bool:
    """Offer a verified package to the store's registers; False when exactly this is offered already.

    It is built aside, then renamed, so never seen half.

    The files are hard links to the staging folder's: no second copy on the disk.
    """
    staging, target = layout.staging(digest), layout.depot / digest_hex(digest)
    names = sorted(path.name for path in (staging / SIGNATURES).iterdir())
    if _offered(target, staging, names):
        return False
    draft = target.with_name(target.name + ".partial")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / SIGNATURES).mkdir(parents=True)
    for name in [PACKAGE, MANIFEST, *(f"{SIGNATURES}/{name}" for name in names)]:
        os.link(staging / name, draft / name)
    (draft / INDEX).write_text(json.dumps(names), encoding="utf-8")
    for path in [draft, *draft.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    sync_folder(layout.depot)
    return True


def _offered(target: Path, staging: Path, names: list[str]) -> bool:
    papers = [MANIFEST, *(f"{SIGNATURES}/{name}" for name in names)]
    try:
        return (target / PACKAGE).samefile(staging / PACKAGE) and all(
            (target / paper).read_bytes() == (staging / paper).read_bytes() for paper in papers
        )
    except OSError:
        return False


def prune(layout: HostLayout, below: str) -> None:
    """Remove staged and offered packages of versions under ``below``: the disk of a store is small.

    What is newer may have been staged ahead for the next window, so it stays.
    """
    for folder in (layout.work / "staging", layout.depot):
        for entry in folder.iterdir() if folder.is_dir() else ():
            manifest = read_json(entry / MANIFEST)
            old = manifest is not None and version_key(manifest["version"]) < version_key(below)
            if old or entry.name.endswith(".partial"):
                shutil.rmtree(entry, ignore_errors=True)
