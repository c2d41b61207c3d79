"""What is collected from a host, and what of what comes back is taken. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Literal

MIB = 2**20
#: All files of one host together; more is not evidence that anybody looks through.
MAX_HOST_BYTES = 256 * MIB
#: Everything that a host may send, files or not (a tar's padding and headers are not counted by their names).
MAX_HOST_MEMBERS = 10_000
#: All hosts of a store together: it is in memory until it is masked.
MAX_STORE_BYTES = 1024 * MIB
#: Of what could not be had; the rest is counted.
MAX_MISSING = 200

_NAME = re.compile(r"[A-Za-z0-9А-Яа-яЁё._ +:@-]{1,200}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing to collect.

    Attributes:
        what: for people, when it could not be had.
        source: a path or glob on the host (``/etc/set/set.json``), or a URL on its loopback.
        target: where it goes in the evidence; for a glob, the folder (with a slash at its end).
        max_bytes: of one file. From a larger one the end is taken when ``tail``, else it is left out.
        tail: text that grows at its end (journal, log).
        cut: to the time in question: ``lines`` (a journal, from the shift in which it begins), ``files``
            (by their time of change, the newest ``max_files``), or not at all.
    """

    what: str
    source: str
    target: str
    max_bytes: int = 32 * MIB
    max_files: int = 2000
    tail: bool = False
    cut: Literal["", "lines", "files"] = ""
    required: bool = True

    def as_json(self) -> dict[str, Any]:
        """As the program on the host takes it."""
        return asdict(self)


_BOTH = (
    Item(what="version", source="/opt/set/current/VERSION", target="VERSION", max_bytes=1024),
    Item(what="configuration", source="/etc/set/set.json", target="etc/set/set.json", max_bytes=MIB),
    Item(what="journal", source="/var/lib/set/journal.jsonl", target="journal.jsonl", tail=True, cut="lines"),
    Item(what="log", source="/var/log/set/set.log", target="set.log", max_bytes=8 * MIB, tail=True),
)


def _exchange(folder: str) -> Item:
    return Item(
        what=f"exchange documents ({folder})",
        source=f"/var/lib/set/{folder}/*.xml",
        target=f"exchange/{folder}/",
        cut="files",
        required=False,
    )


_SERVER = (
    Item(what="status", source="http://127.0.0.1:8090/status", target="status.json", max_bytes=MIB),
    Item(what="prices on the server", source="http://127.0.0.1:8090/catalog", target="catalog.json"),
    *(
        _exchange(f"{kind}/{end}")
        for kind in ("products", "cards", "discounts")
        for end in ("success", "error")
    ),
    _exchange("reports"),
)
_REGISTER = (
    Item(what="status", source="http://127.0.0.1:8095/status", target="status.json", max_bytes=MIB),
    Item(what="prices on the register", source="http://127.0.0.1:8095/catalog", target="catalog.json"),
)


def recipe(role: str) -> tuple[Item, ...]:
    """What is collected from a ``server`` or a ``register``."""
    return _BOTH + (_SERVER if role == "server" else _REGISTER)


def refusal(name: str, size: int, items: Sequence[Item]) -> str | None:
    """Why a file that came back is not taken; None when it is. The store's answer is hostile input.

    It must be something that was asked for, with a plain name, and not larger than it may be.
    """
    path = PurePosixPath(name)
    # `a/./b` and `a//b` are other names of the same file: one file under two names has two digests.
    plain = str(path) == name and all(_NAME.fullmatch(part) for part in path.parts)
    if not plain or path.is_absolute() or ".." in path.parts:
        return "its name is not plain"
    for item in items:
        if name == item.target or _is_inside(path, item):
            too_large = f"{size} bytes exceed the {item.max_bytes} that it may have"
            return None if size <= item.max_bytes else too_large
    return "it was not asked for"


def _is_inside(path: PurePosixPath, item: Item) -> bool:
    wanted = PurePosixPath(item.source).name
    return (
        item.target.endswith("/")
        and path.parent == PurePosixPath(item.target)
        and fnmatchcase(path.name, wanted)
    )


def version_in(content: bytes) -> str | None:
    """The product's version in a VERSION file; None when what is in it cannot be one."""
    text = content.decode("ascii", "replace").strip()
    return text if _VERSION.fullmatch(text) else None


def plain_text(text: object, length: int) -> str:
    """A text of the host as one line that a terminal, a database and a page can show."""
    shown = "".join(char if char.isprintable() else " " for char in str(text)[: 4 * length])
    return " ".join(shown.split())[:length]


def masking_order(name: str) -> tuple[int, str]:
    """Structured files before logs: a name in a log is known because a document named it before."""
    suffix = PurePosixPath(name).suffix
    return ({".xml": 0, ".json": 1, ".jsonl": 2}.get(suffix, 3), name)
