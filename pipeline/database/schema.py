"""The schema's life: made and upgraded by migrations, checked against the tables that the code expects."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import pipeline
from pipeline.database.base import Base
from pipeline.database.connection import Database
from pipeline.errors import GarantError

_SCRIPTS = Path(__file__).parent / "migrations"


def import_tables() -> None:
    """Import every subject's ``tables`` module, so that the metadata is whole."""
    for module in pkgutil.iter_modules(pipeline.__path__):
        name = f"pipeline.{module.name}.tables"
        if module.ispkg and importlib.util.find_spec(name) is not None:
            importlib.import_module(name)


def ours(name: str | None, type_: str, _parents: Any) -> bool:
    """Whether a table is ours: DBOS keeps its own in the same database and migrates them itself."""
    return type_ != "table" or name in Base.metadata.tables


def upgrade(database: Database) -> str:
    """Bring the schema to the newest revision; returns it. Running it again changes nothing.

    Raises:
        UnavailableError: the database does not answer.
        GarantError: the database was made by newer code; nothing was changed.
    """
    database.check()
    current = revision(database)
    scripts = ScriptDirectory.from_config(_config())
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise GarantError(
            f"the database is at revision {current}, which this version of Garant does not know: "
            "it was made by a newer one. Install that version"
        )
    with database.engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    newest = revision(database)
    assert newest is not None
    return newest


def revision(database: Database) -> str | None:
    """The revision that the database is at; None when it is empty."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str | None:
    """The revision that the code expects."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def differences(database: Database) -> list[Any]:
    """What differs between the database and the tables that the code expects; empty when all is well."""
    import_tables()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": ours, "compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def write_revision(database: Database, message: str, number: str) -> None:
    """For Garant's developers: write a migration from the difference between tables and database."""
    import_tables()
    with database.engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.revision(config, message, autogenerate=True, rev_id=number)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.set_main_option("path_separator", "os")
    return config
