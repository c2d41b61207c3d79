"""Where state lives: tables, transactions, migrations (DESIGN section 3)."""

from pipeline.database.base import Base, UtcDateTime
from pipeline.database.connection import Database

__all__ = ["Base", "Database", "UtcDateTime"]
