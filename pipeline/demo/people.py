"""The people of the story: approvers with keys of their own, made on the spot."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.releases.signatures import NAMESPACE

#: Three who may approve; two must. None of them wrote the release.
APPROVERS = ("anna.release@vendor.example", "boris.quality@vendor.example", "vera.support@vendor.example")
AUTHOR = "gleb.build@vendor.example"


@dataclass(frozen=True)
class Person:
    """Somebody who signs."""

    principal: str
    key: Path


def make_people(folder: Path) -> list[Person]:
    """Approvers and the author, each with a new ed25519 key; real ones have a passphrase, these have none."""
    folder.mkdir(parents=True, mode=0o700)
    return [_person(folder, principal) for principal in (*APPROVERS, AUTHOR)]


def _person(folder: Path, principal: str) -> Person:
    key = folder / principal.partition("@")[0].replace(".", "-")
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", principal, "-f", str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return Person(principal, key)


def allowed_signers(people: list[Person]) -> str:
    """The trust file: who may sign what. The author is known too, so that only the rule refuses him."""
    lines = []
    for person in people:
        kind, key, *_ = person.key.with_suffix(".pub").read_text(encoding="utf-8").split()
        lines.append(f'{person.principal} namespaces="{NAMESPACE}" {kind} {key}')
    return "\n".join(lines) + "\n"
