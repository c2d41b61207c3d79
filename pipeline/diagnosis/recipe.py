"""What is collected from a host, and what of what comes back is taken. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

MIB = 2**20
#: All files of one host together; more is not evidence that anybody looks through.
MAX_HOST_BYTES = 256 * MIB
MAX_HOST_FILES = 20_000

_NAME = re.compile(r"[A-Za-z0-9А-Яа-яЁё._ +:@-]{1,200}")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing to collect.

    Attributes:
        what: for people, when it could not be had.
        source: a path or glob on the host (``/etc/set/set.json``), or a URL on its loopback.
        target: where it goes in the evidence; for a glob, the folder (with a slash at its end).
        max_bytes: of one file. From a larger one the end is taken when ``tail``, else it is left out.
        tail: text that grows at its end (journal, log).
    """

    what: str
    source: str
    target: str
    max_bytes: int = 32 * MIB
    tail: bool = False
    required: bool = True

    def as_json(self) -> dict[str, Any]:
        """As the program on the host takes it."""
        return asdict(self)


_BOTH = (
    Item(what="version", source="/opt/set/current/VERSION", target="VERSION", max_bytes=1024),
    Item(what="configuration", source="/etc/set/set.json", target="etc/set/set.json", max_bytes=MIB),
    Item(what="journal", source="/var/lib/set/journal.jsonl", target="journal.jsonl", tail=True),
    Item(what="log", source="/var/log/set/set.log", target="set.log", max_bytes=8 * MIB, tail=True),
)


def _exchange(folder: str) -> Item:
    source, target = f"/var/lib/set/{folder}/*.xml", f"exchange/{folder}/"
    return Item(what=f"exchange documents ({folder})", source=source, target=target, required=False)


_SERVER = (
    Item(what="status", source="http://127.0.0.1:8090/status", target="status.json", max_bytes=MIB),
    Item(what="prices on the server", source="http://127.0.0.1:8090/catalog", target="catalog.json"),
    *(_exchange(folder) for folder in ("products/success", "products/error", "cards/success", "cards/error")),
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
    if path.is_absolute() or ".." in path.parts or not all(_NAME.fullmatch(part) for part in path.parts):
        return "its name is not plain"
    for item in items:
        inside = item.target.endswith("/") and name.startswith(item.target) and len(path.parts) == depth(item)
        if inside or name == item.target:
            return (
                None
                if size <= item.max_bytes
                else f"{size} bytes exceed the {item.max_bytes} that it may have"
            )
    return "it was not asked for"


def depth(item: Item) -> int:
    """How many parts the path of a file from this item has in the evidence."""
    return len(PurePosixPath(item.target).parts) + (1 if item.target.endswith("/") else 0)


def masking_order(name: str) -> tuple[int, str]:
    """Structured files before logs: a name in a log is known because a document named it before."""
    suffix = PurePosixPath(name).suffix
    return ({".xml": 0, ".json": 1, ".jsonl": 2}.get(suffix, 3), name)
