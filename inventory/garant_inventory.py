#!/usr/bin/env python3
"""Ansible's view of the fleet: a dynamic inventory over Garant's database.

    ansible-inventory -i inventory/garant_inventory.py --graph
    ansible -i inventory/garant_inventory.py store_kupets_12 -m ping

GARANT_HOME names the home folder (garant.yaml, database), as for ``garant``. The pinned host keys are
written to its fleet/known_hosts; a host with another key is refused. The script runs in the environment
that Garant is installed in: an active one, else the checkout's own .venv.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

try:
    from sqlalchemy import inspect

    from pipeline.database import Database
    from pipeline.errors import GarantError
    from pipeline.fleet.inventory import inventory, write_known_hosts
    from pipeline.settings import load_settings
except ImportError as missing:
    own = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "python"
    if not own.exists() or Path(sys.prefix) == own.parent.parent:
        sys.exit(f"garant_inventory: {missing}. Install Garant (`make setup`), or activate its environment")
    os.execv(own, [str(own), *sys.argv])  # noqa: S606 - the same script, in the right environment


def main() -> int:
    """Print what Ansible asks for; 1 with the reason on stderr when there is none."""
    parser = argparse.ArgumentParser(description="Garant's fleet for Ansible.")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--list", action="store_true", help="all groups and host variables")
    asked.add_argument("--host", help="one host's variables")
    arguments = parser.parse_args()
    try:
        answer = _read()
    except GarantError as error:
        print(f"garant_inventory: {error}", file=sys.stderr)
        return 1
    if arguments.host:
        answer = answer["_meta"]["hostvars"].get(arguments.host, {})
    print(json.dumps(answer, ensure_ascii=False, indent=2, sort_keys=True))
    return 0


def _read() -> dict:  # type: ignore[type-arg]
    settings = load_settings()
    database = Database(settings.database)
    try:
        database.check()
        if not inspect(database.engine).has_table("hosts"):
            raise GarantError(f"the database of {settings.home} is empty: run `garant db upgrade` first")
        with database.reading() as session:
            known_hosts = write_known_hosts(session, settings.folder("fleet"))
            return inventory(session, settings, known_hosts=known_hosts)
    finally:
        database.close()


if __name__ == "__main__":
    sys.exit(main())
