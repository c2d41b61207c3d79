"""Alembic's environment: our metadata, the connection given by ``pipeline.database.schema``."""

from typing import Any, Literal

from alembic import context

from pipeline.database.base import Base, UtcDateTime
from pipeline.database.schema import import_tables, ours


def render(type_: str, item: Any, _context: Any) -> str | Literal[False]:
    """Our instant type is a plain timestamp: old migrations must not depend on our classes."""
    return "sa.DateTime(timezone=True)" if type_ == "type" and isinstance(item, UtcDateTime) else False


import_tables()
connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
    include_name=lambda name, type_, parents: ours(name, type_, parents),
    compare_type=True,
    render_item=render,
)
with context.begin_transaction():
    context.run_migrations()
