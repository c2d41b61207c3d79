"""The schema: migrations give exactly the tables that the code expects, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

from pipeline.cli import garant
from pipeline.database import Base, Database, schema
from pipeline.database.base import EventRow
from pipeline.errors import GarantError, UnavailableError


@pytest.fixture
def empty(database: Database) -> Database:
    """The database fixture without its tables."""
    Base.metadata.drop_all(database.engine)
    return database


def test_migrations_give_the_tables_of_the_code(empty: Database) -> None:
    """After an upgrade nothing differs from what the code expects."""
    schema.upgrade(empty)

    assert schema.differences(empty) == []


def test_a_missing_table_is_a_difference(empty: Database) -> None:
    """The comparison sees what it must: a dropped table."""
    schema.upgrade(empty)
    with empty.engine.begin() as connection:
        connection.execute(text("DROP TABLE wakeups"))

    assert schema.differences(empty) != []


def test_upgrading_again_changes_nothing(empty: Database) -> None:
    """An upgrade of an up-to-date database keeps its rows and its revision."""
    first = schema.upgrade(empty)
    with empty.transaction() as session:
        at = datetime.now(UTC)
        session.add(EventRow(at=at, kind="case", thing_id="1", type="received", actor="test", payload={}))
    second = schema.upgrade(empty)

    assert first == second == schema.newest_revision()
    with empty.reading() as session:
        assert len(session.scalars(select(EventRow)).all()) == 1


def test_a_database_of_newer_code_is_refused(empty: Database) -> None:
    """A revision that this code does not know is left alone, and the message says what to do."""
    schema.upgrade(empty)
    with empty.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(GarantError, match="made by a newer one"):
        schema.upgrade(empty)


def test_instants_come_back_in_utc(database: Database) -> None:
    """An instant given in another zone is the same instant when read, in UTC."""
    vladivostok = timezone(timedelta(hours=10))
    given = datetime(2026, 3, 12, 9, 30, tzinfo=vladivostok)
    with database.transaction() as session:
        session.add(EventRow(at=given, kind="case", thing_id="1", type="received", actor="test", payload={}))
    with database.reading() as session:
        read = session.scalars(select(EventRow.at)).one()

    assert read == given
    assert read.tzinfo == UTC


def test_naive_instants_are_refused(database: Database) -> None:
    """A datetime without a zone never reaches the database."""
    naive = datetime(2026, 3, 12, 9, 30)  # noqa: DTZ001 - the point of the test

    def write() -> None:
        with database.transaction() as session:
            session.add(EventRow(at=naive, kind="case", thing_id="1", type="x", actor="test", payload={}))
            session.flush()

    with pytest.raises(StatementError, match="naive datetime"):
        write()


def test_a_dead_server_is_named() -> None:
    """A database that does not answer gives a message with the address and without the password."""
    database = Database("postgresql+psycopg://garant:secret@127.0.0.1:9/garant")

    with pytest.raises(UnavailableError, match="does not answer") as raised:
        database.check()
    assert "secret" not in str(raised.value)
    database.close()


def test_commands_say_what_an_empty_database_needs(tmp_path: Path) -> None:
    """A command on an empty database names the command to run first."""
    result = CliRunner().invoke(garant, ["--home", str(tmp_path), "case", "list"])

    assert isinstance(result.exception, GarantError)
    assert "garant db upgrade" in str(result.exception)
