"""Running numbers without gaps, also when two transactions ask for one at the same instant."""

from __future__ import annotations

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from pipeline.database.tables import NumberRow


def next_number(session: Session, kind: str) -> int:
    """The next number of the kind, from 1; it is given back when the transaction is rolled back.

    One statement, and not a count or a read before a write: whoever comes second waits on the row for the
    first one's commit, and then gets the number after it. Two that counted had the same number, and one of
    them had to ask again.
    """
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    first = dialect.insert(NumberRow).values(kind=kind, last=1)
    taken = first.on_conflict_do_update(index_elements=["kind"], set_={"last": NumberRow.last + 1})
    return int(session.execute(taken.returning(NumberRow.last)).scalar_one())
