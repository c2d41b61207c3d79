"""Looks at the machine and at this installation."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import psutil
from sqlalchemy import make_url

from pipeline.database import Database, schema
from pipeline.doctor.rules import (
    PROGRAMS,
    Finding,
    State,
    identity,
    product,
    program,
    python,
    revision,
    room,
)
from pipeline.errors import GarantError
from pipeline.settings import Settings, load_settings
from testbench.stores import detect_mode

_GIB = 2**30
#: Programs of the administrator are often not on a user's PATH.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])


def examine(home: Path) -> list[Finding]:
    """Everything worth knowing, most basic first. Changes nothing."""
    findings = [python(sys.version_info[:2])]
    findings += [program(name, shutil.which(name, path=_PATH)) for name, *_ in PROGRAMS]
    findings += [_ansible(), _postgresql(), _stores()]
    findings.append(room("memory", "this machine", psutil.virtual_memory().available, 2 * _GIB))
    findings.append(room("disk", str(home), shutil.disk_usage(_existing(home)).free, 2 * _GIB))
    return findings + _installation(home)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _ansible() -> Finding:
    beside = Path(sys.executable).with_name("ansible-playbook")
    if beside.exists():
        return Finding(name="ansible", state=State.OK, detail=str(beside))
    return Finding(
        name="ansible",
        state=State.MISSING,
        detail="ansible-playbook is not in this environment",
        action="make setup",
    )


def _postgresql() -> Finding:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found or shutil.which("postgres"):
        return Finding(
            name="postgresql", state=State.OK, detail=str(found[-1] if found else shutil.which("postgres"))
        )
    return Finding(
        name="postgresql",
        state=State.REDUCED,
        detail="not found; tests on it are skipped, SQLite works",
        action="apt-get install postgresql   (as root)",
    )


def _stores() -> Finding:
    """The best way that this machine has for local stores, and what fuller ones would need."""
    detection = detect_mode()
    fullest, best = detection.checks[0], detection.best
    wanted = "; ".join(lack.remedy for lack in fullest.lacks)
    if best is None:
        lacks = "; ".join(lack.what for check in detection.checks for lack in check.lacks)
        return Finding(name="local stores", state=State.REDUCED, detail=f"none: {lacks}", action=wanted)
    if best is fullest:
        return Finding(
            name="local stores", state=State.OK, detail=f"{best.mode}: namespaces, systemd as PID 1"
        )
    lacks = "; ".join(lack.what for lack in fullest.lacks)
    inside = ", inside a user namespace" if best.user_namespace else ""
    return Finding(
        name="local stores",
        state=State.REDUCED,
        detail=f"{best.mode}{inside} (for {fullest.mode}: {lacks})",
        action=wanted,
    )


def _installation(home: Path) -> list[Finding]:
    try:
        settings = load_settings(home)
    except GarantError as error:
        return [
            Finding(
                name="settings", state=State.MISSING, detail=str(error), action="mend what is named there"
            )
        ]
    key = settings.ssh_identity or home / "ssh" / "identity"
    return [_database(settings), identity(key, key.is_file()), product(settings.product, _exists(settings))]


def _exists(settings: Settings) -> bool:
    return settings.product is not None and settings.product.is_file()


def _database(settings: Settings) -> Finding:
    url = make_url(settings.database)
    file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
    if file is not None and not file.exists():  # to look would be to make it
        return Finding(
            name="database",
            state=State.OK,
            detail=f"none yet at {file}",
            action="garant db upgrade   (makes it)",
        )
    try:
        database = Database(settings.database)
        try:
            database.check()
            at, newest = schema.revision(database), schema.newest_revision()
        finally:
            database.close()
    except GarantError as error:
        return Finding(name="database", state=State.MISSING, detail=str(error), action="mend what is named")
    return revision(at, newest)
