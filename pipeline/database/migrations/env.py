"""Alembic's environment: our metadata, the connection given by ``pipeline.database.schema``."""

from alembic import context

from pipeline.database.base import Base
from pipeline.database.schema import import_tables, ours

import_tables()
connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
    include_name=lambda name, type_, parents: ours(name, type_, parents),
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
