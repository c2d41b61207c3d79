"""recipes, retention and tombstones of evidence; numbers that two can take at once

Revision: 0002
After: 0001
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from pipeline.database.base import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("evidence") as batch_op:
        batch_op.add_column(sa.Column("asked", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("retain_until", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "evidence_tombstones",
        sa.Column("evidence_id", sa.String(length=16), nullable=False),
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column("store_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=True),
        sa.Column("collected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("deleted_by", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("evidence_id", name=op.f("pk_evidence_tombstones")),
    )
    op.create_index(op.f("ix_evidence_tombstones_case_id"), "evidence_tombstones", ["case_id"])
    op.create_table(
        "numbers",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_numbers")),
    )
    for kind, table in (("evidence", "evidence"), ("reproduction", "reproductions")):
        op.execute(f"INSERT INTO numbers (kind, last) SELECT '{kind}', count(*) FROM {table}")  # noqa: S608
    # Evidence of before has no end yet: its tick gives it one. The reaper rings for what is pending.
    now = datetime.now(UTC)
    wakeups = sa.table(
        "wakeups",
        sa.column("kind", sa.String()),
        sa.column("pending", sa.Boolean()),
        sa.column("due_at", UtcDateTime()),
        sa.column("reap_at", UtcDateTime()),
    )
    op.execute(
        wakeups.update()
        .where(wakeups.c.kind == "evidence", wakeups.c.pending == sa.false())
        .values(pending=True, due_at=now, reap_at=now)
    )


def downgrade() -> None:
    op.drop_table("numbers")
    op.drop_index(op.f("ix_evidence_tombstones_case_id"), "evidence_tombstones")
    op.drop_table("evidence_tombstones")
    with op.batch_alter_table("evidence") as batch_op:
        batch_op.drop_column("retain_until")
        batch_op.drop_column("asked")
